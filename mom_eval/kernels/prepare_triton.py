"""What a chunk of 64 tokens needs of itself, all chunks at once: the gates' own part of the op.

With G the running sum of g in the chunk, a program a chunk and value head writes

    P_ij = sum_d q_id e^(G_id - G_jd) k_jd                                       j <= i, else 0
    T    = (I + A)^-1 diag(beta),  A_ij = beta_i sum_d k_id e^(G_id - G_jd) k_jd      j < i, else 0

and G, which `scan` multiplies by; where every key channel decays by itself, see
`prepare_channel_triton`. Here no exponent is positive, so nothing overflows.
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
    store_scores(p, a, at, live, P, T, solved, chunk * HV + h, DELTA, UNIT, PRECISION)


@triton.jit
def store_scores(
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
