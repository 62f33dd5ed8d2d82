"""The gradients of norms over the last axis: a vector is read once more, and nothing else is kept.

With r = rsqrt(mean x^2 + eps), n = r x and y = n w act(z), from dy:

    dz = dy n w act'(z)
    dw = sum over the vectors of dy act(z) n
    dx = r (e - n mean(e n))                            e = dy act(z) w

where the means are sums for `l2_norm`. Each program sums its vectors' dw, and writes that once: the
sum over programs is torch's. No sum hangs on an order that may change.
"""

import triton
import triton.language as tl

from mom_eval.kernels.launch import kernel


@triton.jit
def through_norm(
    x, dy, w, z, eps, there, D: tl.constexpr, MEAN: tl.constexpr, ACT: tl.constexpr
):  # fmt: skip
    """Dx, dw of each vector, and dz of x [ROWS, BD], whose rows are vectors where they are there.

    Without a gate, ACT 0, dz means nothing.
    """
    square = tl.sum(x * x, 1)
    if MEAN:
        square = square / D
    # Others are zeros, whose root is none where eps is zero; and they are summed.
    scale = tl.rsqrt(tl.where(there, square + eps, 1.0))[:, None]
    normed = x * scale
    of_gate = dy
    if ACT:
        share = tl.sigmoid(z)
        act, slope = share, share * (1.0 - share)
        if ACT == 1:
            act, slope = share * z, share + slope * z
        of_gate = dy * normed * w * slope
        dy = dy * act
    of_weight = dy * normed
    dy = dy * w
    along = tl.sum(dy * normed, 1)
    if MEAN:
        along = along / D
    return (dy - normed * along[:, None]) * scale, of_weight, of_gate


@triton.jit
def row_of(weight, d, D: tl.constexpr, WEIGHT: tl.constexpr):
    """The weight [1, BD] in float32, or where there is none ones."""
    if WEIGHT:
        w = tl.load(weight + d, mask=d < D, other=0.0).to(tl.float32)
    else:
        w = tl.full(d.shape, 1.0, tl.float32)
    return w[None, :]


@kernel("vectors", "B")
def grad_norm(
    x, weight, gate, dy, dx, dweight, dgate, vectors, B, eps, x_a, x_b, gate_a, gate_b,
    D: tl.constexpr, BD: tl.constexpr, ROWS: tl.constexpr,
    MEAN: tl.constexpr, WEIGHT: tl.constexpr, ACT: tl.constexpr, UNIT: tl.constexpr,
):  # fmt: skip
    """Every so many-th ROWS vectors of x [A, B, D], and their sum of dweight [programs, D].

    A row of x is x_a UNIT long, and one of the gate gate_a UNIT, as in `_norm`.
    """
    x_a, gate_a = x_a * UNIT, gate_a * UNIT
    d = tl.arange(0, BD)
    w, of_weight = row_of(weight, d, D, WEIGHT), tl.zeros([ROWS, BD], tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(vectors, ROWS), tl.num_programs(0)):
        r = tile * ROWS + tl.arange(0, ROWS)
        inside = (r < vectors)[:, None] & (d < D)[None, :]
        a, b = (r // B).to(tl.int64), r % B
        x_r = tl.load(x + (a * x_a + b * x_b)[:, None] + d[None, :], mask=inside, other=0.0)
        at = r.to(tl.int64)[:, None] * D + d[None, :]
        dy_r = tl.load(dy + at, mask=inside, other=0.0).to(tl.float32)
        z = dy_r
        if ACT:
            at_gate = (a * gate_a + b * gate_b)[:, None] + d[None, :]
            z = tl.load(gate + at_gate, mask=inside, other=0.0).to(tl.float32)
        dx_r, summed, of_gate = through_norm(
            x_r.to(tl.float32), dy_r, w, z, eps, r < vectors, D, MEAN, ACT
        )
        of_weight += summed
        tl.store(dx + at, dx_r, mask=inside)
        if ACT:
            tl.store(dgate + at, of_gate, mask=inside)
    if WEIGHT:
        tl.store(dweight + tl.program_id(0) * D + d, tl.sum(of_weight, 0), mask=d < D)


@kernel("L")
def grad_add_norm(
    total, weight, dtotal, dnormed, dx, dy, dweight, L, eps,
    D: tl.constexpr, BD: tl.constexpr, ROWS: tl.constexpr,
    TOTAL: tl.constexpr, APART: tl.constexpr,
):  # fmt: skip
    """Every so many-th ROWS rows of a sum, and of its parts; TOTAL: the sum has a gradient itself.

    APART: the parts are of two types, and dy is written too.
    """
    d = tl.arange(0, BD)
    w, of_weight = row_of(weight, d, D, True), tl.zeros([ROWS, BD], tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(L, ROWS), tl.num_programs(0)):
        r = tile * ROWS + tl.arange(0, ROWS)
        inside, at = (r < L)[:, None] & (d < D)[None, :], r.to(tl.int64)[:, None] * D + d[None, :]
        both = tl.load(total + at, mask=inside, other=0.0).to(tl.float32)
        of_normed = tl.load(dnormed + at, mask=inside, other=0.0).to(tl.float32)
        of_both, summed, _ = through_norm(both, of_normed, w, both, eps, r < L, D, True, 0)
        of_weight += summed
        if TOTAL:
            of_both += tl.load(dtotal + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(dx + at, of_both, mask=inside)
        if APART:
            tl.store(dy + at, of_both, mask=inside)
    tl.store(dweight + tl.program_id(0) * D + d, tl.sum(of_weight, 0), mask=d < D)
