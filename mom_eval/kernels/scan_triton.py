"""The walk over the chunks of a segment, one kernel for every gate.

    [yq; yk] = [scale q e^G; k e^G] S
    u = T (v - yk)                        without the delta rule: u = v
    o = yq + P u
    S = e^Gc S + (k e^(Gc - G))^T u

A program holds K x BV numbers of S in registers, float32, from the first chunk of a segment to its
last; nothing of a chunk but o goes to memory. Every factor is at most 1, so nothing overflows.
"""

import triton
import triton.language as tl

HEAD: tl.constexpr = tl.constexpr(1)
CHANNEL: tl.constexpr = tl.constexpr(2)


@triton.jit(do_not_specialize=["q_row", "k_row", "v_row", "H", "HV"])
def scan(
    q, k, k_out, v, P, T, G, o, before, after, cu_seqlens, first, scale, q_row, k_row, v_row, H, HV,
    K: tl.constexpr, V: tl.constexpr, GATE: tl.constexpr, DELTA: tl.constexpr,
    BK: tl.constexpr, BV: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Reads o [L, HV, V] and states `after` [N, HV, K, V] from `before`.

    GATE 0 or HEAD: q and k as they came, G [L, HV] the running sums. CHANNEL: q is scale q e^G, k is
    k e^G, k_out is k e^(Gc - G), each a row a value head, and G [chunks, HV, K] is e^Gc.
    """
    block, h, n = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    begin, end = tl.load(cu_seqlens + n), tl.load(cu_seqlens + n + 1)
    chunk = tl.load(first + n)
    i, d, e = tl.arange(0, 64), tl.arange(0, BK), block * BV + tl.arange(0, BV)
    kept = (n.to(tl.int64) * HV + h) * K * V + d[:, None] * V + e[None, :]
    in_state, in_v = (d < K)[:, None] & (e < V)[None, :], (e < V)[None, :]
    head = h if GATE == CHANNEL else h // (HV // H)
    S = tl.load(before + kept, mask=in_state, other=0.0)
    tile = i[:, None] * 64 + i[None, :]
    for start in range(begin, end, 64):
        rows = start + i
        live = rows < end
        in_k = live[:, None] & (d < K)[None, :]
        at_k = rows[:, None] * k_row + head * K + d[None, :]
        q_c = tl.load(q + rows[:, None] * q_row + head * K + d[None, :], mask=in_k, other=0.0)
        u = tl.load(
            v + rows[:, None] * v_row + h * V + e[None, :], mask=live[:, None] & in_v, other=0.0
        )
        scores = tl.load(P + (chunk * HV + h) * 4096 + tile)
        S_in = S.to(q_c.dtype)
        y = tl.dot(q_c, S_in, input_precision=PRECISION)
        if GATE == HEAD:
            total = tl.load(G + rows * HV + h, mask=live, other=0.0)
            last = tl.load(G + (tl.minimum(start + 64, end) - 1) * HV + h)
            fade = tl.exp(total)
            y = y * (fade * scale)[:, None]
        elif GATE == 0:
            y = y * scale
        if GATE == CHANNEL:
            k_c = tl.load(k_out + at_k, mask=in_k, other=0.0)
        else:
            k_c = tl.load(k + at_k, mask=in_k, other=0.0)
        if DELTA:
            solve = tl.load(T + (chunk * HV + h) * 4096 + tile)
            if GATE == CHANNEL:
                k_in = tl.load(k + at_k, mask=in_k, other=0.0)
                old = tl.dot(k_in, S_in, input_precision=PRECISION)
            else:
                old = tl.dot(k_c, S_in, input_precision=PRECISION)
            if GATE == HEAD:
                old = old * fade[:, None]
            new = (u.to(tl.float32) - old).to(q_c.dtype)
            u = tl.dot(solve, new, input_precision=PRECISION).to(q_c.dtype)
        y = tl.dot(scores, u, y, input_precision=PRECISION)
        tl.store(
            o + (rows[:, None] * HV + h) * V + e[None, :], y, mask=live[:, None] & in_v
        )
        if GATE == HEAD:
            u = (u.to(tl.float32) * tl.exp(last - total)[:, None]).to(q_c.dtype)
            S = S * tl.exp(last)
        if GATE == CHANNEL:
            fades = tl.load(G + (chunk * HV + h) * K + d, mask=d < K, other=0.0)
            S = S * fades[:, None]
        S = tl.dot(tl.trans(k_c), u, S, input_precision=PRECISION)
        chunk += 1
    tl.store(after + kept, S, mask=in_state)
