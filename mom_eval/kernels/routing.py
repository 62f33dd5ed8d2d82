"""Which memories a token goes to, its way there, and the way back (MoM, arXiv 2502.13685).

Routing sorts nothing and pads nothing. A token's row among those of its memory is the number of
choices of that memory before it, so memories lie one after another, in each the sequences, in each
the tokens in time order: segment m N + n holds what sequence n sent to memory m. Apart from what is
said of `memories` in `route` and of torch in `grouped_linear`, nothing here waits for a GPU.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.ahead import launching
from mom_eval.kernels.choose import takes_triton, wants_gradient
from mom_eval.kernels.routing_torch import Combine, Take
from mom_eval.kernels.shapes import Axes, checked_segments, compute_dtype


class Routes(NamedTuple):
    """What the router chose for each token."""

    memories: Tensor
    """[L, k] int64, the chosen memories, the most probable first."""
    weights: Tensor
    """[L, k] float32, how much of each is read; they sum to 1."""
    probabilities: Tensor
    """[L, M] float32, over all memories."""
    logits: Tensor
    """[L, M] as given."""


class Rows(NamedTuple):
    """Where each choice of each token lies among the rows of all memories.

    With a shared memory the L tokens themselves come first, and then the R = L k rows that are sent
    to one of M memories; else there are the R rows alone.
    """

    row: Tensor
    """[L, k] int64, the row of choice j of token t."""
    token: Tensor
    """[rows] int64, the token of each row."""
    cu_seqlens: Tensor
    """[memories N + 1] int64, ends of the segments: m N + n is what sequence n sent to memory m, of
    which a shared one is the first."""
    ends: Tensor
    """[M] int32, one past the last row of each memory, counted from the first that is sent."""
    own: int = 0
    """Rows before the first that is sent: L or 0."""


class Taken(NamedTuple):
    """A token's row, for every row that is its."""

    x: Tensor
    """[L, ...]"""
    rows: Rows

    def whole(self) -> Tensor:
        """All rows: [rows, ...]."""
        sent = take(self.x, self.rows)
        return torch.cat([self.x, sent]) if self.rows.own else sent


class Joined(NamedTuple):
    """What a shared memory and those that tokens are sent to make of their rows."""

    own: Tensor
    """[L, ...]"""
    sent: Tensor
    """[R, ...]"""

    def whole(self) -> Tensor:
        """All rows: [rows, ...]."""
        return torch.cat(self)


Part = Tensor | Taken | Joined


def sources(x: Part) -> tuple[Tensor, ...]:
    """The tensors that its rows lie in."""
    if isinstance(x, Tensor):
        return (x,)
    return (x.x,) if isinstance(x, Taken) else (x.own, x.sent)


def whole(x: Part) -> Tensor:
    """All rows as one tensor."""
    return x if isinstance(x, Tensor) else x.whole()


def route(logits: Tensor, top_k: int, memories: Tensor | None = None) -> Routes:
    """Choose `top_k` memories a token, with weights that sum to 1: equations 3 and 4 of MoM.

    Args:
        logits: [L, M] of the router.
        top_k: memories a token, 1 to M; ties go to the lower index.
        memories: [L, k] int64, the choice to take instead of the most probable one. Checking it
            waits for the device.

    Raises:
        ValueError: on shapes that do not fit, naming the axis, or on forced memories that are out
            of range or name one twice.
    """
    axes = Axes(k=top_k)
    axes.check("logits", logits, "L M")
    if not 1 <= top_k <= axes["M"]:
        raise ValueError(f"top_k must be 1 to M = {axes['M']}, but it is {top_k}")
    if memories is None and takes_triton("route", "auto", (logits,), backward=True):
        from mom_eval.kernels.route_backward import differentiable_route

        memories, weights, probabilities = differentiable_route(logits, top_k)
        return Routes(memories, weights, probabilities, logits)
    logits_32 = logits.to(compute_dtype(logits))
    probabilities = logits_32.softmax(dim=-1)
    if memories is None:
        order = probabilities.detach().sort(dim=-1, descending=True, stable=True).indices
        memories = order[:, :top_k]
    else:
        axes.check("memories", memories, "L k")
        _check_choice(memories, axes["M"])
    # The chosen probabilities over their sum, which cannot become 0 / 0 in this form.
    weights = logits_32.gather(-1, memories).softmax(dim=-1)
    return Routes(memories, weights, probabilities, logits)


