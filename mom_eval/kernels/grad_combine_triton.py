"""The gradients of `take`, `combine` and `combine_norm`: each row is some token's, and one's only.

So what a token says of its rows is written to them, and nothing is added up across programs, but
for the weight of the norm (`grad_norm_triton`).
"""

import triton.language as tl

from mom_eval.kernels.grad_norm_triton import row_of, through_norm
from mom_eval.kernels.launch import kernel


@kernel("own")
def sum_rows(dy, row, dx, own, D, TOP_K: tl.constexpr, BD: tl.constexpr):
    """One token and BD channels: the sum of its rows of dy [R, D], of which own are not there."""
    t, d = tl.program_id(0).to(tl.int64), tl.program_id(1) * BD + tl.arange(0, BD)
    inside, total = d < D, tl.zeros([BD], tl.float32)
    for j in tl.static_range(TOP_K):
        r = tl.load(row + t * TOP_K + j) - own
        total += tl.load(dy + r * D + d, mask=inside, other=0.0).to(tl.float32)
    tl.store(dx + t * D + d, total, mask=inside)


@kernel()
def grad_combine(
    y, weights, row, do, dy, dweights, D,
    TOP_K: tl.constexpr, ROW: tl.constexpr, OWN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """One token: its rows of dy [R, D], with OWN also row t, and dweights [L, TOP_K]."""
    t, d = tl.program_id(0).to(tl.int64), tl.arange(0, BD)
    for j in tl.static_range(TOP_K):
        r, weight = t * TOP_K + j, tl.load(weights + t * TOP_K + j)
        if ROW:
            r = tl.load(row + r)
        both = tl.zeros([BD], tl.float32)
        for start in range(0, D, BD):
            inside, at = start + d < D, start + d
            of_o = tl.load(do + t * D + at, mask=inside, other=0.0).to(tl.float32)
            both += of_o * tl.load(y + r * D + at, mask=inside, other=0.0).to(tl.float32)
            tl.store(dy + r * D + at, of_o * weight, mask=inside)
            if OWN and j == 0:
                tl.store(dy + t * D + at, of_o, mask=inside)
        tl.store(dweights + t * TOP_K + j, tl.sum(both, 0))


@kernel("vectors", "HV")
def grad_combine_norm(
    x, weights, row, onto, weight, gate, dy, dx, dweights, donto, dweight, dgate,
    vectors, HV, eps, gate_a, gate_b,
    V: tl.constexpr, BV: tl.constexpr, ROWS: tl.constexpr, TOP_K: tl.constexpr,
    ROW: tl.constexpr, ONTO: tl.constexpr, WEIGHT: tl.constexpr, ACT: tl.constexpr,
    UNIT: tl.constexpr,
):  # fmt: skip
    """Every so many-th ROWS heads of all tokens: of x [R, HV, V] the token's TOP_K rows.

    Of weights [L, HV, TOP_K], a head on its own; of onto, which may be the first rows of x.
    """
    gate_a *= UNIT
    d = tl.arange(0, BV)
    w, of_weight = row_of(weight, d, V, WEIGHT), tl.zeros([ROWS, BV], tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(vectors, ROWS), tl.num_programs(0)):
        r = tile * ROWS + tl.arange(0, ROWS)
        there = r < vectors
        inside, at = there[:, None] & (d < V)[None, :], r.to(tl.int64)[:, None] * V + d[None, :]
        t, h = (r // HV).to(tl.int64), r % HV
        total = tl.zeros([ROWS, BV], tl.float32)
        for j in tl.static_range(TOP_K):
            place = t * TOP_K + j
            share = tl.load(weights + place, mask=there, other=0.0)
            if ROW:
                place = tl.load(row + place, mask=there, other=0)
            at_x = (place * HV + h)[:, None] * V + d[None, :]
            total += share[:, None] * tl.load(x + at_x, mask=inside, other=0.0).to(tl.float32)
        if ONTO:
            total += tl.load(onto + at, mask=inside, other=0.0).to(tl.float32)
        of_y = tl.load(dy + at, mask=inside, other=0.0).to(tl.float32)
        z = of_y
        if ACT:
            at_gate = (t * gate_a + h * gate_b)[:, None] + d[None, :]
            z = tl.load(gate + at_gate, mask=inside, other=0.0).to(tl.float32)
        of_total, summed, of_gate = through_norm(total, of_y, w, z, eps, there, V, True, ACT)
        of_weight += summed
        if ACT:
            tl.store(dgate + at, of_gate, mask=inside)
        if ONTO:
            tl.store(donto + at, of_total, mask=inside)
        # The rows are in the cache still.
        for j in tl.static_range(TOP_K):
            place = t * TOP_K + j
            share = tl.load(weights + place, mask=there, other=0.0)
            if ROW:
                place = tl.load(row + place, mask=there, other=0)
            at_x = (place * HV + h)[:, None] * V + d[None, :]
            x_j = tl.load(x + at_x, mask=inside, other=0.0).to(tl.float32)
            both = tl.sum(of_total * x_j, 1)
            tl.store(dweights + r.to(tl.int64) * TOP_K + j, both, mask=there)
            tl.store(dx + at_x, share[:, None] * of_total, mask=inside)
    if WEIGHT:
        tl.store(dweight + tl.program_id(0) * V + d, tl.sum(of_weight, 0), mask=d < V)
