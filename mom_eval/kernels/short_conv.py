"""The short causal convolution before q, k and v; a segment goes on where its last call stopped."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.choose import takes_triton
from mom_eval.kernels.chunk_grid import ChunkGrid
from mom_eval.kernels.norm import l2_norm
from mom_eval.kernels.routing import Joined, Part, Taken, sources, whole
from mom_eval.kernels.shapes import Axes, checked_segments, compute_dtype, segment_of


def short_conv(
    x: Tensor | Sequence[Part],
    weight: Tensor,
    *,
    bias: Tensor | None = None,
    ring: Tensor | None = None,
    seen: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    activation: str | None = None,
    unit: Sequence[int | None] | None = None,
    grid: ChunkGrid | None = None,
) -> tuple[Any, Tensor]:
    """y_t = act(bias + sum over w of weight_w * x_(t - W + 1 + w)), a channel on its own.

    What lies before a sequence's start is zero. A sequence is continued from a ring of its last W
    inputs: entry t % W holds x_t, t counted from the sequence's start.

    Args:
        x: inputs [L, D]; or in parts of some channels each, in order, and then y is a list. A part
            may be `Taken` or `Joined`: its rows are read where they lie.
        weight: [D, W], the last column for the newest input, as torch's Conv1d has it.
        bias: [D].
        ring: [N, W, D], in the type of x; entries of before the start are not read.
        seen: [N] int64, tokens of each sequence before this call. None: none, and no ring.
        cu_seqlens: [N + 1] int64 ends of the segments, one segment unless told; they may be empty.
        activation: "silu" or none.
        unit: for each part, the width of its heads that are made unit vectors (`l2_norm`), or None.
        grid: `chunk_grid` of these segments, where the caller has it; made where it is needed.

    Returns:
        y [L, D] in the type of x, and the ring [N, W, D], entries of before the start zero.

    Raises:
        ValueError: on shapes that do not fit, naming the axis, or where only one of `ring` and
            `seen` is given.
    """
    parts: list[Part] = [x] if isinstance(x, Tensor) else list(x)
    heads, (length, like) = list(unit or [None] * len(parts)), _rows_of(parts[0])
    segments = checked_segments(cu_seqlens, length, like.device)
    channels = _check(parts, heads, weight, bias, ring, seen, length, len(segments) - 1)
    if activation not in (None, "silu"):
        raise ValueError(f"activation must be silu or None, but it is {activation!r}")
    given = [source for part in parts for source in sources(part)]
    limit = f"{len(parts)} parts are more than 3" if len(parts) > 3 else None
    if takes_triton("short_conv", "auto", (*given, weight, bias, ring), limit, backward=True):
        from mom_eval.kernels.chunk_grid_triton import lay_chunks
        from mom_eval.kernels.short_conv_backward import run_short_conv

        grid = grid or lay_chunks(segments, length)
        y, kept = run_short_conv(parts, length, heads, weight, bias, ring, seen, grid, activation)
        return y[0] if isinstance(x, Tensor) else y, kept
    columns = torch.cat([whole(part) for part in parts], -1)
    if ring is None or seen is None:
        ring = like.new_zeros(len(segments) - 1, *weight.mT.shape)
        seen = torch.zeros_like(segments[1:])
    y, kept = _convolved(columns, weight, bias, ring, seen, segments)
    y = (F.silu(y) if activation == "silu" else y).split(channels, -1)
    y = [_heads_of_one(*one).to(columns.dtype) for one in zip(y, heads, strict=True)]
    return y[0] if isinstance(x, Tensor) else y, kept


def _rows_of(part: Part) -> tuple[int, Tensor]:
    """How many rows a part has, and a tensor of its type."""
    if isinstance(part, Taken):
        return len(part.rows.token), part.x
    return sum(map(len, sources(part))), sources(part)[-1]


def _convolved(
    x: Tensor, weight: Tensor, bias: Tensor | None, ring: Tensor, seen: Tensor, segments: Tensor
) -> tuple[Tensor, Tensor]:
    """The convolution of x [L, D], not rounded, and the ring after it."""
    stream, places, ends = _behind_past(x, ring, seen, segments)
    y = _windows(stream, weight.to(compute_dtype(x))).index_select(0, places)
    kept = _last(stream, ends, seen + segments.diff(), ring.shape[1])
    return y if bias is None else y + bias, kept


def _heads_of_one(y: Tensor, width: int | None) -> Tensor:
    """Y [L, D] with heads of a width as unit vectors; None leaves it."""
    return y if width is None else l2_norm(y.unflatten(-1, (-1, width))).flatten(-2)


def _check(
    x: Sequence[Part],
    unit: Sequence[int | None],
    weight: Tensor,
    bias: Tensor | None,
    ring: Tensor | None,
    seen: Tensor | None,
    length: int,
    segments: int,
) -> list[int]:
    """The channels of each part."""
    axes, channels = Axes(N=segments), []
    if len({isinstance(part, Joined) for part in x if not isinstance(part, Taken)}) > 1:
        raise ValueError("of parts that are not taken, all are joined or none is")
    for part, width in zip(x, unit, strict=True):
        for source in sources(part):
            Axes(D=source.shape[-1]).check("x", source, "L D")
        channels.append(sources(part)[0].shape[1])
        if _rows_of(part)[0] != length:
            raise ValueError(f"axis L of x [L, D] must be {length}, but it is {_rows_of(part)[0]}")
        if width is not None and channels[-1] % width:
            raise ValueError(f"{channels[-1]} channels are no heads of width {width}")
    axes["D"] = sum(channels)
    axes.check("weight", weight, "D W")
    if bias is not None:
        axes.check("bias", bias, "D")
    if (ring is None) != (seen is None):
        raise ValueError("ring and seen belong together: give both or neither")
    if ring is not None and seen is not None:
        axes.check("ring", ring, "N W D")
        axes.check("seen", seen, "N")
        dtype = _rows_of(x[0])[1].dtype
        if ring.dtype != dtype:
            raise ValueError(f"ring must be {dtype} like x, but it is {ring.dtype}")
    return channels


def _behind_past(
    x: Tensor, ring: Tensor, seen: Tensor, segments: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Each segment behind the W inputs before it, so that every window is a slice of one stream.

    Returns the stream [N * W + L, D], where in it the window of each token begins [L], and where
    each segment ends [N].
    """
    width = ring.shape[1]
    shift = width * torch.arange(1, len(seen) + 1, device=x.device)
    taps = torch.arange(width, device=x.device)
    times = seen[:, None] - width + taps
    past = ring.gather(1, (times % width)[..., None].expand_as(ring))
    past = torch.where((times >= 0)[..., None], past, 0)
    tokens = torch.arange(len(x), device=x.device) + shift[segment_of(segments, len(x))]
    starts = (segments[:-1] + shift)[:, None] - width + taps
    # A copy without collisions: its gradient is a gather.
    places, inputs = torch.cat([starts.flatten(), tokens]), torch.cat([past.flatten(0, 1), x])
    stream = torch.zeros_like(inputs).index_copy(0, places, inputs)
    return stream, tokens - width + 1, segments[1:] + shift


def _windows(stream: Tensor, weight: Tensor) -> Tensor:
    """The weighted sum of each W rows of the stream that follow one another."""
    count = len(stream) - weight.shape[1] + 1
    y = stream[:count] * weight[:, 0]
    for w in range(1, weight.shape[1]):
        y = torch.addcmul(y, stream[w : w + count], weight[:, w])
    return y


def _last(stream: Tensor, ends: Tensor, seen: Tensor, width: int) -> Tensor:
    """The last W inputs of each sequence as a ring: entry r holds the last x_t with t % W = r."""
    lag = (seen[:, None] - 1 - torch.arange(width, device=seen.device)) % width
    return stream[ends[:, None] - 1 - lag]