def router(x: Tensor, weight: Tensor, top_k: int, memories: Tensor | None = None) -> Routes:
    """`route` by logits x W^T in float32: x [L, D], weight [M, D].

    Tokens often tie in bfloat16, and another memory then answers. Raises ValueError on shapes that
    do not fit, naming the axis, and where `route` does.
    """
    axes = Axes()
    axes.check("x", x, "L D")
    axes.check("weight", weight, "M D")
    chooses = memories is None and 1 <= top_k <= axes["M"]
    if chooses and takes_triton("router", "auto", (x, weight), backward=True):
        from mom_eval.kernels.route_backward import differentiable_router

        return differentiable_router(x, weight, top_k)
    dtype = compute_dtype(x)
    return route(F.linear(x.to(dtype), weight.to(dtype)), top_k, memories)


def _check_choice(memories: Tensor, count: int) -> None:
    if ((memories < 0) | (memories >= count)).any():
        raise ValueError(f"memories must be 0 to {count - 1}")
    if (memories.sort(dim=-1).values.diff(dim=-1) == 0).any():
        raise ValueError("memories must not name a memory twice for one token")


def dispatch(
    memories: Tensor,
    num_memories: int,
    cu_seqlens: Tensor | None = None,
    *,
    shared: bool = False,
) -> Rows:
    """The rows of all choices, memory-major and in time order, by running counts.

    Args:
        memories: [L, k] int64, each 0 to `num_memories` - 1, which is not checked.
        num_memories: M.
        cu_seqlens: [N + 1] int64 ends of the sequences, one unless told; they may be empty.
        shared: one more memory, which every token goes to, comes first.

    Raises:
        ValueError: on shapes that do not fit, naming the axis.
    """
    Axes().check("memories", memories, "L k")
    segments = checked_segments(cu_seqlens, len(memories), memories.device)
    if takes_triton("dispatch", "auto", (memories,)):
        from mom_eval.kernels.dispatch_triton import run_dispatch

        rows = run_dispatch(memories, num_memories, segments, shared)
        if launching():
            return rows
        # Where groups are multiplied in turn their sizes go to the host: not zeros then.
    top_k, choices = memories.shape[1], memories.flatten()
    hits = choices == torch.arange(num_memories, device=memories.device)[:, None]
    # How many of the choices before each one, and before the end, were of each memory.
    before = F.pad(hits.cumsum(1, dtype=torch.int32), (1, 0))
    ends = before[:, -1].cumsum(0, dtype=torch.int32)
    places = before + (ends - before[:, -1])[:, None]
    row = places.gather(0, choices[None]).squeeze(0).long()
    token = torch.empty_like(row).scatter(
        0, row, torch.arange(len(row), device=row.device) // top_k
    )
    starts = places[:, segments[:-1] * top_k].flatten()
    row, bounds = row.view_as(memories), torch.cat([starts, ends[-1:]]).long()
    if not shared:
        return Rows(row, token, bounds, ends)
    own = len(memories)
    token = torch.cat([torch.arange(own, device=token.device), token])
    return Rows(row + own, token, torch.cat([segments[:-1], bounds + own]), ends, own)


def take(x: Tensor, rows: Rows) -> Tensor:
    """Each row that is sent, its token: x [L, ...] -> [R, ...]. Its gradient gathers: no atomics.

    Raises ValueError where x has another number of tokens, naming the axis.
    """
    if len(x) != len(rows.row):
        raise ValueError(f"axis L of x [L, ...] must be {len(rows.row)}, but it is {len(x)}")
    token = rows.token[rows.own :]
    if not wants_gradient((x,)):
        return x[token]
    if takes_triton("take", "auto", (x,), backward=True):
        from mom_eval.kernels.combine_backward import differentiable_take

        return differentiable_take(x, rows.row, token, rows.own)
    return Take.apply(x, rows.row, token, rows.own)


