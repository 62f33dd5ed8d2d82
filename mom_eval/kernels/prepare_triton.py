"""What a chunk of 64 tokens needs of itself, all chunks at once: the gates' own part of the op.

With G the running sum of g in the chunk, a program a chunk and value head writes

    P_ij = scale * sum_d q_id e^(G_id - G_jd) k_jd    j <= i
    T    = (I + A)^-1 diag(beta)                      A_ij = beta_i sum_d k_id e^(G_id - G_jd) k_jd, j < i

and what `scan` multiplies by: for a decay a head G itself; for one a channel scale q e^G, k e^G (with
the delta rule), k e^(Gc - G) and e^Gc. No exponent is positive, so nothing overflows.
"""

import triton
import triton.language as tl

from mom_eval.kernels.inverse_triton import unit_lower_inverse


@triton.jit
def chunk_place(cu_seqlens, first, segment, chunk, N):
    """Where a chunk begins, and how many of its 64 tokens there are: none behind the last chunk."""
    n = tl.load(segment + chunk)
    there = n < N
    n = tl.minimum(n, N - 1)
    begin = tl.load(cu_seqlens + n) + (chunk - tl.load(first + n)) * 64
    return begin, tl.where(there, tl.minimum(tl.load(cu_seqlens + n + 1) - begin, 64), 0)


@triton.jit
def _store_scores(p, a, scale, beta, P, T, live, place, DELTA: tl.constexpr, PRECISION: tl.constexpr):
    """Write P from p [64, 64], and with the delta rule T from a, at the place of chunk and head."""
    i, j = tl.arange(0, 64)[:, None], tl.arange(0, 64)[None, :]
    at = place * 4096 + i * 64 + j
    tl.store(P + at, tl.where(i >= j, p * scale, 0.0))
    if DELTA:
        t = unit_lower_inverse(tl.where(i > j, a * beta[:, None], 0.0), PRECISION)
        tl.store(T + at, tl.where(i >= j, t * beta[None, :], 0.0))


