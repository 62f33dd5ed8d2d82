"""`grad_triton` where every key channel decays by itself: D_ij is a vector over the channels.

Two kernels. `grad_states` has what goes through states, and the products over values, dX and dY;
there decays are factors of rows. `grad_gates` has what decays inside a chunk. There a product with
a decay between reader and writer is taken as the scores are in `prepare_channel_triton`: from the
middle of the chunk where nothing can overflow; else, where they lie in different halves of it, or
of a half, from the middle between them; in one block of 16 from its middle, or term by term.
"""

import triton
import triton.language as tl

from mom_eval.kernels.chunk_grid_triton import chunk_place
from mom_eval.kernels.grad_triton import through_states, within
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.prepare_channel_triton import from_middle, largest, sums, to_middle


@kernel("N", "beta_row", "HV")
def grad_states(
    u, do, beta, new, r, S, dS, dv, of_q, of_read, of_write, both, dX, dY, own, of_new,
    cu_seqlens, first, segment, scale, N, u_row, beta_row, HV,
    K: tl.constexpr, V: tl.constexpr, DELTA: tl.constexpr,
    BK: tl.constexpr, BV: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """What `grad_gates` takes; with DELTA also dv = beta r [L, HV, V].

    Float32: do S^T, -beta r S^T and u dS^T [L, HV, K], sums of S dS [chunks, HV, K], the diagonal
    of dX, and r . new [L, HV]. Of operands' type: dX and dY [chunks, HV, 64, 64], strictly lower,
    without decays, dY also without beta.
    """
    chunk, h = tl.program_id(0).to(tl.int64), tl.program_id(1)
    n, start, count = chunk_place(cu_seqlens, first, segment, chunk, N)
    if count <= 0:
        return
    i, place = tl.arange(0, 64), chunk * HV + h
    live, row = i < count, tl.load(cu_seqlens + n) + start + i
    operand: tl.constexpr = S.dtype.element_ty
    strength = tl.full([64], 1.0, tl.float32)
    if DELTA:
        strength = tl.load(beta + row * beta_row + h, mask=live, other=0.0).to(tl.float32)
    x, _, y, _, found = within(
        do, u, new, r, dv, strength, row, live, h, u_row, HV, operand, V, DELTA, False, BV,
        PRECISION,
    )  # fmt: skip
    lower, tile = i[:, None] > i[None, :], place * 4096 + i[:, None] * 64 + i[None, :]
    diagonal = tl.sum(tl.where(i[:, None] == i[None, :], x, 0.0), 1)
    tl.store(own + row * HV + h, diagonal * scale, mask=live)
    tl.store(dX + tile, tl.where(lower, x * scale, 0.0))
    if DELTA:
        tl.store(dY + tile, tl.where(lower, -y, 0.0))
        tl.store(of_new + row * HV + h, found, mask=live)
    for start_k in range(0, K, BK):
        d = start_k + tl.arange(0, BK)
        reads, olds, writes, states = through_states(
            do, u, r, S + place * K * V, dS + place * K * V, strength, row, live, d, h, u_row, HV,
            operand, K, V, DELTA, BK, BV, PRECISION,
        )  # fmt: skip
        at = (row * HV + h)[:, None] * K + d[None, :]
        inside = live[:, None] & (d < K)[None, :]
        tl.store(of_q + at, reads, mask=inside)
        tl.store(of_write + at, writes, mask=inside)
        if DELTA:
            tl.store(of_read + at, olds, mask=inside)
        tl.store(both + place * K + d, states, mask=d < K)


@kernel("N", "beta_row", "H", "HV", "L")
def grad_gates(
    q, k, g, beta, of_q, of_read, of_write, both, dX, dY, own, dq, dk, dg, dbeta, far,
    cu_seqlens, first, segment, scale, N, q_row, k_row, g_row, beta_row, H, HV, L,
    K: tl.constexpr, DELTA: tl.constexpr, FAR: tl.constexpr,
    BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """BK channels of dq, dk and dg [L, HV, K], and what they add to dbeta [blocks, L, HV].

    A launch has the chunks that `prepare_channel` marked as FAR, or all others.
    """
    chunk, h, block = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    n, start, count = chunk_place(cu_seqlens, first, segment, chunk, N)
    if count <= 0:
        return
    if (tl.load(far + chunk * HV + h) != 0) != FAR:
        return
    i, j = tl.arange(0, 64)[:, None], tl.arange(0, 64)[None, :]
    live, row = tl.arange(0, 64) < count, tl.load(cu_seqlens + n) + start + tl.arange(0, 64)
    operand: tl.constexpr = q.dtype.element_ty
    place, d = chunk * HV + h, block * BK + tl.arange(0, BK)
    inside = live[:, None] & (d < K)[None, :]
    at_head, at = h // (HV // H) * K + d[None, :], (row * HV + h)[:, None] * K + d[None, :]
    q_d = tl.load(q + row[:, None] * q_row + at_head, mask=inside, other=0.0).to(tl.float32)
    k_d = tl.load(k + row[:, None] * k_row + at_head, mask=inside, other=0.0).to(tl.float32)
    gates = tl.load(g + row[:, None] * g_row + h * K + d[None, :], mask=inside, other=0.0)
    gates = gates.to(tl.float32)
    dX += place * 4096
    dY += place * 4096
    strength = tl.full([64], 1.0, tl.float32)
    if DELTA:
        strength = tl.load(beta + row * beta_row + h, mask=live, other=0.0).to(tl.float32)
    of_x, of_y, back = _within(
        dX, dY, q_d, k_d, strength, gates, operand, DELTA, FAR, BK, PRECISION
    )
    G, last = sums(gates, i >= j, operand, PRECISION), tl.sum(gates, 0)
    dq_d = tl.load(of_q + at, mask=inside, other=0.0) * tl.exp(G) * scale + of_x
    reads, writes = of_y * strength[:, None], tl.load(of_write + at, mask=inside, other=0.0)
    if DELTA:
        reads += tl.load(of_read + at, mask=inside, other=0.0) * tl.exp(G)
        mine = dbeta + block.to(tl.int64) * L * HV + row * HV + h
        tl.store(mine, tl.sum(of_y * k_d, 1), mask=live)
    writes *= tl.exp(tl.minimum(last[None, :] - G, 0.0))
    states = tl.load(both + place * K + d, mask=d < K, other=0.0)
    of_last = tl.sum(k_d * writes, 0) + tl.exp(last) * states
    writes += back
    dG = q_d * dq_d + k_d * (reads - writes)
    dG += tl.where(i == count - 1, of_last[None, :], 0.0)
    itself = tl.load(own + row * HV + h, mask=live, other=0.0)[:, None]
    tl.store(dq + at, dq_d + itself * k_d, mask=inside)
    tl.store(dk + at, reads + writes + itself * q_d, mask=inside)
    tl.store(dg + at, tl.cumsum(dG, 0, reverse=True), mask=inside)


@triton.jit
def _within(
    dX, dY, q, k, strength, gates, operand: tl.constexpr,
    DELTA: tl.constexpr, FAR: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Sums over writers j of dX_ij D_ij k_j and dY_ij D_ij k_j, and over readers of both's others.

    The last is dX_ji D_ji q_j + beta_j dY_ji D_ji k_j, of writers i; all are [64, BK] float32.
    """
    of_x, of_y = tl.zeros([64, BK], tl.float32), tl.zeros([64, BK], tl.float32)
    back = tl.zeros([64, BK], tl.float32)
    if FAR:
        of_x, of_y, back = _in_blocks(
            of_x, of_y, back, dX, dY, q, k, strength, gates, operand, DELTA, BK, PRECISION
        )
    else:
        i, j = tl.arange(0, 64)[:, None], tl.arange(0, 64)[None, :]
        middle = from_middle(gates, 64, operand, PRECISION)
        of_x, of_y, back = _add(
            of_x, of_y, back, dX, dY, q, k, strength, tl.exp(middle), tl.exp(-middle), i != j,
            operand, DELTA, PRECISION,
        )  # fmt: skip
    return of_x, of_y, back


@triton.jit
def _in_blocks(
    of_x, of_y, back, dX, dY, q, k, strength, gates, operand: tl.constexpr,
    DELTA: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add what is within a chunk that is FAR."""
    i, j = tl.arange(0, 64)[:, None], tl.arange(0, 64)[None, :]
    for HALF in tl.static_range(32, 0, -16):
        fall = to_middle(gates, HALF, operand, PRECISION)
        here = (i // (2 * HALF) == j // (2 * HALF)) & (i // HALF != j // HALF)
        of_x, of_y, back = _add(
            of_x, of_y, back, dX, dY, q, k, strength, fall, fall, here, operand, DELTA, PRECISION
        )
    middle, near = from_middle(gates, 16, operand, PRECISION), i // 16 == j // 16
    if tl.max(tl.abs(middle)) <= largest(operand):
        of_x, of_y, back = _add(
            of_x, of_y, back, dX, dY, q, k, strength, tl.exp(middle), tl.exp(-middle), near,
            operand, DELTA, PRECISION,
        )  # fmt: skip
    else:
        inner = sums(gates, near & (j <= i), operand, PRECISION)
        of_x += _term_by_term(dX, k, inner, BK, False)
        back += _term_by_term(dX, q, inner, BK, True)
        if DELTA:
            of_y += _term_by_term(dY, k, inner, BK, False)
            back += _term_by_term(dY, k * strength[:, None], inner, BK, True)
    return of_x, of_y, back


@triton.jit
def _add(
    of_x, of_y, back, dX, dY, q, k, strength, read, write, here, operand: tl.constexpr,
    DELTA: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add products with what is written, times `read`, and with what is read, times `write`."""
    i, j = tl.arange(0, 64)[:, None], tl.arange(0, 64)[None, :]
    # Strictly lower triangular in memory: of a pair one is 0 there.
    across, along = i * 64 + j, j * 64 + i
    written = (k * write).to(operand)
    x = tl.load(dX + across, mask=here, other=0.0)
    of_x += read * tl.dot(x, written, input_precision=PRECISION)
    x = tl.load(dX + along, mask=here, other=0.0)
    asked = tl.dot(x, (q * read).to(operand), input_precision=PRECISION)
    if DELTA:
        y = tl.load(dY + across, mask=here, other=0.0)
        of_y += read * tl.dot(y, written, input_precision=PRECISION)
        y, by = tl.load(dY + along, mask=here, other=0.0), k * read * strength[:, None]
        asked = tl.dot(y, by.to(operand), asked, input_precision=PRECISION)
    back += write * asked
    return of_x, of_y, back


@triton.jit
def _term_by_term(x, y, inner, BK: tl.constexpr, BACK: tl.constexpr):
    """The sum over tokens j of one block of 16 of x_ij y_j, decayed between; BACK: of x_ji."""
    y, G = tl.reshape(y, [4, 16, BK]), tl.reshape(inner, [4, 16, BK])
    out, token = tl.zeros([4, 16, BK], tl.float32), tl.arange(0, 16)
    x += tl.arange(0, 4)[:, None] * (16 * 65)
    for j in range(16):
        chosen = (token == j)[None, :, None]
        y_j = tl.sum(tl.where(chosen, y, 0.0), 1)[:, None, :]
        G_j = tl.sum(tl.where(chosen, G, 0.0), 1)[:, None, :]
        at = j * 64 + token if BACK else token * 64 + j
        x_j = tl.load(x + at[None, :]).to(tl.float32)[:, :, None]
        between = G_j - G if BACK else G - G_j
        out += x_j * y_j * tl.exp(tl.minimum(between, 0.0))
    return tl.reshape(out, [64, BK])
