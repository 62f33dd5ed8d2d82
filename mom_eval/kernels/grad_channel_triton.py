"""`grad_triton` where every key channel decays by itself: D_ij is a vector over the channels.

A product with a decay between reader and writer is taken as the scores are in `prepare_triton`:
where they lie in different halves of the chunk, or of a half, from the middle between them; in one
block of 16 from its middle where nothing can overflow, else term by term.
"""

import triton
import triton.language as tl

from mom_eval.kernels.chunk_grid_triton import chunk_place
from mom_eval.kernels.grad_triton import through_states, within
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.prepare_triton import fits, from_ninth, sums, to_middle


@kernel("N", "beta_row", "H", "HV")
def grad_channel(
    q, k, g, u, do, beta, new, r, S, dS, dq, dk, dv, dg, dbeta, cu_seqlens, first, segment,
    scale, N, q_row, k_row, g_row, u_row, beta_row, H, HV,
    K: tl.constexpr, V: tl.constexpr, DELTA: tl.constexpr,
    BK: tl.constexpr, BV: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Dq, dk and dg [L, HV, K], with DELTA also dbeta [L, HV] and dv [L, HV, V]."""
    chunk, h = tl.program_id(0).to(tl.int64), tl.program_id(1)
    n, start, count = chunk_place(cu_seqlens, first, segment, chunk, N)
    if count <= 0:
        return
    i, j = tl.arange(0, 64)[:, None], tl.arange(0, 64)[None, :]
    live, row = tl.arange(0, 64) < count, tl.load(cu_seqlens + n) + start + tl.arange(0, 64)
    place = chunk * HV + h
    operand: tl.constexpr = q.dtype.element_ty
    q, k, g = q + h // (HV // H) * K, k + h // (HV // H) * K, g + h * K
    strength = tl.full([64], 1.0, tl.float32)
    if DELTA:
        strength = tl.load(beta + row * beta_row + h, mask=live, other=0.0).to(tl.float32)
    dX, dXT, dY, dYT, of_beta = within(
        do, u, new, r, dv, strength, row, live, h, u_row, HV, operand, V, DELTA, BV, PRECISION
    )
    # Apart, for what a token reads of itself hangs on no decay, not even by rounding.
    of_self = tl.sum(tl.where(i == j, dX, 0.0), 1)[:, None] * scale
    dX = tl.where(i > j, dX * scale, 0.0).to(operand)
    dXT = tl.where(i < j, dXT * scale, 0.0).to(operand)
    # Still without beta, as the gradient of beta wants it.
    dY = tl.where(i > j, -dY, 0.0).to(operand)
    dYT = tl.where(i < j, -dYT * strength[None, :], 0.0).to(operand)
    for start_k in range(0, K, BK):
        d = start_k + tl.arange(0, BK)
        inside = live[:, None] & (d < K)[None, :]
        q_d = tl.load(q + row[:, None] * q_row + d[None, :], mask=inside, other=0.0).to(tl.float32)
        k_d = tl.load(k + row[:, None] * k_row + d[None, :], mask=inside, other=0.0).to(tl.float32)
        gates = tl.load(g + row[:, None] * g_row + d[None, :], mask=inside, other=0.0)
        gates = gates.to(tl.float32)
        G, last = sums(gates, i >= j, operand, PRECISION), tl.sum(gates, 0)
        dq_d, reads, writes, both = through_states(
            do, u, r, S + place * K * V, dS + place * K * V, strength, row, live, d, h, u_row, HV,
            operand, K, V, DELTA, BK, BV, PRECISION,
        )  # fmt: skip
        writes = writes * tl.exp(tl.minimum(last[None, :] - G, 0.0))
        of_last = tl.sum(k_d * writes, 0) + tl.exp(last) * both
        dX_k, dY_k, back = _decayed(
            dX, dXT, dY, dYT, q_d, k_d, gates, operand, DELTA, BK, PRECISION
        )
        dq_d = dq_d * tl.exp(G) * scale + dX_k
        reads, writes = reads * tl.exp(G) + dY_k * strength[:, None], writes + back
        of_beta += tl.sum(dY_k * k_d, 1)
        dG = q_d * dq_d + k_d * (reads - writes)
        dG += tl.where(i == count - 1, of_last[None, :], 0.0)
        at = (row * HV + h)[:, None] * K + d[None, :]
        tl.store(dq + at, dq_d + of_self * k_d, mask=inside)
        tl.store(dk + at, reads + writes + of_self * q_d, mask=inside)
        tl.store(dg + at, sums(dG, (j >= i) & (j < count), operand, PRECISION), mask=inside)
    if DELTA:
        tl.store(dbeta + row * HV + h, of_beta, mask=live)


@triton.jit
def _decayed(
    dX, dXT, dY, dYT, q, k, gates, operand: tl.constexpr,
    DELTA: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Sums over writers j of dX_ij D_ij k_j and dY_ij D_ij k_j, and over readers of both's others.

    The last is dXT_ij D_ji q_j + dYT_ij D_ji k_j, of writers i; all are [64, BK] float32.
    """
    i, j = tl.arange(0, 64)[:, None], tl.arange(0, 64)[None, :]
    ofX, ofY = tl.zeros([64, BK], tl.float32), tl.zeros([64, BK], tl.float32)
    back = tl.zeros([64, BK], tl.float32)
    for HALF in tl.static_range(32, 0, -16):
        same = i // (2 * HALF) == j // (2 * HALF)
        fall = to_middle(gates, HALF, operand, PRECISION)
        ofX, ofY, back = _add(
            ofX, ofY, back, dX, dXT, dY, dYT, q, k, fall, fall,
            same & (i // HALF > j // HALF), same & (i // HALF < j // HALF),
            operand, DELTA, PRECISION,
        )  # fmt: skip
    near = i // 16 == j // 16
    middle = from_ninth(gates, operand, PRECISION)
    if fits(middle, operand):
        ofX, ofY, back = _add(
            ofX, ofY, back, dX, dXT, dY, dYT, q, k, tl.exp(middle), tl.exp(-middle), near, near,
            operand, DELTA, PRECISION,
        )  # fmt: skip
    else:
        inner = sums(gates, near & (j <= i), operand, PRECISION)
        ofX += _term_by_term(dX, k, inner, BK, False)
        back += _term_by_term(dXT, q, inner, BK, True)
        if DELTA:
            ofY += _term_by_term(dY, k, inner, BK, False)
            back += _term_by_term(dYT, k, inner, BK, True)
    return ofX, ofY, back


@triton.jit
def _add(
    ofX, ofY, back, dX, dXT, dY, dYT, q, k, read, write, here, there, operand: tl.constexpr,
    DELTA: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add products with what is written, times `read`, and with what is read, times `write`."""
    written = (k * write).to(operand)
    ofX += read * tl.dot(tl.where(here, dX, 0.0), written, input_precision=PRECISION)
    asked = tl.dot(tl.where(there, dXT, 0.0), (q * read).to(operand), input_precision=PRECISION)
    if DELTA:
        ofY += read * tl.dot(tl.where(here, dY, 0.0), written, input_precision=PRECISION)
        asked = tl.dot(
            tl.where(there, dYT, 0.0), (k * read).to(operand), asked, input_precision=PRECISION
        )
    back += write * asked
    return ofX, ofY, back


@triton.jit
def _term_by_term(x, y, inner, BK: tl.constexpr, BACK: tl.constexpr):
    """The sum over tokens j of one block of 16 of x_ij y_j, decayed between; BACK: j reads."""
    block = tl.arange(0, 4)
    same = (block[:, None] == block[None, :])[:, None, :, None]
    x = tl.sum(tl.where(same, tl.reshape(x.to(tl.float32), [4, 16, 4, 16]), 0.0), 2)
    y, G = tl.reshape(y, [4, 16, BK]), tl.reshape(inner, [4, 16, BK])
    out, token = tl.zeros([4, 16, BK], tl.float32), tl.arange(0, 16)
    for j in range(16):
        chosen = (token == j)[None, :, None]
        y_j = tl.sum(tl.where(chosen, y, 0.0), 1)[:, None, :]
        G_j = tl.sum(tl.where(chosen, G, 0.0), 1)[:, None, :]
        x_j = tl.sum(tl.where((token == j)[None, None, :], x, 0.0), 2)[:, :, None]
        between = G_j - G if BACK else G - G_j
        out += x_j * y_j * tl.exp(tl.minimum(between, 0.0))
    return tl.reshape(out, [64, BK])