@triton.jit(do_not_specialize=["N", "q_row", "k_row", "g_row", "beta_row", "H", "HV"])
def prepare_head(
    q, k, g, beta, P, T, G, cu_seqlens, first, segment, scale, N, q_row, k_row, g_row, beta_row, H, HV,
    K: tl.constexpr, GATE: tl.constexpr, DELTA: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """P, T and G where the decay is one a head (GATE) or there is none."""
    chunk, h = tl.program_id(0).to(tl.int64), tl.program_id(1)
    begin, count = chunk_place(cu_seqlens, first, segment, chunk, N)
    if count <= 0:
        return
    i = tl.arange(0, 64)
    live, rows = i < count, begin + i
    of_q = q + rows[:, None] * q_row + h // (HV // H) * K
    of_k = k + rows[:, None] * k_row + h // (HV // H) * K
    p = tl.zeros([64, 64], tl.float32)
    a = tl.zeros([64, 64], tl.float32)
    for start in range(0, K, BK):
        d = start + tl.arange(0, BK)
        inside = live[:, None] & (d < K)[None, :]
        q_d = tl.load(of_q + d[None, :], mask=inside, other=0.0)
        k_d = tl.load(of_k + d[None, :], mask=inside, other=0.0)
        p = tl.dot(q_d, tl.trans(k_d), p, input_precision=PRECISION)
        if DELTA:
            a = tl.dot(k_d, tl.trans(k_d), a, input_precision=PRECISION)
    strength = tl.zeros([64], tl.float32)
    if DELTA:
        strength = tl.load(beta + rows * beta_row + h, mask=live, other=0.0).to(tl.float32)
    if GATE:
        total = tl.cumsum(tl.load(g + rows * g_row + h, mask=live, other=0.0).to(tl.float32), 0)
        tl.store(G + rows * HV + h, total, mask=live)
        decay = tl.exp(tl.minimum(total[:, None] - total[None, :], 0.0))
        p, a = p * decay, a * decay
    _store_scores(p, a, scale, strength, P, T, live, chunk * HV + h, DELTA, PRECISION)


@triton.jit(do_not_specialize=["N", "q_row", "k_row", "g_row", "beta_row", "H", "HV"])
def prepare_channel(
    q, k, g, beta, P, T, q_in, k_in, k_out, decay, cu_seqlens, first, segment, scale, N,
    q_row, k_row, g_row, beta_row, H, HV,
    K: tl.constexpr, DELTA: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """P, T and the factors of `scan` where every key channel decays by itself.

    Between blocks of 16 tokens a product whose factors decay to and from the block's beginning;
    inside a block term by term, since the two ends of a block may lie 16 times -50 apart.
    """
    chunk, h = tl.program_id(0).to(tl.int64), tl.program_id(1)
    begin, count = chunk_place(cu_seqlens, first, segment, chunk, N)
    if count <= 0:
        return
    i = tl.arange(0, 64)
    live, rows = i < count, begin + i
    key = h // (HV // H) * K
    p = tl.zeros([64, 64], tl.float32)
    a = tl.zeros([64, 64], tl.float32)
    p_near = tl.zeros([4, 16, 16], tl.float32)
    a_near = tl.zeros([4, 16, 16], tl.float32)
    near = tl.arange(0, 16)
    for start in range(0, K, BK):
        d = start + tl.arange(0, BK)
        inside = live[:, None] & (d < K)[None, :]
        q_d = tl.load(q + rows[:, None] * q_row + key + d[None, :], mask=inside, other=0.0)
        k_d = tl.load(k + rows[:, None] * k_row + key + d[None, :], mask=inside, other=0.0)
        at = (rows[:, None] * HV + h) * K + d[None, :]
        gates = tl.load(g + rows[:, None] * g_row + h * K + d[None, :], mask=inside, other=0.0)
        G = tl.cumsum(gates.to(tl.float32), 0)
        q_w, k_w = q_d.to(tl.float32), k_d.to(tl.float32)
        last = tl.sum(tl.where((i == 63)[:, None], G, 0.0), 0)
        tl.store(q_in + at, q_w * tl.exp(G) * scale, mask=inside)
        tl.store(k_out + at, k_w * tl.exp(tl.minimum(last[None, :] - G, 0.0)), mask=inside)
        if DELTA:
            tl.store(k_in + at, k_w * tl.exp(G), mask=inside)
        tl.store(decay + (chunk * HV + h) * K + d, tl.exp(last), mask=d < K)
        for block in range(1, 4):
            edge = tl.sum(tl.where((i == 16 * block - 1)[:, None], G, 0.0), 0)[None, :]
            before, here = (i < 16 * block)[:, None], (i // 16 == block)[:, None]
            k_far = tl.where(before, k_w * tl.exp(tl.minimum(edge - G, 0.0)), 0.0).to(k_d.dtype)
            fade = tl.where(here, tl.exp(tl.minimum(G - edge, 0.0)), 0.0)
            q_far, k_near = (q_w * fade).to(k_d.dtype), (k_w * fade).to(k_d.dtype)
            p = tl.dot(q_far, tl.trans(k_far), p, input_precision=PRECISION)
            if DELTA:
                a = tl.dot(k_near, tl.trans(k_far), a, input_precision=PRECISION)
        q_4, k_4 = tl.reshape(q_w, [4, 16, BK]), tl.reshape(k_w, [4, 16, BK])
        G_4 = tl.reshape(G, [4, 16, BK])
        for j in range(16):
            chosen = (near == j)[None, :, None]
            k_j = tl.sum(tl.where(chosen, k_4, 0.0), 1)[:, None, :]
            G_j = tl.sum(tl.where(chosen, G_4, 0.0), 1)[:, None, :]
            write = k_j * tl.exp(tl.minimum(G_4 - G_j, 0.0))
            column = (near == j)[None, None, :]
            p_near += tl.where(column, tl.sum(q_4 * write, 2)[:, :, None], 0.0)
            if DELTA:
                a_near += tl.where(column, tl.sum(k_4 * write, 2)[:, :, None], 0.0)
    p += _on_diagonal(p_near)
    strength = tl.zeros([64], tl.float32)
    if DELTA:
        a += _on_diagonal(a_near)
        strength = tl.load(beta + rows * beta_row + h, mask=live, other=0.0).to(tl.float32)
    # The factors are scaled already, the scores are not.
    _store_scores(p, a, scale, strength, P, T, live, chunk * HV + h, DELTA, PRECISION)


@triton.jit
def _on_diagonal(blocks):
    """[4, 16, 16] -> [64, 64] with these blocks on its diagonal and nothing else."""
    block = tl.arange(0, 4)
    same = (block[:, None] == block[None, :])[:, None, :, None]
    return tl.reshape(tl.where(same, blocks[:, :, None, :], 0.0), [64, 64])
