"""Walks along the chunks of a segment for the gradients of `gated_delta`: forth, then back.

With S the state before a chunk, dS the gradient of the state behind it, M = (I + A)^-1, and
without the delta rule `new` = u = v:

    new = v - k e^G S                u = M beta new
    du = scale P^T do + k e^(Gc - G) dS
    r = M^T du                       dv = beta r            without the delta rule: dv = du
    dS <- e^Gc dS + scale (q e^G)^T do - (k e^G)^T dv

Where every key channel decays by itself, q e^G, k e^G, k e^(Gc - G) and e^Gc are those of
`prepare`. `states` keeps S of every chunk, `new` and u; `slopes` keeps dS, and r. What else a chunk
needs is its own, and for all chunks at once: see `grad_triton`.
"""

import triton
import triton.language as tl

from mom_eval.kernels.launch import kernel
from mom_eval.kernels.scan_triton import CHANNEL, HEAD


@triton.jit
def decays(G, beta, beta_row, start, end, h, HV, i, live, GATE: tl.constexpr, DELTA: tl.constexpr):
    """A chunk's running sums of decay, the last of them, and strengths; 0, 0 and 1 if none."""
    total, last, strength = tl.zeros([64], tl.float32), 0.0, tl.full([64], 1.0, tl.float32)
    if GATE == HEAD:
        total = tl.load(G + (start + i) * HV + h, mask=live, other=0.0)
        last = tl.load(G + (tl.minimum(start + 64, end) - 1) * HV + h)
    if DELTA:
        strength = tl.load(beta + (start + i) * beta_row + h, mask=live, other=0.0).to(tl.float32)
    return total, last, strength


