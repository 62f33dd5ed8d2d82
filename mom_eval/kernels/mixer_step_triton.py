"""The kernel of `conv_delta_step`: convolution, unit vectors and recurrence of one token a slot.

Several programs, one a block of values, need the same q and k: each makes them anew, and since the
ring has an entry that none of them reads, one of them can write it meanwhile.
"""

import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2, rows_of
from mom_eval.kernels.gates import TimeStep
from mom_eval.kernels.gates_triton import decay as log_decay
from mom_eval.kernels.late import EVERY, Late
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.mixer_step import Own, Routed
from mom_eval.kernels.norm import L2_EPS
from mom_eval.kernels.overlap_triton import behind, meanwhile, overlapping
from mom_eval.kernels.routing_triton import next_choice, ranked
from mom_eval.kernels.scan_triton import CHANNEL, HEAD
from mom_eval.kernels.step_triton import decayed, gates_of, newest, value_block


@kernel("R", "H", "HV", "M", "g_row", "beta_row", "own_g_row", "own_beta_row")
def _conv_delta_step(
    q, k, v, g, beta, own_k, own_v, own_g, own_beta, weight, bias, A_log, dt_bias, ring, state,
    late_k, late_u, late_g, o, slots, times, logits, scale, eps, most, q_row, k_row, v_row, g_row,
    beta_row, own_k_row, own_v_row, own_g_row, own_beta_row, R, H, HV, M,
    K: tl.constexpr, V: tl.constexpr, W: tl.constexpr, TOP_K: tl.constexpr,
    WRITERS: tl.constexpr, SHARED: tl.constexpr, GATE: tl.constexpr, DELTA: tl.constexpr,
    SOFT: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr, EVERY: tl.constexpr,
    BK: tl.constexpr, BV: tl.constexpr, BM: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """One row, value head and block of V.

    TOP_K 0: there are no memories. Of M, the first is SHARED; WRITERS: the others have their own.
    SOFT: g and beta are a and b of `delta_gates`. EVERY 1: nothing waits beside the state.
    """
    block, h, r = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    meanwhile(OVERLAP)
    behind(OVERLAP)
    reads: tl.constexpr = TOP_K + SHARED
    token = r // reads if TOP_K else r
    slot, source, place = tl.load(slots + token), token, r
    if slot < 0:
        return
    if TOP_K:
        j = r % reads - SHARED
        m = _choice(logits, token, j, R, M - SHARED, TOP_K, BM)
        slot = slot * M + m + SHARED
        place = tl.where(j < 0, token, SHARED * R + token * TOP_K + j)
        if WRITERS:
            source = tl.where(j < 0, token, token * (M - SHARED) + m)
        if SHARED:  # noqa: SIM102, else it is compiled where there is none
            if j < 0:
                k, k_row, v, v_row = own_k, own_k_row, own_v, own_v_row
                g, g_row, beta, beta_row = own_g, own_g_row, own_beta, own_beta_row
    d, e = tl.arange(0, BK), block * BV + tl.arange(0, BV)
    of_k, of_v = d < K, e < V
    inside = of_k[:, None] & of_v[None, :]
    state += (slot * HV + h) * K * V + d[:, None] * V + e[None, :]
    # The state first: it is most of what is read, and nothing else hangs on it.
    S = tl.load(state, mask=inside, other=0.0)
    t = tl.load(times + slot) if TOP_K else tl.load(times + r)
    q_r, k_r, u = _convolved(
        q + token * q_row, k + source * k_row, v + source * v_row, weight, bias,
        ring, slot, t, block, h, d, e, of_k, of_v, eps, H, HV, K, V, W, BIAS, SILU,
    )  # fmt: skip
    g, beta = g + source * g_row, beta + source * beta_row
    if SOFT:
        step, bias_h = tl.load(g + h).to(tl.float32), tl.load(dt_bias + h).to(tl.float32)
        decay = log_decay(step, bias_h, tl.load(A_log + h).to(tl.float32))
        strength = tl.sigmoid(tl.load(beta + h).to(tl.float32)) * most
    else:
        decay, strength = gates_of(g, beta, h, d, of_k, K, GATE, DELTA)
    # What waits lies behind the states, in rows of EVERY - 1.
    late, key = slot * (EVERY - 1), h // (HV // H) * K + d
    late_k, late_u = late_k + late * H * K + key, late_u + (late * HV + h) * V + e
    channels: tl.constexpr = GATE == CHANNEL
    late_g += (late * HV + h) * K + d if channels else late * HV + h
    count, since = ((t + slot) % EVERY).to(tl.int32), decay
    old, found = tl.zeros([BV], tl.float32), tl.zeros([BV], tl.float32)
    if EVERY > 1:
        old, found, since = _waiting(
            late_k, late_u, late_g, k_r, q_r, decay, count, of_k, of_v,
            H * K, HV * V, HV * K if channels else HV, GATE, EVERY,
        )  # fmt: skip
    kept = tl.exp(since) if GATE else 1.0
    old += tl.sum(S * (k_r * kept)[:, None], 0)
    found += tl.sum(S * (q_r * kept)[:, None], 0)
    if DELTA:
        u = strength * (u - old)
    found += tl.sum(q_r * k_r, 0) * u
    tl.store(o + (place * HV + h) * V + e, scale * found, mask=of_v)
    if count < EVERY - 1:
        late_k, late_u = late_k + count * H * K, late_u + count * HV * V
        tl.store(late_u, u, mask=of_v)
        tl.store(late_k, k_r, mask=of_k & (block == 0) & (h % (HV // H) == 0))
        if GATE == CHANNEL:
            tl.store(late_g + count * HV * K, decay, mask=of_k & (block == 0))
        if GATE == HEAD:
            tl.store(late_g + count * HV, decay, mask=block == 0)
    else:
        for i in tl.static_range(EVERY - 1):
            k_i = tl.load(late_k + i * H * K, mask=of_k, other=0.0)
            u_i = tl.load(late_u + i * HV * V, mask=of_v, other=0.0)
            if GATE == CHANNEL:
                S = decayed(S, tl.load(late_g + i * HV * K, mask=of_k, other=0.0), GATE)
            if GATE == HEAD:
                S = decayed(S, tl.load(late_g + i * HV), GATE)
            S += k_i[:, None] * u_i[None, :]
        S = decayed(S, decay, GATE) + k_r[:, None] * u[None, :]
        tl.store(state, S, mask=inside)


@triton.jit
def _waiting(
    k, u, g, k_r, q_r, decay, count, of_k, of_v, k_row, u_row, g_row,
    GATE: tl.constexpr, EVERY: tl.constexpr,
):  # fmt: skip
    """What a row's key and query find in the `count` tokens that wait, and all decays until it."""
    i = tl.arange(0, EVERY)
    there = i < count
    at = i.to(tl.int64)[:, None]
    k_i = tl.load(k[None, :] + at * k_row, mask=there[:, None] & of_k[None, :], other=0.0)
    u_i = tl.load(u[None, :] + at * u_row, mask=there[:, None] & of_v[None, :], other=0.0)
    since = decay
    if GATE == CHANNEL:
        g_i = tl.load(g[None, :] + at * g_row, mask=there[:, None] & of_k[None, :], other=0.0)
        since += tl.sum(g_i, 0)
        # What comes behind each: of the last of all there is no row.
        behind_i = (i + 1 < count)[:, None] & of_k[None, :]
        g_i = tl.load(g[None, :] + (at + 1) * g_row, mask=behind_i, other=0.0)
        k_i *= tl.exp(tl.cumsum(g_i, 0, reverse=True) + decay[None, :])
    if GATE == HEAD:
        g_i = tl.load(g + i * g_row, mask=there, other=0.0)
        since += tl.sum(g_i, 0)
        later = tl.sum(tl.where(i[:, None] < i[None, :], g_i[None, :], 0.0), 1)
        k_i *= tl.exp(later + decay)[:, None]
    old = tl.sum(tl.sum(k_i * k_r[None, :], 1)[:, None] * u_i, 0)
    return old, tl.sum(tl.sum(k_i * q_r[None, :], 1)[:, None] * u_i, 0), since


@triton.jit
def _convolved(
    q, k, v, weight, bias, ring, slot, t, block, h, d, e, of_k, of_v, eps, H, HV,
    K: tl.constexpr, V: tl.constexpr, W: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr,
):  # fmt: skip
    """A row's unit vectors of q and k, and its v; what is new is kept in the ring."""
    # Channels of the convolution: q, then k, then v.
    keys, channels = H * K, 2 * H * K + HV * V
    ring += slot * W * channels
    key, value = h // (HV // H) * K + d, h * V + e
    new_q, q_r = newest(q, key, ring, key, weight, bias, t, channels, of_k, W, BIAS, SILU)
    new_k, k_r = newest(k, key, ring, keys + key, weight, bias, t, channels, of_k, W, BIAS, SILU)
    new_v, u = newest(
        v, value, ring, 2 * keys + value, weight, bias, t, channels, of_v, W, BIAS, SILU
    )
    entry = ring + t % W * channels
    tl.store(entry + 2 * keys + value, new_v, mask=of_v)
    if (block == 0) & (h % (HV // H) == 0):
        tl.store(entry + key, new_q, mask=of_k)
        tl.store(entry + keys + key, new_k, mask=of_k)
    q_r = q_r * tl.rsqrt(tl.sum(q_r * q_r, 0) + eps)
    return q_r, k_r * tl.rsqrt(tl.sum(k_r * k_r, 0) + eps), u


@triton.jit
def _choice(logits, token, j, R, M, TOP_K: tl.constexpr, BM: tl.constexpr):
    """The memory that is a token's choice j, -1 where j is."""
    _given, left = ranked(logits, token + tl.arange(0, 1), R, M, BM)
    m = (j * 0 - 1).to(tl.int32)
    for place in tl.static_range(TOP_K):
        _best, choice, left = next_choice(left, BM)
        m = tl.where(j == place, tl.sum(choice, 0), m)
    return m


def run_conv_delta_step(
    columns: tuple[Tensor, Tensor, Tensor],
    weight: Tensor,
    bias: Tensor | None,
    ring: Tensor,
    state: Tensor,
    late: Late | None,
    slots: Tensor,
    times: Tensor | None,
    gates: tuple[Tensor | None, Tensor | None, TimeStep | None],
    routed: Routed | None,
    own: Own | None,
    activation: str | None,
) -> Tensor:
    """`conv_delta_step` of what it has checked; columns are q, k and v, gates g, beta and soft."""
    HV, K, V = state.shape[-3:]
    q, k, v = (rows_of(x) for x in columns)
    g, beta, soft = gates
    strengths = [v if x is None else rows_of(x) for x in (g, beta)]
    mine = [v if x is None else rows_of(x) for x in own or (None,) * 4]
    rows, top_k, logits, seen = len(slots), 0, v, times
    if routed is not None:
        top_k, logits, seen = routed.top_k, routed.logits.contiguous(), routed.seen
    assert seen is not None
    beside = [state if x is None else x for x in late or (None,) * 3]
    o = v.new_empty(rows * max(1, top_k + (own is not None)), HV, V)
    BK, BV = power_of_2(K), value_block(K, V)
    _conv_delta_step[(cdiv(V, BV), HV, o.shape[0])](
        q, k, v, *strengths, *mine, weight.contiguous(),
        weight if bias is None else bias.contiguous(),
        *((weight, weight) if soft is None else soft[:2]), ring, state, *beside,
        o, slots.contiguous(), seen.contiguous(), logits, K**-0.5, L2_EPS,
        1.0 if soft is None else float(soft.most),
        *(x.stride(0) for x in (q, k, v, *strengths, *mine)),
        rows, q.shape[1] // K, HV, state.shape[1],
        K=K, V=V, W=weight.shape[1], TOP_K=top_k, WRITERS=k.shape[0] != q.shape[0],
        SHARED=int(own is not None),
        GATE=0 if g is None else (HEAD if g.ndim == 2 else CHANNEL).value,
        DELTA=beta is not None, SOFT=soft is not None, BIAS=bias is not None,
        SILU=activation == "silu", EVERY=1 if late is None else EVERY,
        BK=BK, BV=BV, BM=power_of_2(logits.shape[1]) if top_k else 1, num_warps=4, **overlapping(),
    )  # fmt: skip
    return o
