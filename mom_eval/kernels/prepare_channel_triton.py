"""`prepare_triton` where every key channel decays by itself: P and T, and what `scan` reads.

That is q e^G, k e^G (with the delta rule), k e^(Gc - G) and e^Gc. P and A are products relative to
the middle m of the chunk, of q e^(G - Gm) and k e^(Gm - G), where no factor can overflow: with
trained gates almost always, but in float16 often not. Other chunks are left to a second launch
(FAR), which takes products of smaller blocks: a kernel with both ways in it would have registers
for neither.
"""

import triton
import triton.language as tl

from mom_eval.kernels.chunk_grid_triton import chunk_place
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.prepare_triton import SIZES, store_scores


@kernel(*SIZES)
def prepare_channel(
    q, k, g, beta, P, T, solved, q_in, k_in, k_out, decay, far, cu_seqlens, first, segment,
    N, q_row, k_row, g_row, beta_row, H, HV,
    K: tl.constexpr, DELTA: tl.constexpr, UNIT: tl.constexpr, FAR: tl.constexpr,
    BK: tl.constexpr, HEADS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """All of it for a chunk and head; those that the first launch marks in `far` for the second.

    There a program has HEADS of them, since most have nothing to do.
    """
    chunk, h = tl.program_id(0).to(tl.int64), tl.program_id(1) * HEADS
    some = h + tl.arange(0, HEADS)
    # First, as it is all that most do; behind the last chunk it says nothing.
    if FAR and tl.max(tl.load(far + chunk * HV + some, mask=some < HV, other=0)) == 0:
        return
    n, start, count = chunk_place(cu_seqlens, first, segment, chunk, N)
    if count <= 0:
        return
    begin = tl.load(cu_seqlens + n) + start
    # Else what heads share is held in registers that a head needs: 1 KB of them spilled.
    for one in tl.range(HEADS, disable_licm=True):
        wanted = h + one < HV
        if FAR and wanted:
            wanted = tl.load(far + chunk * HV + h + one) != 0
        if wanted:
            _of_head(
                q, k, g, beta, P, T, solved, q_in, k_in, k_out, decay, far, chunk, h + one, begin,
                count, q_row, k_row, g_row, beta_row, H, HV,
                K, DELTA, UNIT, FAR, BK, PRECISION,
            )  # fmt: skip


@triton.jit
def _of_head(
    q, k, g, beta, P, T, solved, q_in, k_in, k_out, decay, far, chunk, h, begin,
    count, q_row, k_row, g_row, beta_row, H, HV,
    K: tl.constexpr, DELTA: tl.constexpr, UNIT: tl.constexpr, FAR: tl.constexpr,
    BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """A chunk that begins at a token and has `count` of them, one head."""
    i = tl.arange(0, 64)
    live, most = i < count, tl.zeros([BK], tl.float32)
    q, k = q + begin * q_row + h // (HV // H) * K, k + begin * k_row + h // (HV // H) * K
    g, place = g + begin * g_row + h * K, (begin * HV + h) * K
    operand: tl.constexpr = k.dtype.element_ty
    p = tl.zeros([64, 64], tl.float32)
    a = tl.zeros([64, 64], tl.float32)
    for start in range(0, K, BK):
        d, inside = start + tl.arange(0, BK), live[:, None]
        if K % BK:
            inside = inside & (d < K)[None, :]
        q_d = tl.load(q + i[:, None] * q_row + d[None, :], mask=inside, other=0.0).to(tl.float32)
        k_d = tl.load(k + i[:, None] * k_row + d[None, :], mask=inside, other=0.0).to(tl.float32)
        gates = tl.load(g + i[:, None] * g_row + d[None, :], mask=inside, other=0.0)
        gates = gates.to(tl.float32)
        last = tl.sum(gates, 0)
        tl.store(decay + (chunk * HV + h) * K + d, tl.exp(last), mask=d < K)
        at = place + i[:, None] * (HV * K) + d[None, :]
        if FAR:
            G = sums(gates, i[:, None] >= i[None, :], operand, PRECISION)
            tl.store(q_in + at, q_d * tl.exp(G), mask=inside)
            tl.store(k_out + at, k_d * tl.exp(tl.minimum(last[None, :] - G, 0.0)), mask=inside)
            if DELTA:
                tl.store(k_in + at, k_d * tl.exp(G), mask=inside)
            p, a = _scores(q_d, k_d, gates, p, a, operand, DELTA, BK, PRECISION)
        else:
            # What `scan` reads are the factors of these products, moved from the middle.
            past = tl.sum(tl.where(i[:, None] <= 32, gates, 0.0), 0)
            most = tl.maximum(most, tl.maximum(-past, past - last))
            middle, moved = from_middle(gates, 64, operand, PRECISION), tl.exp(past)[None, :]
            rise, written = tl.exp(middle), k_d * tl.exp(-middle)
            q_d *= rise
            tl.store(q_in + at, q_d * moved, mask=inside)
            tl.store(k_out + at, written * tl.exp(last - past)[None, :], mask=inside)
            written = tl.trans(written.to(operand))
            p = tl.dot(q_d.to(operand), written, p, input_precision=PRECISION)
            if DELTA:
                k_d *= rise
                tl.store(k_in + at, k_d * moved, mask=inside)
                a = tl.dot(k_d.to(operand), written, a, input_precision=PRECISION)
    if not FAR:
        tl.store(far + chunk * HV + h, (tl.max(most, 0) > largest(operand)).to(tl.int32))
    at = beta + (begin + i) * beta_row + h
    store_scores(p, a, at, live, P, T, solved, chunk * HV + h, DELTA, UNIT, PRECISION)


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
def from_middle(gates, BLOCK: tl.constexpr, operand: tl.constexpr, PRECISION: tl.constexpr):
    """Gates from the middle of a block of tokens to a token: behind it added, before it taken."""
    i, j, middle = tl.arange(0, 64)[:, None], tl.arange(0, 64)[None, :], BLOCK // 2
    same = i // BLOCK == j // BLOCK
    since = (same & (j % BLOCK > middle) & (j <= i)).to(tl.float32)
    until = (same & (j % BLOCK <= middle) & (j > i)).to(tl.float32)
    return sums(gates, since - until, operand, PRECISION)


@triton.jit
def largest(operand: tl.constexpr):
    """The x up to which e^x and e^-x can be factors.

    In float16, which ends at 65,504, e^6 leaves room for entries of 160. Else e^-60 leaves a number
    of 1e-11 its digits, and e^60 what it multiplies far from infinity.
    """
    return 6.0 if operand == tl.float16 else 60.0


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
    middle = from_middle(gates, 16, operand, PRECISION)
    if tl.max(tl.abs(middle)) <= largest(operand):
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
