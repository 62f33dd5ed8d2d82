"""The short causal convolution before q, k and v; a segment goes on where its last call stopped."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.choose import takes_triton
from mom_eval.kernels.shapes import Axes, checked_segments, compute_dtype, segment_of


def short_conv(
    x: Tensor | Sequence[Tensor],
    weight: Tensor,
    *,
    bias: Tensor | None = None,
    ring: Tensor | None = None,
    seen: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    activation: str | None = None,
) -> tuple[Any, Tensor]:
    """y_t = act(bias + sum over w of weight_w * x_(t - W + 1 + w)), a channel on its own.

    What lies before a sequence's start is zero. A sequence is continued from a ring of its last W
    inputs: entry t % W holds x_t, t counted from the sequence's start, so that a decoding step
    writes one entry and shifts nothing.

    Args:
        x: inputs [L, D]; or in parts of some channels each, in order, so that columns of a
            projection need not be put together first. Then y is a list of such parts.
        weight: [D, W], the last column for the newest input, as torch's Conv1d has it.
        bias: [D].
        ring: [N, W, D], in the type of x; entries of before the start are not read.
        seen: [N] int64, tokens of each sequence before this call. None: none, and no ring.
        cu_seqlens: [N + 1] int64 ends of the segments, one segment unless told; they may be empty.
        activation: "silu" or none.

    Returns:
        y [L, D] in the type of x, computed in float32 and rounded once, and the ring [N, W, D]
        after the last tokens, in which entries of before the start are zero.

    Raises:
        ValueError: on shapes that do not fit, naming the axis, or where only one of `ring` and
            `seen` is given.
    """
    parts = [x] if isinstance(x, Tensor) else list(x)
    segments = checked_segments(cu_seqlens, parts[0])
    _check(parts, weight, bias, ring, seen, len(segments) - 1)
    if activation not in (None, "silu"):
        raise ValueError(f"activation must be silu or None, but it is {activation!r}")
    if ring is None or seen is None:
        seen = torch.zeros_like(segments[1:])
        ring = parts[0].new_zeros(len(seen), weight.shape[1], len(weight))
    if takes_triton("short_conv", "auto", (*parts, weight, bias, ring)):
        from mom_eval.kernels.short_conv_triton import run_short_conv

        y, kept = run_short_conv(parts, weight, bias, ring, seen, segments, activation)
        return y[0] if isinstance(x, Tensor) else y, kept
    columns = torch.cat(parts, -1)
    stream, rows, ends = _behind_past(columns, ring, seen, segments)
    y = _windows(stream, weight.to(compute_dtype(columns))).index_select(0, rows)
    y = y if bias is None else y + bias
    y = (F.silu(y) if activation == "silu" else y).to(columns.dtype)
    kept = _last(stream, ends, seen + segments.diff(), ring.shape[1])
    y = y if isinstance(x, Tensor) else list(y.split([part.shape[1] for part in parts], -1))
    return y, kept


def _check(
    x: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None,
    ring: Tensor | None,
    seen: Tensor | None,
    segments: int,
) -> None:
    axes = Axes(N=segments)
    for part in x:
        axes.check("x", part, "L D")
        del axes["D"]
    axes["D"] = sum(part.shape[1] for part in x)
    axes.check("weight", weight, "D W")
    if bias is not None:
        axes.check("bias", bias, "D")
    if (ring is None) != (seen is None):
        raise ValueError("ring and seen belong together: give both or neither")
    if ring is not None and seen is not None:
        axes.check("ring", ring, "N W D")
        axes.check("seen", seen, "N")
        if ring.dtype != x[0].dtype:
            raise ValueError(f"ring must be {x[0].dtype} like x, but it is {ring.dtype}")


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
    taps = (stream[w : w + count] * weight[:, w] for w in range(weight.shape[1]))
    return sum(taps, start=weight.new_zeros(()))


def _last(stream: Tensor, ends: Tensor, seen: Tensor, width: int) -> Tensor:
    """The last W inputs of each sequence as a ring: entry r holds the last x_t with t % W = r."""
    lag = (seen[:, None] - 1 - torch.arange(width, device=seen.device)) % width
    return stream[ends[:, None] - 1 - lag]
