"""The gradients of `short_conv` on a GPU; nothing is kept of the forward pass but its arguments."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from mom_eval.kernels.choose import wants_gradient
from mom_eval.kernels.chunk_grid import ChunkGrid
from mom_eval.kernels.chunk_grid_triton import lay_chunks
from mom_eval.kernels.norm import L2_EPS
from mom_eval.kernels.routing import Joined, Part, Rows, Taken, sources
from mom_eval.kernels.routing_triton import run_combine
from mom_eval.kernels.short_conv_grad_triton import RUN, conv_grad
from mom_eval.kernels.short_conv_inputs import every_part, kernel_inputs
from mom_eval.kernels.short_conv_triton import convolved_triton


class _Settings(NamedTuple):
    """What has no gradient."""

    rows: list[Rows | None]
    """Of each part, where it is taken."""
    joined: bool
    """Are those that are not taken joined?"""
    length: int
    unit: Sequence[int | None]
    seen: Tensor | None
    grid: ChunkGrid
    activation: str | None

    def parts(self, x: Sequence[Tensor]) -> list[Part]:
        """The parts that are made of these tensors."""
        left, parts = iter(x), []
        for rows in self.rows:
            if rows is not None:
                parts.append(Taken(next(left), rows))
            else:
                parts.append(Joined(next(left), next(left)) if self.joined else next(left))
        return parts


class _ShortConv(Function):
    """Of tensors one by one: autograd looks into no part."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, ...]:
        settings, weight, bias, ring, *x = given
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(weight, bias, ring, *x)
        ctx.settings = settings
        y, kept = convolved_triton(
            settings.parts(x), settings.length, settings.unit, weight, bias, ring, settings.seen,
            settings.grid, settings.activation,
        )  # fmt: skip
        return *y, kept

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> Any:
        (weight, bias, ring, *x), (*dy, dkept) = ctx.saved_tensors, grad_outputs
        of_ring = ctx.needs_input_grad[3]
        return None, *gradients(weight, bias, ring, x, ctx.settings, dy, dkept, of_ring)


def run_short_conv(
    parts: Sequence[Part],
    length: int,
    unit: Sequence[int | None],
    weight: Tensor,
    bias: Tensor | None,
    ring: Tensor | None,
    seen: Tensor | None,
    grid: ChunkGrid,
    activation: str | None,
) -> tuple[Sequence[Tensor], Tensor]:
    """`short_conv` of what it has checked, with a gradient where one will be asked for."""
    x = [source for part in parts for source in sources(part)]
    if not wants_gradient((*x, weight, bias, ring)):
        return convolved_triton(parts, length, unit, weight, bias, ring, seen, grid, activation)
    rows = [part.rows if isinstance(part, Taken) else None for part in parts]
    joined = any(isinstance(part, Joined) for part in parts)
    settings = _Settings(rows, joined, length, unit, seen, grid, activation)
    *y, kept = _ShortConv.apply(settings, weight, bias, ring, *x)
    return y, kept


def gradients(
    weight: Tensor,
    bias: Tensor | None,
    ring: Tensor | None,
    x: Sequence[Tensor],
    settings: _Settings,
    dy: Sequence[Tensor | None],
    dkept: Tensor | None,
    of_ring: bool,
) -> tuple[Tensor | None, ...]:
    """Of weight, bias, ring and x, by those of each y and of the ring that is kept.

    That of the ring only where it is asked for.
    """
    parts, (channels, taps) = settings.parts(x), weight.shape
    _, _, length, unit, seen, grid, activation = settings
    given, N = kernel_inputs(parts, unit, grid), grid.cu_seqlens.shape[0] - 1
    runs = lay_chunks(grid.cu_seqlens, length, RUN.value)
    dx = [part.new_empty(length, part.shape[1]) for part in given.x[: len(parts)]]
    dy = [
        torch.zeros_like(like) if dy_part is None else dy_part.contiguous()
        for dy_part, like in zip(dy, dx, strict=True)
    ]
    meta = {"W": taps, "BIAS": int(bias is not None), "SILU": activation == "silu"}
    sums = weight.new_empty(runs.places, taps + meta["BIAS"], channels, dtype=torch.float32)
    dring = weight.new_zeros(N if of_ring else 0, taps, channels, dtype=torch.float32)
    # Where something is not given the kernel takes a pointer and reads nothing behind it.
    nothing = given.x[0]
    conv_grad[(runs.places, given.blocks)](
        *given.x, *given.sent, given.token, *every_part(dy), *every_part(dx),
        weight.contiguous(), nothing if bias is None else bias.contiguous(),
        nothing if ring is None else ring.contiguous(),
        grid.first if seen is None else seen.contiguous(),
        nothing if dkept is None else dkept.contiguous(), dring, sums, *runs,
        L2_EPS, N, given.own, int(ring is not None), *given.row_sizes,
        KEPT=dkept is not None, RING=of_ring, num_warps=4, **meta, **given.meta,
    )  # fmt: skip
    found = [_of_sources(part, dx_part) for part, dx_part in zip(parts, dx, strict=True)]
    total = sums.sum(0)
    return (
        total[:taps].mT.to(weight.dtype),
        None if bias is None else total[taps].to(bias.dtype),
        _of_ring(dring, dkept, settings).to(nothing.dtype) if of_ring else None,
        *(dx_source for of_part in found for dx_source in of_part),
    )


def _of_sources(part: Part, dx: Tensor) -> tuple[Tensor, ...]:
    """The gradients of the tensors that a part's rows lie in, by those of its rows."""
    if isinstance(part, Taken):
        return (_of_tokens(dx, part.rows),)
    return dx.tensor_split([len(part.own)]) if isinstance(part, Joined) else (dx,)


def _of_tokens(dx: Tensor, rows: Rows) -> Tensor:
    """What all rows of a token say: [rows, D] -> [L, D]."""
    ones = torch.ones(rows.row.shape, dtype=torch.float32, device=dx.device)
    return run_combine(dx, ones, rows.row, None, rows.own > 0)


def _of_ring(dring: Tensor, dkept: Tensor | None, settings: _Settings) -> Tensor:
    """The gradient of what is read of the ring, and of what stays in it."""
    if dkept is None:
        return dring
    assert settings.seen is not None
    seen, now = settings.seen[:, None], settings.grid.cu_seqlens.diff()[:, None]
    taps = dring.shape[1]
    place = now - 1 - (seen + now - 1 - torch.arange(taps, device=dring.device)) % taps
    stays = (place < 0) & (seen + place >= 0)
    return dring + torch.where(stays[..., None], dkept, 0)
