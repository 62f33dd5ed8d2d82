"""The kernels of `short_conv`: inputs are read once, and what is kept is written by itself."""

import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.shapes import segment_of


@triton.jit(do_not_specialize=["L", "D"])
def _convolve(
    x, weight, bias, y, ring, seen, cu_seqlens, segment, x_row, L, D,
    W: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """BT tokens and BD channels; what lies before a segment is in its ring, or zero."""
    r, d = tl.program_id(0) * BT + tl.arange(0, BT), tl.program_id(1) * BD + tl.arange(0, BD)
    there, inside = r < L, d < D
    n = tl.load(segment + r, mask=there, other=0)
    place = r - tl.load(cu_seqlens + n, mask=there, other=0)
    time = place + tl.load(seen + n, mask=there, other=0)
    out = tl.zeros([BT, BD], tl.float32)
    at = r.to(tl.int64)[:, None] * x_row + d[None, :]
    for back in tl.static_range(W):
        taps = tl.load(weight + d * W + W - 1 - back, mask=inside, other=0.0).to(tl.float32)
        here = there & (place >= back)
        x_b = tl.load(x + at - back * x_row, mask=here[:, None] & inside[None, :], other=0.0)
        if back > 0:
            before = there & (place < back) & (time >= back)
            entry = (n * W + (time - back + W) % W) * D
            old = before[:, None] & inside[None, :]
            x_b += tl.load(ring + entry[:, None] + d[None, :], mask=old, other=0.0)
        out += x_b.to(tl.float32) * taps[None, :]
    if BIAS:
        out += tl.load(bias + d, mask=inside, other=0.0).to(tl.float32)[None, :]
    if SILU:
        out = out * tl.sigmoid(out)
    at = r.to(tl.int64)[:, None] * D + d[None, :]
    tl.store(y + at, out, mask=there[:, None] & inside[None, :])


@triton.jit(do_not_specialize=["D"])
def _keep(
    x, ring, kept, seen, cu_seqlens, x_row, D, W: tl.constexpr, BW: tl.constexpr, BD: tl.constexpr
):
    """One segment's last W inputs: entry w holds the last x_t with t % W = w."""
    n, d = tl.program_id(0).to(tl.int64), tl.program_id(1) * BD + tl.arange(0, BD)
    begin, end, before = tl.load(cu_seqlens + n), tl.load(cu_seqlens + n + 1), tl.load(seen + n)
    w = tl.arange(0, BW)
    lag = (before + end - begin - 1 - w + W) % W
    place = end - begin - 1 - lag
    inside = (w < W)[:, None] & (d < D)[None, :]
    new = inside & (place >= 0)[:, None]
    old = inside & ((place < 0) & (before + place >= 0))[:, None]
    at = (n * W + w)[:, None] * D + d[None, :]
    value = tl.load(x + (begin + place)[:, None] * x_row + d[None, :], mask=new, other=0.0)
    value += tl.load(ring + at, mask=old, other=0.0)
    tl.store(kept + at, value, mask=inside)


def run_short_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    ring: Tensor,
    seen: Tensor,
    cu_seqlens: Tensor,
    activation: str | None,
) -> tuple[Tensor, Tensor]:
    """`short_conv` of what it has checked."""
    (L, D), W = x.shape, weight.shape[1]
    x = x if x.stride(1) == 1 else x.contiguous()
    ring, weight, y = ring.contiguous(), weight.contiguous(), x.new_empty(L, D)
    kept, BD = ring.new_empty(ring.shape), min(128, triton.next_power_of_2(D))
    if L:
        _convolve[(triton.cdiv(L, 32), triton.cdiv(D, BD))](
            x, weight, weight if bias is None else bias, y, ring, seen, cu_seqlens,
            segment_of(cu_seqlens, L), x.stride(0), L, D, W=W, BIAS=bias is not None,
            SILU=activation == "silu", BT=32, BD=BD, num_warps=4,
        )  # fmt: skip
    _keep[(len(ring), triton.cdiv(D, BD))](
        x, ring, kept, seen, cu_seqlens, x.stride(0), D,
        W=W, BW=triton.next_power_of_2(W), BD=BD, num_warps=4,
    )  # fmt: skip
    return y, kept
