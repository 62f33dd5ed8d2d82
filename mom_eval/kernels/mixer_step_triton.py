"""The kernels of `conv_delta_step`: what a token is, then what it does to its states.

The first makes unit vectors, gates and what waits (`late`) into what the second multiplies by, once
a head; there a program is a block of columns of a state, and as it may begin before the first has
ended, once all older kernels have, that state is on its way meanwhile.
"""

import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2, rows_of
from mom_eval.kernels.gates import TimeStep
from mom_eval.kernels.gates_triton import decay as log_decay
from mom_eval.kernels.late import Late
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.mixer_step import Own, Routed
from mom_eval.kernels.norm import L2_EPS
from mom_eval.kernels.overlap_triton import behind, meanwhile, overlapping
from mom_eval.kernels.routing_triton import next_choice, ranked
from mom_eval.kernels.scan_triton import CHANNEL, HEAD
from mom_eval.kernels.step_triton import decayed, gates_of, newest, remembered, value_block


@kernel("R", "H", "HV", "M", "g_row", "beta_row", "own_g_row", "own_beta_row")
def _prepare_step(
    q, k, v, g, beta, own_k, own_v, own_g, own_beta, weight, bias, A_log, dt_bias, ring,
    late_k, late_u, late_g, keys, values, numbers, slots, times, logits, scale, eps, most,
    q_row, k_row, v_row, g_row, beta_row, own_k_row, own_v_row, own_g_row, own_beta_row,
    R, H, HV, M,
    K: tl.constexpr, V: tl.constexpr, W: tl.constexpr, TOP_K: tl.constexpr,
    WRITERS: tl.constexpr, SHARED: tl.constexpr, GATE: tl.constexpr, DELTA: tl.constexpr,
    SOFT: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr, EVERY: tl.constexpr,
    BK: tl.constexpr, BV: tl.constexpr, BM: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """One read and value head: what `_hand_over` writes of it.

    TOP_K 0: there are no memories. Of M, the first is SHARED; WRITERS: the others have their own.
    SOFT: g and beta are a and b of `delta_gates`.
    """
    h, r = tl.program_id(0), tl.program_id(1).to(tl.int64)
    if TOP_K:  # Which memory it is, the kernel before says.
        behind(OVERLAP)
    token, slot, entry, j, t = _entry(logits, slots, times, r, R, M, TOP_K, SHARED, BM)
    if slot < 0:
        behind(OVERLAP)
        return
    d, e = tl.arange(0, BK), tl.arange(0, BV)
    of_k, of_v = d < K, e < V
    # Channels of the convolution: q, then k, then v. What earlier tokens left is there.
    channels, key, value = 2 * H * K + HV * V, h // (HV // H) * K + d, 2 * H * K + h * V + e
    ring += entry * W * channels
    q_past = remembered(ring, key, weight, bias, t, channels, of_k, W, BIAS)
    k_past = remembered(ring, H * K + key, weight, bias, t, channels, of_k, W, BIAS)
    v_past = remembered(ring, value, weight, bias, t, channels, of_v, W, BIAS)
    late, per_g = entry * EVERY, HV * K if GATE == CHANNEL else HV
    late_k, late_u = late_k + late * H * K + key, late_u + (late * HV + h) * V + e
    late_g += (late * HV + h) * K + d if GATE == CHANNEL else late * HV + h
    count = ((t + entry) % EVERY).to(tl.int32)
    k_i, u_i, since, later = _waiting(
        late_k, late_u, late_g, count, of_k, of_v, H * K, HV * V, per_g, GATE, EVERY
    )
    if not TOP_K:
        behind(OVERLAP)
    meanwhile(OVERLAP)  # Now, so what begins then may read all that is older than this kernel.
    k, v, g, beta = _sent(
        k, v, g, beta, own_k, own_v, own_g, own_beta, k_row, v_row, g_row, beta_row, own_k_row,
        own_v_row, own_g_row, own_beta_row, token, entry - slot * M - SHARED, j, M - SHARED,
        WRITERS, SHARED,
    )  # fmt: skip
    ring, first = ring + t % W * channels, of_k & (h % (HV // H) == 0)
    q_r = newest(q + token * q_row, key, ring, key, weight, q_past, of_k, first, W, SILU)
    k_r = newest(k, key, ring, H * K + key, weight, k_past, of_k, first, W, SILU)
    v_r = newest(v, h * V + e, ring, value, weight, v_past, of_v, of_v, W, SILU)
    q_r *= tl.rsqrt(tl.sum(q_r * q_r, 0) + eps) * scale
    k_r *= tl.rsqrt(tl.sum(k_r * k_r, 0) + eps)
    decay, strength = _gates(g, beta, A_log, dt_bias, most, h, d, of_k, K, GATE, DELTA, SOFT)
    _hand_over(
        keys + (r * HV + h) * 2 * K + d, values + (r * HV + h) * 2 * V + e,
        numbers + (r * HV + h) * 2, late_k + count * H * K, late_g + count * per_g, q_r, k_r, v_r,
        decay, strength, k_i, u_i, since, later, of_k, of_v, first, K, V, GATE, DELTA,
    )  # fmt: skip


@triton.jit
def _sent(
    k, v, g, beta, own_k, own_v, own_g, own_beta, k_row, v_row, g_row, beta_row, own_k_row,
    own_v_row, own_g_row, own_beta_row, token, m, j, routed,
    WRITERS: tl.constexpr, SHARED: tl.constexpr,
):  # fmt: skip
    """Where what a read's memory is sent lies: of its own m, of all, or of the shared one."""
    source = token
    if WRITERS:
        source = tl.where(j < 0, token, token * routed + m)
    if SHARED:  # noqa: SIM102, else it is compiled where there is none
        if j < 0:
            k, k_row, v, v_row = own_k, own_k_row, own_v, own_v_row
            g, g_row, beta, beta_row = own_g, own_g_row, own_beta, own_beta_row
    return k + source * k_row, v + source * v_row, g + source * g_row, beta + source * beta_row


@triton.jit
def _hand_over(
    keys, values, numbers, late_k, late_g, q, k, v, decay, strength, k_i, u_i, since, later,
    of_k, of_v, first, K: tl.constexpr, V: tl.constexpr, GATE: tl.constexpr, DELTA: tl.constexpr,
):  # fmt: skip
    """Keys [2, K] that read a state, values [2, V] and two numbers, and what waits from now on.

    What the first key reads, less the first values, is what is not written yet of v; what the
    second reads, and the second values, is what the row reads of earlier tokens. In both is what
    waits. The numbers are the writing's strength, and how much of what it writes a row reads.
    """
    if GATE == HEAD:
        k_i *= tl.exp(later + decay)[:, None]
    if GATE == CHANNEL:
        k_i *= tl.exp(later + decay[None, :])
    kept = tl.exp(since + decay) if GATE else 1.0
    if DELTA:
        v -= tl.sum(tl.sum(k_i * k[None, :], 1)[:, None] * u_i, 0)
    tl.store(keys, k * kept, mask=of_k)
    tl.store(keys + K, q * kept, mask=of_k)
    tl.store(values, v, mask=of_v)
    tl.store(values + V, tl.sum(tl.sum(k_i * q[None, :], 1)[:, None] * u_i, 0), mask=of_v)
    tl.store(numbers, strength)
    tl.store(numbers + 1, tl.sum(q * k, 0))
    # Nobody reads this place but the second kernel.
    tl.store(late_k, k, mask=first)
    if GATE:
        tl.store(late_g, decay, mask=of_k if GATE == CHANNEL else None)


@triton.jit
def _gates(
    g, beta, A_log, dt_bias, most, h, d, of_k,
    K: tl.constexpr, GATE: tl.constexpr, DELTA: tl.constexpr, SOFT: tl.constexpr,
):  # fmt: skip
    """`gates_of` a row, or where they are SOFT `delta_gates`."""
    if SOFT:
        step, bias_h = tl.load(g + h).to(tl.float32), tl.load(dt_bias + h).to(tl.float32)
        decay = log_decay(step, bias_h, tl.load(A_log + h).to(tl.float32))
        strength = tl.sigmoid(tl.load(beta + h).to(tl.float32)) * most
    else:
        decay, strength = gates_of(g, beta, h, d, of_k, K, GATE, DELTA)
    return decay, strength


@triton.jit
def _waiting(
    k, u, g, count, of_k, of_v, k_row, u_row, g_row, GATE: tl.constexpr, EVERY: tl.constexpr
):
    """Keys and values of the `count` tokens that wait, all their decays, and those behind each."""
    i = tl.arange(0, EVERY)
    there, at = i < count, i.to(tl.int64)[:, None]
    k_i = tl.load(k[None, :] + at * k_row, mask=there[:, None] & of_k[None, :], other=0.0)
    u_i = tl.load(u[None, :] + at * u_row, mask=there[:, None] & of_v[None, :], other=0.0)
    since, later = 0.0, 0.0
    if GATE == CHANNEL:
        g_i = tl.load(g[None, :] + at * g_row, mask=there[:, None] & of_k[None, :], other=0.0)
        since = tl.sum(g_i, 0)
        # Of the next one each: the sum from there on is what comes behind.
        beyond = (i + 1 < count)[:, None] & of_k[None, :]
        g_i = tl.load(g[None, :] + (at + 1) * g_row, mask=beyond, other=0.0)
        later = tl.cumsum(g_i, 0, reverse=True)
    if GATE == HEAD:
        g_i = tl.load(g + i * g_row, mask=there, other=0.0)
        since = tl.sum(g_i, 0)
        later = tl.sum(tl.where(i[:, None] < i[None, :], g_i[None, :], 0.0), 1)
    return k_i, u_i, since, later


@kernel("R", "H", "HV", "M")
def _state_step(
    state, late_k, late_u, late_g, keys, values, numbers, o, slots, times, logits, R, H, HV, M,
    K: tl.constexpr, V: tl.constexpr, TOP_K: tl.constexpr, SHARED: tl.constexpr,
    GATE: tl.constexpr, DELTA: tl.constexpr, EVERY: tl.constexpr,
    BK: tl.constexpr, BV: tl.constexpr, BM: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """One read, value head and block of V; the state is written where EVERY tokens are together."""
    block, h, r = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    meanwhile(OVERLAP)
    token, slot, entry, j, t = _entry(logits, slots, times, r, R, M, TOP_K, SHARED, BM)
    if slot < 0:
        return
    d, e = tl.arange(0, BK), block * BV + tl.arange(0, BV)
    of_k, of_v = d < K, e < V
    inside = of_k[:, None] & of_v[None, :]
    state += (entry * HV + h) * K * V + d[:, None] * V + e[None, :]
    # The kernel before writes none of this, and waited for all others.
    S = tl.load(state, mask=inside, other=0.0)
    count, late = ((t + entry) % EVERY).to(tl.int32), entry * EVERY
    behind(OVERLAP)
    keys, values = keys + (r * HV + h) * 2 * K + d, values + (r * HV + h) * 2 * V + e
    numbers += (r * HV + h) * 2
    u = tl.load(values, mask=of_v, other=0.0)
    if DELTA:
        old = tl.sum(S * tl.load(keys, mask=of_k, other=0.0)[:, None], 0)
        u = tl.load(numbers) * (u - old)
    found = tl.sum(S * tl.load(keys + K, mask=of_k, other=0.0)[:, None], 0)
    found += tl.load(values + V, mask=of_v, other=0.0) + tl.load(numbers + 1) * u
    place = tl.where(j < 0, token, SHARED * R + token * TOP_K + j) if TOP_K else r
    tl.store(o + (place * HV + h) * V + e, found, mask=of_v)
    late_u += (late * HV + h) * V + e
    if count < EVERY - 1:
        tl.store(late_u + count * HV * V, u, mask=of_v)
    else:
        k_at = late_k + late * H * K + h // (HV // H) * K + d
        g_at = late_g + ((late * HV + h) * K + d if GATE == CHANNEL else late * HV + h)
        for n in range(EVERY):
            k_n = tl.load(k_at + n * H * K, mask=of_k, other=0.0)
            u_n = u
            if n < EVERY - 1:
                u_n = tl.load(late_u + n * HV * V, mask=of_v, other=0.0)
            if GATE == CHANNEL:
                S = decayed(S, tl.load(g_at + n * HV * K, mask=of_k, other=0.0), GATE)
            if GATE == HEAD:
                S = decayed(S, tl.load(g_at + n * HV), GATE)
            S += k_n[:, None] * u_n[None, :]
        tl.store(state, S, mask=inside)


@triton.jit
def _entry(
    logits, slots, times, r, R, M, TOP_K: tl.constexpr, SHARED: tl.constexpr, BM: tl.constexpr
):
    """A read's token, slot, place among all states, choice, which -1 is shared, and its time."""
    token, j = r, r * 0
    if TOP_K:
        token, j = r // (TOP_K + SHARED), r % (TOP_K + SHARED) - SHARED
    slot = tl.load(slots + token)
    entry, clock = slot, r
    if TOP_K:
        entry = slot * M + _choice(logits, token, j, R, M - SHARED, TOP_K, BM) + SHARED
        clock = entry
    return token, slot, entry, j, tl.load(times + clock, mask=slot >= 0, other=0)


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
    if late is None:
        # Room for the token itself, which is written at once.
        late = Late.zero(state, q.shape[1] // K, channels=g is not None and g.ndim == 3, every=1)
    late_g = late.u if late.g is None else late.g
    reads = rows * max(1, top_k + (own is not None))
    o, every = v.new_empty(reads, HV, V), late.every
    keys, values, numbers = (state.new_empty(reads, HV, n) for n in (2 * K, 2 * V, 2))
    early = (weight, slots, seen, *(() if bias is None else (bias,)))
    where = (slots.contiguous(), seen.contiguous(), logits)
    sizes = (rows, q.shape[1] // K, HV, state.shape[1])
    meta = {"K": K, "V": V, "TOP_K": top_k, "SHARED": int(own is not None), "EVERY": every}
    meta |= {"GATE": 0 if g is None else (HEAD if g.ndim == 2 else CHANNEL).value}
    meta |= {"DELTA": beta is not None, "BM": power_of_2(logits.shape[1]) if top_k else 1}
    meta |= {"BK": power_of_2(K), "num_warps": 4, **overlapping(*early)}
    _prepare_step[(HV, reads)](
        q, k, v, *strengths, *mine, weight.contiguous(),
        weight if bias is None else bias.contiguous(),
        *((weight, weight) if soft is None else soft[:2]), ring, late.k, late.u, late_g,
        keys, values, numbers, *where, K**-0.5, L2_EPS, 1.0 if soft is None else float(soft.most),
        *(x.stride(0) for x in (q, k, v, *strengths, *mine)), *sizes,
        W=weight.shape[1], WRITERS=k.shape[0] != q.shape[0], SOFT=soft is not None,
        BIAS=bias is not None, SILU=activation == "silu", BV=power_of_2(V), **meta,
    )  # fmt: skip
    BV = value_block(K, V)
    _state_step[(cdiv(V, BV), HV, reads)](
        state, late.k, late.u, late_g, keys, values, numbers, o, *where, *sizes, BV=BV, **meta
    )
    return o
