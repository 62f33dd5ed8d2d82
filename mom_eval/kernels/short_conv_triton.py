"""The kernels of `short_conv`: inputs are read once, and what is kept is written by itself."""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.shapes import segment_of


@triton.jit(do_not_specialize=["L"])
def _convolve(
    x, weight, bias, y, ring, seen, cu_seqlens, segment, x_row, L, D, CHANNELS,
    W: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr,
    UNIT: tl.constexpr,
):  # fmt: skip
    """BT tokens and BD of D channels; what lies before a segment is in its ring, or zero.

    A ring has CHANNELS a token, of which D are these. Rows of x lie x_row UNIT apart.
    """
    # What is 8 times anything is read 16 bytes at a time; Triton itself looks for 16 times.
    x_row *= UNIT
    first = tl.program_id(0) * BT
    i, d = tl.arange(0, BT), tl.program_id(1) * BD + tl.arange(0, BD)
    there, inside = i < L - first, d < D
    n = tl.load(segment + first + i, mask=there, other=0)
    place = (first + i - tl.load(cu_seqlens + n, mask=there, other=0)).to(tl.int32)
    before = tl.load(seen + n, mask=there, other=0)
    # Most tiles hold no segment's beginning, or nothing came before it.
    continued = tl.max((there & (place < W - 1) & (before > 0)).to(tl.int32)) > 0
    out = tl.zeros([BT, BD], tl.float32)
    x += first.to(tl.int64) * x_row
    at = i[:, None] * x_row + d[None, :]
    for back in tl.static_range(W):
        taps = tl.load(weight + d * W + W - 1 - back, mask=inside, other=0.0).to(tl.float32)
        here = (there & (place >= back))[:, None] & inside[None, :]
        x_b = tl.load(x + at - back * x_row, mask=here, other=0.0).to(tl.float32)
        if continued:
            time = before + place - back
            old = (there & (place < back) & (time >= 0))[:, None] & inside[None, :]
            entry = (n * W + (time + W) % W) * CHANNELS
            kept = tl.load(ring + entry[:, None] + d[None, :], mask=old, other=0.0)
            x_b += kept.to(tl.float32)
        out += x_b * taps[None, :]
    if BIAS:
        out += tl.load(bias + d, mask=inside, other=0.0).to(tl.float32)[None, :]
    if SILU:
        out = out * tl.sigmoid(out)
    y += first.to(tl.int64) * D
    tl.store(y + i[:, None] * D + d[None, :], out, mask=there[:, None] & inside[None, :])


@triton.jit
def _keep(
    x, ring, kept, seen, cu_seqlens, x_row, D, CHANNELS,
    W: tl.constexpr, BW: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """One segment's last W inputs: entry w holds the last x_t with t % W = w."""
    n, d = tl.program_id(0).to(tl.int64), tl.program_id(1) * BD + tl.arange(0, BD)
    begin, end, before = tl.load(cu_seqlens + n), tl.load(cu_seqlens + n + 1), tl.load(seen + n)
    w = tl.arange(0, BW)
    lag = (before + end - begin - 1 - w + W) % W
    place = end - begin - 1 - lag
    inside = (w < W)[:, None] & (d < D)[None, :]
    new = inside & (place >= 0)[:, None]
    old = inside & ((place < 0) & (before + place >= 0))[:, None]
    at = (n * W + w)[:, None] * CHANNELS + d[None, :]
    value = tl.load(x + (begin + place)[:, None] * x_row + d[None, :], mask=new, other=0.0)
    value += tl.load(ring + at, mask=old, other=0.0)
    tl.store(kept + at, value, mask=inside)


def run_short_conv(
    x: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None,
    ring: Tensor,
    seen: Tensor,
    cu_seqlens: Tensor,
    activation: str | None,
) -> tuple[list[Tensor], Tensor]:
    """`short_conv` of what it has checked: columns are read where they lie, a launch each."""
    L, (channels, W) = len(x[0]), weight.shape
    ring, weight, out = ring.contiguous(), weight.contiguous(), []
    kept, segment, start = torch.empty_like(ring), segment_of(cu_seqlens, L), 0
    for part in x:
        part, D = part if part.stride(1) == 1 else part.contiguous(), part.shape[1]
        own, y, BD = slice(start, start + D), part.new_empty(L, D), min(128, _power(D))
        start += D
        if L:
            unit = 8 if part.stride(0) % 8 == 0 else 1
            _convolve[(triton.cdiv(L, 32), triton.cdiv(D, BD))](
                part, weight[own], weight if bias is None else bias[own], y, ring[..., own], seen,
                cu_seqlens, segment, part.stride(0) // unit, L, D, channels,
                W=W, BIAS=bias is not None, SILU=activation == "silu",
                BT=32, BD=BD, UNIT=unit, num_warps=4,
            )  # fmt: skip
        _keep[(len(ring), triton.cdiv(D, BD))](
            part, ring[..., own], kept[..., own], seen, cu_seqlens, part.stride(0), D, channels,
            W=W, BW=_power(W), BD=BD, num_warps=4,
        )  # fmt: skip
        out.append(y)
    return out, kept


_power = triton.next_power_of_2
