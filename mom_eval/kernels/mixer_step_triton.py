"""The kernel of `conv_delta_step`: convolution, unit vectors and recurrence of one token a slot.

Several programs, one a block of values, need the same q and k: each makes them anew, and since the
ring has an entry that none of them reads, one of them can write it meanwhile.
"""

import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2, rows_of
from mom_eval.kernels.mixer_step import Own
from mom_eval.kernels.norm import L2_EPS
from mom_eval.kernels.scan_triton import CHANNEL, HEAD
from mom_eval.kernels.step_triton import newest, value_block, written


@triton.jit(
    do_not_specialize=["R", "H", "HV", "M", "g_row", "beta_row", "own_g_row", "own_beta_row"]
)
def _conv_delta_step(
    q, k, v, g, beta, own_k, own_v, own_g, own_beta, weight, bias, ring, state, o,
    slots, times, memories, scale, eps, q_row, k_row, v_row, g_row, beta_row,
    own_k_row, own_v_row, own_g_row, own_beta_row, R, H, HV, M,
    K: tl.constexpr, V: tl.constexpr, W: tl.constexpr, TOP_K: tl.constexpr,
    WRITERS: tl.constexpr, SHARED: tl.constexpr, GATE: tl.constexpr, DELTA: tl.constexpr,
    BIAS: tl.constexpr, SILU: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
):  # fmt: skip
    """One row, value head and block of V.

    TOP_K 0: there are no memories. Of M, the first is SHARED; WRITERS: the others have their own.
    """
    block, h, r = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    reads: tl.constexpr = TOP_K + SHARED
    token = r // reads if TOP_K else r
    slot, t, source, place = tl.load(slots + token), tl.load(times + r), token, r
    if slot < 0:
        return
    if TOP_K:
        j = r % reads - SHARED
        mine = j < 0
        m = tl.load(memories + token * TOP_K + j, mask=j >= 0, other=-1)
        slot = slot * M + m + SHARED
        place = tl.where(mine, token, SHARED * R + token * TOP_K + j)
        if WRITERS:
            source = tl.where(mine, token, token * (M - SHARED) + m)
        if SHARED:  # noqa: SIM102, else it is compiled where there is none
            if mine:
                k, k_row, v, v_row = own_k, own_k_row, own_v, own_v_row
                g, g_row, beta, beta_row = own_g, own_g_row, own_beta, own_beta_row
    d, e = tl.arange(0, BK), block * BV + tl.arange(0, BV)
    of_k, of_v = d < K, e < V
    # Channels of the convolution: q, then k, then v.
    keys, channels = H * K, 2 * H * K + HV * V
    ring += slot * W * channels
    key, value = h // (HV // H) * K + d, h * V + e
    new_q, q_r = newest(
        q + token * q_row, key, ring, key, weight, bias, t, channels, of_k, W, BIAS, SILU
    )
    new_k, k_r = newest(
        k + source * k_row, key, ring, keys + key, weight, bias, t, channels, of_k, W, BIAS, SILU
    )
    new_v, u = newest(
        v + source * v_row, value, ring, 2 * keys + value, weight, bias, t, channels, of_v,
        W, BIAS, SILU,
    )  # fmt: skip
    entry = ring + t % W * channels
    tl.store(entry + 2 * keys + value, new_v, mask=of_v)
    if (block == 0) & (h % (HV // H) == 0):
        tl.store(entry + key, new_q, mask=of_k)
        tl.store(entry + keys + key, new_k, mask=of_k)
    q_r = q_r * tl.rsqrt(tl.sum(q_r * q_r, 0) + eps)
    k_r = k_r * tl.rsqrt(tl.sum(k_r * k_r, 0) + eps)
    inside = of_k[:, None] & of_v[None, :]
    state += (slot * HV + h) * K * V + d[:, None] * V + e[None, :]
    S = tl.load(state, mask=inside, other=0.0)
    g, beta = g + source * g_row, beta + source * beta_row
    S = written(S, k_r, u, g, beta, h, d, of_k, K, GATE, DELTA)
    tl.store(state, S, mask=inside)
    tl.store(o + (place * HV + h) * V + e, scale * tl.sum(S * q_r[:, None], 0), mask=of_v)


def run_conv_delta_step(
    columns: tuple[Tensor, Tensor, Tensor],
    weight: Tensor,
    bias: Tensor | None,
    ring: Tensor,
    state: Tensor,
    slots: Tensor,
    times: Tensor,
    g: Tensor | None,
    beta: Tensor | None,
    memories: Tensor | None,
    own: Own | None,
    activation: str | None,
) -> Tensor:
    """`conv_delta_step` of what it has checked; columns are q, k and v."""
    HV, K, V = state.shape[-3:]
    q, k, v = (rows_of(x) for x in columns)
    gates, strength = (v if x is None else rows_of(x) for x in (g, beta))
    mine = [v if x is None else rows_of(x) for x in own or (None,) * 4]
    top_k = 0 if memories is None else memories.shape[1]
    o = v.new_empty(times.numel(), HV, V)
    BK, BV = power_of_2(K), value_block(K, V)
    _conv_delta_step[(cdiv(V, BV), HV, len(o))](
        q, k, v, gates, strength, *mine, weight.contiguous(), weight if bias is None else bias,
        ring, state, o, slots.contiguous(), times.contiguous(),
        slots if memories is None else memories.contiguous(), K**-0.5, L2_EPS,
        *(x.stride(0) for x in (q, k, v, gates, strength, *mine)),
        len(slots), q.shape[1] // K, HV, state.shape[1],
        K=K, V=V, W=weight.shape[1], TOP_K=top_k, WRITERS=len(k) != len(q),
        SHARED=int(own is not None),
        GATE=0 if g is None else (HEAD if g.ndim == 2 else CHANNEL).value,
        DELTA=beta is not None, BIAS=bias is not None, SILU=activation == "silu",
        BK=BK, BV=BV, num_warps=4,
    )  # fmt: skip
    return o
