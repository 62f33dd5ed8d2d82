"""What a chunk of 64 tokens needs of itself, all chunks at once: the gates' own part of the op.

With G the running sum of g in the chunk, a program a chunk and value head writes

    P_ij = sum_d q_id e^(G_id - G_jd) k_jd                                       j <= i, else 0
    T    = (I + A)^-1 diag(beta),  A_ij = beta_i sum_d k_id e^(G_id - G_jd) k_jd      j < i, else 0

and what `scan` multiplies by: G itself for a decay a head; q e^G, k e^G (with the delta
rule), k e^(Gc - G) and e^Gc for one a channel. No exponent is positive, so nothing overflows.
"""

import triton
import triton.language as tl

from mom_eval.kernels.chunk_grid_triton import chunk_place
from mom_eval.kernels.inverse_triton import invert_unit_lower
from mom_eval.kernels.launch import kernel

SIZES = ["N", "beta_row", "H", "HV"]
"""What makes no kernel of its own. Other strides do: loads of 16 bytes hang on 16 dividing them."""


@kernel(*SIZES)
def prepare_head(
    q, k, g, beta, P, T, solved, G, cu_seqlens, first, segment,
    N, q_row, k_row, g_row, beta_row, H, HV,
    K: tl.constexpr, GATE: tl.constexpr, DELTA: tl.constexpr, UNIT: tl.constexpr,
    BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """P, T and G where the decay is one a head (GATE) or there is none. UNIT: T is without beta."""
    chunk, h = tl.program_id(0).to(tl.int64), tl.program_id(1)
    n, start, count = chunk_place(cu_seqlens, first, segment, chunk, N)
    if count <= 0:
        return
    begin = tl.load(cu_seqlens + n) + start
    i = tl.arange(0, 64)
    live = i < count
    q, k = q + begin * q_row + h // (HV // H) * K, k + begin * k_row + h // (HV // H) * K
    p = tl.zeros([64, 64], tl.float32)
    a = tl.zeros([64, 64], tl.float32)
    for start in range(0, K, BK):
        d = start + tl.arange(0, BK)
        inside = live[:, None] & (d < K)[None, :]
        q_d = tl.load(q + i[:, None] * q_row + d[None, :], mask=inside, other=0.0)
        k_d = tl.load(k + i[:, None] * k_row + d[None, :], mask=inside, other=0.0)
        p = tl.dot(q_d, tl.trans(k_d), p, input_precision=PRECISION)
        if DELTA:
            a = tl.dot(k_d, tl.trans(k_d), a, input_precision=PRECISION)
    if GATE:
        gates = tl.load(g + (begin + i) * g_row + h, mask=live, other=0.0)
        total = tl.cumsum(gates.to(tl.float32), 0)
        tl.store(G + (begin + i) * HV + h, total, mask=live)
        decay = tl.exp(tl.minimum(total[:, None] - total[None, :], 0.0))
        p, a = p * decay, a * decay
    at = beta + (begin + i) * beta_row + h
    _store(p, a, at, live, P, T, solved, chunk * HV + h, DELTA, UNIT, PRECISION)


@kernel(*SIZES)
def prepare_channel(
    q, k, g, beta, P, T, solved, q_in, k_in, k_out, decay, cu_seqlens, first, segment,
    N, q_row, k_row, g_row, beta_row, H, HV,
    K: tl.constexpr, DELTA: tl.constexpr, UNIT: tl.constexpr,
    BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """P, T and the factors of `scan` where every key channel decays by itself."""
    chunk, h = tl.program_id(0).to(tl.int64), tl.program_id(1)
    n, start, count = chunk_place(cu_seqlens, first, segment, chunk, N)
    if count <= 0:
        return
    begin = tl.load(cu_seqlens + n) + start
    i = tl.arange(0, 64)
    live = i < count
    q, k = q + begin * q_row + h // (HV // H) * K, k + begin * k_row + h // (HV // H) * K
    g, place = g + begin * g_row + h * K, (begin * HV + h) * K
    p = tl.zeros([64, 64], tl.float32)
    a = tl.zeros([64, 64], tl.float32)
    for start in range(0, K, BK):
        d = start + tl.arange(0, BK)
        inside = live[:, None] & (d < K)[None, :]
        q_d = tl.load(q + i[:, None] * q_row + d[None, :], mask=inside, other=0.0).to(tl.float32)
        k_d = tl.load(k + i[:, None] * k_row + d[None, :], mask=inside, other=0.0).to(tl.float32)
        gates = tl.load(g + i[:, None] * g_row + d[None, :], mask=inside, other=0.0)
        gates = gates.to(tl.float32)
        G = sums(gates, i[:, None] >= i[None, :], k.dtype.element_ty, PRECISION)
        last = tl.sum(gates, 0)
        at = place + i[:, None] * (HV * K) + d[None, :]
        tl.store(q_in + at, q_d * tl.exp(G), mask=inside)
        tl.store(k_out + at, k_d * tl.exp(tl.minimum(last[None, :] - G, 0.0)), mask=inside)
        if DELTA:
            tl.store(k_in + at, k_d * tl.exp(G), mask=inside)
        tl.store(decay + (chunk * HV + h) * K + d, tl.exp(last), mask=d < K)
        p, a = _scores(q_d, k_d, gates, p, a, k.dtype.element_ty, DELTA, BK, PRECISION)
    at = beta + (begin + i) * beta_row + h
    _store(p, a, at, live, P, T, solved, chunk * HV + h, DELTA, UNIT, PRECISION)


@triton.jit
def _store(
    p, a, beta, live, P, T, solved, place,
    DELTA: tl.constexpr, UNIT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write P from p [64, 64], and with the delta rule T from a, at the place of chunk and head."""
    i, j = tl.arange(0, 64)[:, None], tl.arange(0, 64)[None, :]
    at = place * 4096 + i * 64 + j
    tl.store(P + at, tl.where(i >= j, p, 0.0))
    if DELTA:
        strength = tl.load(beta, mask=live, other=0.0).to(tl.float32)
        solved += place * 4096
        tl.store(solved + i * 64 + j, tl.where(i > j, a * strength[:, None], 0.0))
        invert_unit_lower(solved, PRECISION)
        inverse = tl.where(i >= j, tl.load(solved + i * 64 + j), 0.0)
        tl.store(T + at, inverse if UNIT else inverse * strength[None, :])


@triton.jit
def sums(gates, which, operand: tl.constexpr, PRECISION: tl.constexpr):
    """Row i is the sum of gates j [64, BK], each times `which` ij [64, 64], which is -1, 0 or 1.

    As a product: a running sum across threads costs several times as much. For operands in half
    precision the gates are taken in two parts of 8 bits; what is missing is 2^-17 of a gate.
    """
    if operand == tl.float32:
        return tl.dot(which.to(tl.float32), gates, input_precision=PRECISION)
    high = gates.to(tl.bfloat16)
    low = (gates - high.to(tl.float32)).to(tl.bfloat16)
    which = which.to(tl.bfloat16)
    return tl.dot(which, low, tl.dot(which, high))


@triton.jit
def to_middle(gates, HALF: tl.constexpr, operand: tl.constexpr, PRECISION: tl.constexpr):
    """How much decays between a token and the middle of its block of two halves: [64, BK]."""
    i, j = tl.arange(0, 64)[:, None], tl.arange(0, 64)[None, :]
    behind = (i % (2 * HALF) >= HALF) & (j % (2 * HALF) >= HALF) & (j <= i)
    ahead = (i % (2 * HALF) < HALF) & (j % (2 * HALF) < HALF) & (j > i)
    between = (i // (2 * HALF) == j // (2 * HALF)) & (behind | ahead)
    return tl.exp(sums(gates, between, operand, PRECISION))


@triton.jit
def from_ninth(gates, operand: tl.constexpr, PRECISION: tl.constexpr):
    """Gates from the ninth token of a block of 16 to a token: behind it added, before it taken."""
    i, j = tl.arange(0, 64)[:, None], tl.arange(0, 64)[None, :]
    near = i // 16 == j // 16
    since = (near & (j % 16 > 8) & (j <= i)).to(tl.float32)
    until = (near & (j % 16 <= 8) & (j > i)).to(tl.float32)
    return sums(gates, since - until, operand, PRECISION)


@triton.jit
def fits(middle, operand: tl.constexpr):
    """Can e to these, and to minus these, be factors? float16 ends at 65,504."""
    most = 8.0 if operand == tl.float16 else 80.0
    return tl.max(tl.abs(middle)) <= most


@triton.jit
def _scores(
    q, k, gates, p, a, operand: tl.constexpr,
    DELTA: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add these channels' scores to p [64, 64], and with the delta rule those of k to a.

    Reader and writer in different halves of the chunk, then of a half: a product of what decays
    from the last token of the first half, and to it; no factor is above 1. In one block of 16: a
    product relative to the block's middle where nothing can overflow, else term by term.
    """
    i, j = tl.arange(0, 64)[:, None], tl.arange(0, 64)[None, :]
    for HALF in tl.static_range(32, 0, -16):
        fall = to_middle(gates, HALF, operand, PRECISION)
        here = (i // (2 * HALF) == j // (2 * HALF)) & (i // HALF > j // HALF)
        p, a = _add(p, a, q, k, fall, fall, here, operand, DELTA, PRECISION)
    near = i // 16 == j // 16
    middle = from_ninth(gates, operand, PRECISION)
    if fits(middle, operand):
        rise, fall = tl.exp(middle), tl.exp(-middle)
        p, a = _add(p, a, q, k, rise, fall, near, operand, DELTA, PRECISION)
    else:
        inner = sums(gates, near & (j <= i), operand, PRECISION)
        p += _term_by_term(q, k, inner, BK)
        if DELTA:
            a += _term_by_term(k, k, inner, BK)
    return p, a


@triton.jit
def _add(
    p, a, q, k, read, write, here, operand: tl.constexpr,
    DELTA: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add the products of q read, and of k read, with k write where it is `here`."""
    written = tl.trans((k * write).to(operand))
    p += tl.where(here, tl.dot((q * read).to(operand), written, input_precision=PRECISION), 0.0)
    if DELTA:
        a += tl.where(here, tl.dot((k * read).to(operand), written, input_precision=PRECISION), 0.0)
    return p, a


@triton.jit
def _term_by_term(x, k, inner, BK: tl.constexpr):
    """The scores of tokens of one block of 16 as [64, 64], whatever they decay."""
    x, k, G = tl.reshape(x, [4, 16, BK]), tl.reshape(k, [4, 16, BK]), tl.reshape(inner, [4, 16, BK])
    column = tl.arange(0, 16)
    blocks = tl.zeros([4, 16, 16], tl.float32)
    for j in range(16):
        chosen = (column == j)[None, :, None]
        k_j = tl.sum(tl.where(chosen, k, 0.0), 1)[:, None, :]
        G_j = tl.sum(tl.where(chosen, G, 0.0), 1)[:, None, :]
        score = tl.sum(x * k_j * tl.exp(tl.minimum(G - G_j, 0.0)), 2)
        blocks += tl.where((column == j)[None, None, :], score[:, :, None], 0.0)
    block = tl.arange(0, 4)
    same = (block[:, None] == block[None, :])[:, None, :, None]
    return tl.reshape(tl.where(same, blocks[:, :, None, :], 0.0), [64, 64])
