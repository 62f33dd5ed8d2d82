"""The kernels of `step`: a state is read once and written once, in place."""

import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2, rows_of
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.scan_triton import CHANNEL, HEAD


@triton.jit
def gates_of(g, beta, h, d, of_k, K: tl.constexpr, GATE: tl.constexpr, DELTA: tl.constexpr):
    """A row's log decay, a number or [BK], else 0, and how strongly it is written, else 1."""
    decay, strength = 0.0, 1.0
    if GATE == HEAD:
        decay = tl.load(g + h).to(tl.float32)
    if GATE == CHANNEL:
        decay = tl.load(g + h * K + d, mask=of_k, other=0.0).to(tl.float32)
    if DELTA:
        strength = tl.load(beta + h).to(tl.float32)
    return decay, strength


@triton.jit
def decayed(S, decay, GATE: tl.constexpr):
    """A block of columns of S [BK, BV] behind a log decay."""
    if GATE == HEAD:
        S *= tl.exp(decay)
    if GATE == CHANNEL:
        S *= tl.exp(decay)[:, None]
    return S


@kernel("beta_row", "H", "HV")
def _step(
    q, k, v, g, beta, o, state, slots, scale, q_row, k_row, v_row, g_row, beta_row, H, HV,
    K: tl.constexpr, V: tl.constexpr, GATE: tl.constexpr, DELTA: tl.constexpr,
    BK: tl.constexpr, BV: tl.constexpr,
):  # fmt: skip
    """One row, value head and block of V: the four lines of `gated_delta`."""
    block, h, r = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    slot = tl.load(slots + r)
    if slot < 0:
        return
    d, e = tl.arange(0, BK), block * BV + tl.arange(0, BV)
    of_k, of_v = d < K, e < V
    at = (slot * HV + h) * K * V + d[:, None] * V + e[None, :]
    inside = of_k[:, None] & of_v[None, :]
    S = tl.load(state + at, mask=inside, other=0.0)
    key = h // (HV // H) * K + d
    q_r = tl.load(q + r * q_row + key, mask=of_k, other=0.0).to(tl.float32)
    k_r = tl.load(k + r * k_row + key, mask=of_k, other=0.0).to(tl.float32)
    u = tl.load(v + r * v_row + h * V + e, mask=of_v, other=0.0).to(tl.float32)
    decay, strength = gates_of(g + r * g_row, beta + r * beta_row, h, d, of_k, K, GATE, DELTA)
    S = decayed(S, decay, GATE)
    if DELTA:
        u = strength * (u - tl.sum(S * k_r[:, None], 0))
    S += k_r[:, None] * u[None, :]
    tl.store(state + at, S, mask=inside)
    tl.store(o + (r * HV + h) * V + e, scale * tl.sum(S * q_r[:, None], 0), mask=of_v)


@triton.jit
def remembered(
    ring, channel, weight, bias, t, channels, inside, W: tl.constexpr, BIAS: tl.constexpr
):
    """What the ring of W inputs before a row's own adds to some channels of its convolution."""
    out = tl.zeros_like(channel).to(tl.float32)
    for back in tl.static_range(1, W):
        at = ring + (t + W - back) % W * channels + channel
        old = tl.load(at, mask=inside & (t >= back), other=0.0).to(tl.float32)
        tap = tl.load(weight + channel * W + W - 1 - back, mask=inside, other=0.0)
        out += old * tap.to(tl.float32)
    if BIAS:
        out += tl.load(bias + channel, mask=inside, other=0.0).to(tl.float32)
    return out


@triton.jit
def newest(
    x, column, ring, channel, weight, past, inside, written, W: tl.constexpr, SILU: tl.constexpr
):
    """Some channels of a row's convolution, with what is `remembered`; the input is kept."""
    new = tl.load(x + column, mask=inside, other=0.0)
    tap = tl.load(weight + channel * W + W - 1, mask=inside, other=0.0).to(tl.float32)
    tl.store(ring + channel, new, mask=written)
    out = past + new.to(tl.float32) * tap
    if SILU:
        out = out * tl.sigmoid(out)
    return out


@kernel("D")
def _conv_step(
    x, weight, bias, y, ring, times, slots, x_row, D,
    W: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """One row and block of channels; each channel's ring is one program's alone."""
    d, r = tl.program_id(0) * BD + tl.arange(0, BD), tl.program_id(1).to(tl.int64)
    slot = tl.load(slots + r)
    if slot < 0:
        return
    inside, t = d < D, tl.load(times + r)
    ring += slot * W * D
    past = remembered(ring, d, weight, bias, t, D, inside, W, BIAS)
    out = newest(x + r * x_row, d, ring + t % W * D, d, weight, past, inside, inside, W, SILU)
    tl.store(y + r * D + d, out, mask=inside)


def run_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor | None,
    beta: Tensor | None,
    scale: float,
    state: Tensor,
    slots: Tensor,
) -> Tensor:
    """`gated_delta_step` of what it has checked."""
    (rows, H, K), (_, HV, V) = q.shape, v.shape
    q, k, v = (rows_of(x) for x in (q, k, v))
    gate = 0 if g is None else (HEAD if g.ndim == 2 else CHANNEL).value
    gates, strength = (v if x is None else rows_of(x) for x in (g, beta))
    o = v.new_empty(rows, HV, V)
    BK, BV = power_of_2(K), value_block(K, V)
    _step[(cdiv(V, BV), HV, rows)](
        q, k, v, gates, strength, o, state, slots, scale,
        q.stride(0), k.stride(0), v.stride(0), gates.stride(0), strength.stride(0), H, HV,
        K=K, V=V, GATE=gate, DELTA=beta is not None, BK=BK, BV=BV, num_warps=4,
    )  # fmt: skip
    return o


def run_conv_step(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    ring: Tensor,
    times: Tensor,
    slots: Tensor,
    activation: str | None,
) -> Tensor:
    """`short_conv_step` of what it has checked."""
    rows, D = x.shape
    x, y = rows_of(x), x.new_empty(rows, D)
    BD = min(512, power_of_2(D))
    _conv_step[(cdiv(D, BD), rows)](
        x, weight.contiguous(), weight if bias is None else bias.contiguous(), y, ring, times,
        slots, x.stride(0), D, W=weight.shape[1], BIAS=bias is not None, SILU=activation == "silu",
        BD=BD, num_warps=4,
    )  # fmt: skip
    return y


def value_block(K: int, V: int) -> int:
    """Columns of a state that a program has: 8,192 numbers are 64 registers of a thread."""
    return min(power_of_2(V), max(16, 8192 // power_of_2(K)))