@kernel("H", "HV", "past", "beta_row")
def states(
    k, k_out, v, beta, M, G, new, written, kept, before, cu_seqlens, first,
    k_row, v_row, beta_row, H, HV, past,
    K: tl.constexpr, V: tl.constexpr, GATE: tl.constexpr, DELTA: tl.constexpr,
    BK: tl.constexpr, BV: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """S before every chunk, kept [chunks, HV, K, V]; with DELTA new, and u, written [L, HV, V]."""
    block, h, n = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    begin, end = tl.load(cu_seqlens + n), tl.load(cu_seqlens + n + 1)
    i, d, e = tl.arange(0, 64), tl.arange(0, BK), block * BV + tl.arange(0, BV)
    state = d[:, None] * V + e[None, :]
    in_state = (d < K)[:, None] & (e < V)[None, :]
    S = tl.load(before + (n * HV + h) * K * V + state, mask=in_state & (past != 0), other=0.0)
    key = (h if GATE == CHANNEL else h // (HV // H)) * K
    k, k_out = k + key, k_out + key
    tile = i[:, None] * 64 + i[None, :]
    chunk = tl.load(first + n)
    for start in range(begin, end, 64):
        live = i < end - start
        of_k, of_v = live[:, None] & (d < K)[None, :], live[:, None] & (e < V)[None, :]
        k_c = tl.load(k + (start + i)[:, None] * k_row + d[None, :], mask=of_k, other=0.0)
        u = tl.load(v + (start + i)[:, None] * v_row + h * V + e[None, :], mask=of_v, other=0.0)
        u, S_in = u.to(k_c.dtype), S.to(k_c.dtype)
        tl.store(kept + (chunk * HV + h) * K * V + state, S_in, mask=in_state)
        total, last, strength = decays(G, beta, beta_row, start, end, h, HV, i, live, GATE, DELTA)
        if DELTA:
            old = tl.dot(k_c, S_in, input_precision=PRECISION) * tl.exp(total)[:, None]
            found = u.to(tl.float32) - old
            at = ((start + i) * HV + h)[:, None] * V + e[None, :]
            tl.store(new + at, found, mask=of_v)
            found = (found * strength[:, None]).to(k_c.dtype)
            M_c = tl.load(M + (chunk * HV + h) * 4096 + tile)
            u = tl.dot(M_c, found, input_precision=PRECISION).to(k_c.dtype)
            tl.store(written + at, u, mask=of_v)
        if GATE == HEAD:
            u = (u.to(tl.float32) * tl.exp(last - total)[:, None]).to(k_c.dtype)
            S = S * tl.exp(last)
        if GATE == CHANNEL:
            k_c = tl.load(k_out + (start + i)[:, None] * k_row + d[None, :], mask=of_k, other=0.0)
            S = S * tl.load(G + (chunk * HV + h) * K + d, mask=d < K, other=0.0)[:, None]
        S = tl.dot(tl.trans(k_c), u, S, input_precision=PRECISION)
        chunk += 1


@kernel("H", "HV", "beta_row")
def slopes(
    q, k, k_out, do, beta, P, M, G, r, kept, behind, before, cu_seqlens, first, scale,
    q_row, k_row, beta_row, H, HV,
    K: tl.constexpr, V: tl.constexpr, GATE: tl.constexpr, DELTA: tl.constexpr,
    BK: tl.constexpr, BV: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """DS behind every chunk, kept [chunks, HV, K, V], and r [L, HV, V], dv without the delta rule.

    They begin with `behind`, and end in `before`, both [N, HV, K, V].
    """
    block, h, n = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    begin, end = tl.load(cu_seqlens + n), tl.load(cu_seqlens + n + 1)
    i, d, e = tl.arange(0, 64), tl.arange(0, BK), block * BV + tl.arange(0, BV)
    state = d[:, None] * V + e[None, :]
    in_state = (d < K)[:, None] & (e < V)[None, :]
    dS = tl.load(behind + (n * HV + h) * K * V + state, mask=in_state, other=0.0)
    key = (h if GATE == CHANNEL else h // (HV // H)) * K
    q, k, k_out = q + key, k + key, k_out + key
    tile = i[:, None] * 64 + i[None, :]
    chunks = (end - begin + 63) // 64
    for back in range(0, chunks):
        start = begin + (chunks - 1 - back) * 64
        chunk = (tl.load(first + n) + chunks - 1 - back) * HV + h
        live = i < end - start
        of_k, of_v = live[:, None] & (d < K)[None, :], live[:, None] & (e < V)[None, :]
        q_c = tl.load(q + (start + i)[:, None] * q_row + d[None, :], mask=of_k, other=0.0)
        k_c = tl.load(k + (start + i)[:, None] * k_row + d[None, :], mask=of_k, other=0.0)
        at = ((start + i) * HV + h)[:, None] * V + e[None, :]
        do_c = tl.load(do + at, mask=of_v, other=0.0).to(k_c.dtype)
        dS_in = dS.to(k_c.dtype)
        tl.store(kept + chunk * K * V + state, dS_in, mask=in_state)
        total, last, strength = decays(G, beta, beta_row, start, end, h, HV, i, live, GATE, DELTA)
        at_k = (start + i)[:, None] * k_row + d[None, :]
        out_c = tl.load(k_out + at_k, mask=of_k, other=0.0) if GATE == CHANNEL else k_c
        du = tl.dot(out_c, dS_in, input_precision=PRECISION) * tl.exp(last - total)[:, None]
        P_c = tl.load(P + chunk * 4096 + tile)
        du += scale * tl.dot(tl.trans(P_c), do_c, input_precision=PRECISION)
        if DELTA:
            M_c = tl.load(M + chunk * 4096 + tile)
            du = tl.dot(tl.trans(M_c), du.to(k_c.dtype), input_precision=PRECISION)
        tl.store(r + at, du, mask=of_v)
        read = (do_c.to(tl.float32) * (scale * tl.exp(total))[:, None]).to(k_c.dtype)
        if GATE == CHANNEL:
            dS = dS * tl.load(G + chunk * K + d, mask=d < K, other=0.0)[:, None]
        else:
            dS = dS * tl.exp(last)
        dS = tl.dot(tl.trans(q_c), read, dS, input_precision=PRECISION)
        if DELTA:
            written = (-du * (strength * tl.exp(total))[:, None]).to(k_c.dtype)
            dS = tl.dot(tl.trans(k_c), written, dS, input_precision=PRECISION)
    tl.store(before + (n * HV + h) * K * V + state, dS, mask=in_state)
