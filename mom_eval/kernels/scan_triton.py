"""The walk over the chunks of a segment, one kernel for every gate.

    u = T (v - k e^G S)                   without the delta rule: u = v
    o = scale (q e^G S + P u)
    S = e^Gc S + (k e^(Gc - G))^T u

A program holds K x BV numbers of S in registers, float32, from the first chunk of a segment to its
last; nothing of a chunk but o goes to memory. Every factor is at most 1, so nothing overflows.
"""

import triton
import triton.language as tl

from mom_eval.kernels.launch import kernel

HEAD = tl.constexpr(1)
CHANNEL = tl.constexpr(2)


@kernel("H", "HV", "past")
def scan(
    q, k, k_out, v, P, T, G, o, before, after, cu_seqlens, first, scale,
    q_row, k_row, v_row, H, HV, past,
    K: tl.constexpr, V: tl.constexpr, GATE: tl.constexpr, DELTA: tl.constexpr,
    BK: tl.constexpr, BV: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Reads o [L, HV, V] and states `after` [N, HV, K, V] from `before`, or from zero if no `past`.

    GATE 0 or HEAD: q and k as they came, G [L, HV] the running sums. CHANNEL: q is q e^G, k is
    k e^G, k_out is k e^(Gc - G), each a row a value head, and G [chunks, HV, K] is e^Gc.
    """
    block, h, n = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    begin, end = tl.load(cu_seqlens + n), tl.load(cu_seqlens + n + 1)
    i, d, e = tl.arange(0, 64), tl.arange(0, BK), block * BV + tl.arange(0, BV)
    kept = (n.to(tl.int64) * HV + h) * K * V + d[:, None] * V + e[None, :]
    in_state = (d < K)[:, None] & (e < V)[None, :]
    # Where a block is all of K, or V is blocks without a rest, only the rows' mask is left.
    S = tl.load(before + kept, mask=in_state & (past != 0), other=0.0)
    key = (h if GATE == CHANNEL else h // (HV // H)) * K
    in_q, in_k = i[:, None] * q_row + d[None, :], i[:, None] * k_row + d[None, :]
    in_v, in_o = i[:, None] * v_row + e[None, :], i[:, None] * (HV * V) + e[None, :]
    tile = i[:, None] * 64 + i[None, :]
    chunk = (tl.load(first + n) * HV + h) * 4096
    for start in range(begin, end, 64):
        live = i < end - start
        of_k, of_v = live[:, None], live[:, None]
        if BK != K:
            of_k = of_k & (d < K)[None, :]
        if V % BV:
            of_v = of_v & (e < V)[None, :]
        S_in, at_q = S.to(q.dtype.element_ty), q + start * q_row + key + in_q
        q_c = tl.load(at_q, mask=of_k, other=0.0)
        k_c = tl.load(k + start * k_row + key + in_k, mask=of_k, other=0.0)
        u = tl.load(v + start * v_row + h * V + in_v, mask=of_v, other=0.0).to(k_c.dtype)
        if GATE == HEAD:
            total = tl.load(G + (start + i) * HV + h, mask=live, other=0.0)
            last = tl.load(G + (tl.minimum(start + 64, end) - 1) * HV + h)
        if DELTA:
            old = tl.dot(k_c, S_in, input_precision=PRECISION)
            if GATE == HEAD:
                old = old * tl.exp(total)[:, None]
            new = (u.to(tl.float32) - old).to(k_c.dtype)
            u = tl.dot(tl.load(T + chunk + tile), new, input_precision=PRECISION).to(k_c.dtype)
        y = tl.dot(q_c, S_in, input_precision=PRECISION)
        if GATE == HEAD:
            y = y * tl.exp(total)[:, None]
        y = _with_own(y, tl.load(P + chunk + tile), u, scale, BK, PRECISION)
        tl.store(o + (start * HV + h) * V + in_o, y, mask=of_v)
        if GATE == HEAD:
            u = (u.to(tl.float32) * tl.exp(last - total)[:, None]).to(k_c.dtype)
            S = S * tl.exp(last)
        if GATE == CHANNEL:
            k_c = tl.load(k_out + start * k_row + key + in_k, mask=of_k, other=0.0)
            S = S * tl.load(G + chunk // 4096 * K + d, mask=d < K, other=0.0)[:, None]
        S = tl.dot(tl.trans(k_c), u, S, input_precision=PRECISION)
        chunk += HV * 4096
    tl.store(after + kept, S, mask=in_state)


@triton.jit
def _with_own(y, P, u, scale, BK: tl.constexpr, PRECISION: tl.constexpr):
    """What a chunk reads of the state before it, and of its own writes."""
    if BK > 128:
        # Scaled apart, or this product begins with the other, in its layout: registers spill.
        y = y * scale + tl.dot(P, u, input_precision=PRECISION) * scale
    else:
        y = tl.dot(P, u, y, input_precision=PRECISION) * scale
    return y