def combine(
    y: Tensor, weights: Tensor, rows: Rows | None = None, onto: Tensor | None = None
) -> Tensor:
    """The weighted sum of a token's rows: y [R, ...], weights [L, k] -> [L, ...] in the type of y.

    The token's row of a shared memory, where `rows` have one, is added as it is. `rows` None: row
    t k + j is choice j of token t, and `onto` [L, ...], where given, is what is added.
    Summed in float32 in the order of the choices and rounded once (in torch, before `onto`); the
    gradients are gathers.
    Raises ValueError on shapes that do not fit, naming the axis, and on `onto` beside `rows`.
    """
    check_rows(y, weights, rows, onto)
    if takes_triton("combine", "auto", (y, weights, onto), backward=True):
        from mom_eval.kernels.combine_backward import differentiable_combine

        if rows is None:
            return differentiable_combine(y, weights, None, onto, own=False)
        return differentiable_combine(y, weights, rows.row, None, own=rows.own > 0)
    if rows is not None:
        return Combine.apply(y, weights, rows.row, rows.token, rows.own)
    row = torch.arange(len(y), device=y.device).view_as(weights)
    combined = Combine.apply(y, weights, row, row.flatten() // weights.shape[1], 0)
    return combined if onto is None else combined + onto


def check_rows(y: Tensor, weights: Tensor, rows: Rows | None, onto: Tensor | None) -> None:
    """Raises ValueError where `combine` does."""
    axes = Axes()
    if rows is not None:
        axes.check("rows.row", rows.row, "L k")
        if onto is not None:
            raise ValueError("onto is given beside rows, which have what is added among them")
    axes.check("weights", weights, "L k")
    expected = weights.numel() if rows is None else len(rows.token)
    if len(y) != expected:
        raise ValueError(f"axis R of y [R, ...] must be {expected}, but it is {len(y)}")
    if onto is not None and onto.shape != (shape := weights.shape[:1] + y.shape[1:]):
        raise ValueError(f"onto must be {list(shape)}, but it is {list(onto.shape)}")


def grouped_linear(x: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    """Each row times the weight of its group: x [R, D], weight [M, O, D], ends [M] -> [R, O].

    Group m is the rows `ends[m - 1]` to `ends[m]`, which may be none; `ends[M - 1]` is R, which is
    not checked. In bfloat16 where D and O fill 16-byte strides it is torch's grouped product on a
    GPU; else a Triton kernel, whose float32 is products in tf32, thrice. Where neither runs it is a
    product a group in torch, which waits for the device.
    Raises ValueError on shapes that do not fit, naming the axis.
    """
    axes = Axes()
    axes.check("x", x, "R D")
    axes.check("weight", weight, "M O D")
    axes.check("ends", ends, "M")
    if x.dtype == torch.bfloat16 and axes["D"] % 8 == axes["O"] % 8 == 0:
        if x.is_cuda:
            y = F.grouped_mm(_on_16_bytes(x), weight.mT, offs=ends)
            if y.requires_grad:
                # Its gradient refuses strides of zero, which those of a sum have.
                y.register_hook(Tensor.contiguous)
            return y
    elif x.dtype == weight.dtype and takes_triton(
        "grouped_linear", "auto", (x, weight), backward=True
    ):
        from mom_eval.kernels.grouped_backward import differentiable_grouped_linear

        return differentiable_grouped_linear(x, weight, ends)
    sizes = ends.diff(prepend=ends.new_zeros(1)).tolist()
    return torch.cat([F.linear(*group) for group in zip(x.split(sizes), weight, strict=True)])


def _on_16_bytes(x: Tensor) -> Tensor:
    """Rows [R, D] that begin where the grouped product can read them: copied if they do not."""
    fits = x.stride(0) % 8 == 0 and x.stride(1) == 1 and x.data_ptr() % 16 == 0
    return x if fits else x.clone(memory_format=torch.contiguous_format)
