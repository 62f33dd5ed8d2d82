"""The gradients of a chunk of 64 tokens, all chunks at once: what no other chunk needs.

With S, dS, `new`, u and r as `backward_triton` keeps them, and D_ij = e^(Gi - Gj):

    dX = scale (do u^T) D   j <= i           of q k^T
    dY = -(r u^T) beta D    j < i            of k k^T
    dq = scale e^G do S^T + dX k
    dk = -e^G beta r S^T + dY k  [of reads]  +  e^(Gc - G) u dS^T + dX^T q + dY^T k  [of writes]
    dbeta = r . new - sum over j of (r u^T) D (k k^T)
    dG = q . dq + k . (reads - writes),  and of Gc: k . e^(Gc - G) u dS^T + e^Gc <S, dS>

and dg is the sum of dG from a token to the end of its chunk. Products are never transposed, only
their factors are: Hopper's compiler has been wrong there.
"""

import triton
import triton.language as tl

from mom_eval.kernels.backward_triton import decays
from mom_eval.kernels.chunk_grid_triton import chunk_place
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.scan_triton import HEAD


@kernel("N", "beta_row", "H", "HV")
def grad_head(
    q, k, u, do, beta, G, new, r, S, dS, dq, dk, dv, dg, dbeta, cu_seqlens, first, segment,
    scale, N, q_row, k_row, u_row, beta_row, H, HV,
    K: tl.constexpr, V: tl.constexpr, GATE: tl.constexpr, DELTA: tl.constexpr,
    BK: tl.constexpr, BV: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Dq and dk [L, HV, K], and as there are gates dg and dbeta [L, HV]; with DELTA dv [L, HV, V].

    The decay is one a head (GATE), or there is none.
    """
    chunk, h = tl.program_id(0).to(tl.int64), tl.program_id(1)
    n, start, count = chunk_place(cu_seqlens, first, segment, chunk, N)
    if count <= 0:
        return
    begin = tl.load(cu_seqlens + n) + start
    i = tl.arange(0, 64)
    live, row = i < count, begin + i
    place = chunk * HV + h
    q, k = q + h // (HV // H) * K, k + h // (HV // H) * K
    total, last, strength = decays(
        G, beta, beta_row, begin, begin + count, h, HV, i, live, GATE, DELTA
    )
    dX, dXT, dY, dYT, of_beta = within(
        do, u, new, r, dv, strength, row, live, h, u_row, HV, q.dtype.element_ty,
        V, DELTA, True, BV, PRECISION,
    )  # fmt: skip
    dX, dXT, dY, dYT, of_self = _decayed(
        dX, dXT, dY, dYT, total, strength, scale, q.dtype.element_ty, DELTA
    )
    dG, of_last = tl.zeros([64], tl.float32), 0.0
    for start_k in range(0, K, BK):
        d = start_k + tl.arange(0, BK)
        inside = live[:, None] & (d < K)[None, :]
        q_d = tl.load(q + row[:, None] * q_row + d[None, :], mask=inside, other=0.0)
        k_d = tl.load(k + row[:, None] * k_row + d[None, :], mask=inside, other=0.0)
        dq_d, reads, writes, both = through_states(
            do, u, r, S + place * K * V, dS + place * K * V, strength, row, live, d, h, u_row, HV,
            q.dtype.element_ty, K, V, DELTA, BK, BV, PRECISION,
        )  # fmt: skip
        dq_d = dq_d * (scale * tl.exp(total))[:, None]
        dq_d = tl.dot(dX, k_d, dq_d, input_precision=PRECISION)
        reads = reads * tl.exp(total)[:, None]
        writes = writes * tl.exp(last - total)[:, None]
        of_last += tl.sum(tl.where(live[:, None], k_d.to(tl.float32) * writes, 0.0))
        of_last += tl.exp(last) * tl.sum(both, 0)
        writes = tl.dot(dXT, q_d, writes, input_precision=PRECISION)
        if DELTA:
            own = tl.dot(dY, k_d, input_precision=PRECISION)
            of_beta += tl.sum(own * k_d.to(tl.float32), 1)
            reads += own * strength[:, None]
            writes = tl.dot(dYT, k_d, writes, input_precision=PRECISION)
        dG += tl.sum(q_d.to(tl.float32) * dq_d + k_d.to(tl.float32) * (reads - writes), 1)
        at = (row * HV + h)[:, None] * K + d[None, :]
        tl.store(dq + at, dq_d + of_self * k_d, mask=inside)
        tl.store(dk + at, reads + writes + of_self * q_d, mask=inside)
    if GATE == HEAD:
        dG = tl.where(live, dG + tl.where(i == count - 1, of_last, 0.0), 0.0)
        tl.store(dg + row * HV + h, tl.cumsum(dG, 0, reverse=True), mask=live)
    if DELTA:
        tl.store(dbeta + row * HV + h, of_beta, mask=live)


@triton.jit
def _decayed(
    dX, dXT, dY, dYT, total, strength, scale, operand: tl.constexpr, DELTA: tl.constexpr
):  # fmt: skip
    """Products of `within` as factors of k and q, and what a token reads of itself [64, 1].

    That is apart, since it hangs on no decay, not even by rounding.
    """
    i, j = tl.arange(0, 64)[:, None], tl.arange(0, 64)[None, :]
    decay = tl.exp(tl.minimum(total[:, None] - total[None, :], 0.0))
    rise = tl.exp(tl.minimum(total[None, :] - total[:, None], 0.0))
    of_self = tl.sum(tl.where(i == j, dX, 0.0), 1)[:, None] * scale
    dX = tl.where(i > j, dX * decay * scale, 0.0).to(operand)
    dXT = tl.where(i < j, dXT * rise * scale, 0.0).to(operand)
    if DELTA:
        # Still without beta, as the gradient of beta wants it.
        dY = tl.where(i > j, -dY * decay, 0.0)
        dYT = tl.where(i < j, -dYT * rise * strength[None, :], 0.0)
    return dX, dXT, dY.to(operand), dYT.to(operand), of_self


@triton.jit
def within(
    do, u, new, r, dv, strength, row, live, h, u_row, HV, operand: tl.constexpr,
    V: tl.constexpr, DELTA: tl.constexpr, TURNED: tl.constexpr, BV: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Do u^T, u do^T, r u^T, u r^T [64, 64], and r . new [64]; writes dv = beta r.

    Without TURNED, the second and the fourth are 0.
    """
    dX, dXT = tl.zeros([64, 64], tl.float32), tl.zeros([64, 64], tl.float32)
    dY, dYT = tl.zeros([64, 64], tl.float32), tl.zeros([64, 64], tl.float32)
    of_beta = tl.zeros([64], tl.float32)
    for start in range(0, V, BV):
        e = start + tl.arange(0, BV)
        inside = live[:, None] & (e < V)[None, :]
        at = (row * HV + h)[:, None] * V + e[None, :]
        at_u = row[:, None] * u_row + h * V + e[None, :]
        u_e = tl.load(u + at_u, mask=inside, other=0.0).to(operand)
        do_e = tl.load(do + at, mask=inside, other=0.0).to(operand)
        dX = tl.dot(do_e, tl.trans(u_e), dX, input_precision=PRECISION)
        if TURNED:
            dXT = tl.dot(u_e, tl.trans(do_e), dXT, input_precision=PRECISION)
        if DELTA:
            r_e = tl.load(r + at, mask=inside, other=0.0)
            dY = tl.dot(r_e.to(operand), tl.trans(u_e), dY, input_precision=PRECISION)
            if TURNED:
                dYT = tl.dot(u_e, tl.trans(r_e.to(operand)), dYT, input_precision=PRECISION)
            found = tl.load(new + at, mask=inside, other=0.0)
            of_beta += tl.sum(r_e.to(tl.float32) * found.to(tl.float32), 1)
            tl.store(dv + at, r_e.to(tl.float32) * strength[:, None], mask=inside)
    return dX, dXT, dY, dYT, of_beta


@triton.jit
def through_states(
    do, u, r, S, dS, strength, row, live, d, h, u_row, HV, operand: tl.constexpr,
    K: tl.constexpr, V: tl.constexpr, DELTA: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Some columns of do S^T, -beta r S^T and u dS^T [64, BK], and sums of S dS [BK]."""
    reads, olds = tl.zeros([64, BK], tl.float32), tl.zeros([64, BK], tl.float32)
    writes, both = tl.zeros([64, BK], tl.float32), tl.zeros([BK], tl.float32)
    for start in range(0, V, BV):
        e = start + tl.arange(0, BV)
        inside = live[:, None] & (e < V)[None, :]
        at = (row * HV + h)[:, None] * V + e[None, :]
        state = d[:, None] * V + e[None, :]
        in_state = (d < K)[:, None] & (e < V)[None, :]
        S_e = tl.load(S + state, mask=in_state, other=0.0)
        dS_e = tl.load(dS + state, mask=in_state, other=0.0)
        both += tl.sum(S_e.to(tl.float32) * dS_e.to(tl.float32), 1)
        do_e = tl.load(do + at, mask=inside, other=0.0).to(operand)
        reads = tl.dot(do_e, tl.trans(S_e), reads, input_precision=PRECISION)
        at_u = row[:, None] * u_row + h * V + e[None, :]
        u_e = tl.load(u + at_u, mask=inside, other=0.0).to(operand)
        writes = tl.dot(u_e, tl.trans(dS_e), writes, input_precision=PRECISION)
        if DELTA:
            r_e = tl.load(r + at, mask=inside, other=0.0).to(tl.float32)
            read = (-r_e * strength[:, None]).to(operand)
            olds = tl.dot(read, tl.trans(S_e), olds, input_precision=PRECISION)
    return reads, olds, writes, both
