"""The kernels of `norm`: a vector is read once, and written once."""

import torch
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.overlap_triton import behind, meanwhile, overlapping

ACTIVATIONS = {"silu": 1, "sigmoid": 2}


@kernel("vectors", "B")
def _norm(
    x, weight, gate, y, vectors, B, eps, x_a, x_b, gate_a, gate_b,
    D: tl.constexpr, BD: tl.constexpr, ROWS: tl.constexpr,
    MEAN: tl.constexpr, WEIGHT: tl.constexpr, ACT: tl.constexpr, UNIT: tl.constexpr,
):  # fmt: skip
    """ROWS vectors of x [A, B, D] over the root of their sum, or MEAN, of squares and eps.

    A row of x is x_a UNIT long, and one of the gate gate_a UNIT; see `row_unit`.
    """
    x_a, gate_a = x_a * UNIT, gate_a * UNIT
    r, d = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, BD)
    inside = (r < vectors)[:, None] & (d < D)[None, :]
    a, b = (r // B).to(tl.int64), r % B
    at = (a * x_a + b * x_b)[:, None] + d[None, :]
    x_r = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    square = tl.sum(x_r * x_r, 1)
    if MEAN:
        square = square / D
    out = x_r * tl.rsqrt(square + eps)[:, None]
    if WEIGHT:
        out *= tl.load(weight + d, mask=d < D, other=0.0).to(tl.float32)[None, :]
    if ACT:
        at = (a * gate_a + b * gate_b)[:, None] + d[None, :]
        g = tl.load(gate + at, mask=inside, other=0.0).to(tl.float32)
        out *= tl.sigmoid(g) * g if ACT == 1 else tl.sigmoid(g)
    tl.store(y + r.to(tl.int64)[:, None] * D + d[None, :], out, mask=inside)


@kernel("L")
def _add_norm(
    x, y, weight, total, normed, L, eps, x_row, y_row, y_part,
    PARTS: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, ROWS: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """ROWS rows of x + y, rounded as they are kept, and their norm; y is of PARTS to be summed."""
    r, d = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, BD)
    w = tl.load(weight + d, mask=d < D, other=0.0).to(tl.float32)
    behind(OVERLAP)
    meanwhile(OVERLAP)
    inside, r = (r < L)[:, None] & (d < D)[None, :], r.to(tl.int64)[:, None]
    both = tl.load(x + r * x_row + d[None, :], mask=inside, other=0.0).to(tl.float32)
    added = tl.load(y + r * y_row + d[None, :], mask=inside, other=0.0).to(tl.float32)
    for _ in tl.static_range(1, PARTS):
        y += y_part
        added += tl.load(y + r * y_row + d[None, :], mask=inside, other=0.0).to(tl.float32)
    both += added
    both = both.to(total.dtype.element_ty)
    tl.store(total + r * D + d[None, :], both, mask=inside)
    both = both.to(tl.float32)
    out = both * tl.rsqrt(tl.sum(both * both, 1) / D + eps)[:, None]
    out *= w[None, :]
    tl.store(normed + r * D + d[None, :], out, mask=inside)


def run_add_norm(x: Tensor, y: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """`add_norm` of what it has checked."""
    x, y = (part if part.stride(-1) == 1 else part.contiguous() for part in (x, y))
    parts, other = (1, y.dtype) if y.ndim == 2 else (len(y), weight.dtype)
    (L, D), dtype = x.shape, torch.promote_types(x.dtype, other)
    total, normed = x.new_empty(L, D, dtype=dtype), x.new_empty(L, D, dtype=weight.dtype)
    BD = power_of_2(D)
    # Parts come of few rows: there a program has one, as it is its own latency that counts.
    rows, warps = (1, 8) if y.ndim == 3 and BD >= 1024 else (max(1, 2048 // BD), 4)
    if L:
        _add_norm[(cdiv(L, rows),)](
            x, y, weight.contiguous(), total, normed, L, eps,
            x.stride(0), y.stride(-2), y.stride(0),
            PARTS=parts, D=D, BD=BD, ROWS=rows, num_warps=warps, **overlapping(weight),
        )  # fmt: skip
    return total, normed


@kernel("vectors", "HV")
def _combine_norm(
    x, weights, row, onto, weight, gate, y, vectors, HV, eps, gate_a, gate_b,
    V: tl.constexpr, BV: tl.constexpr, ROWS: tl.constexpr, TOP_K: tl.constexpr,
    ROW: tl.constexpr, ONTO: tl.constexpr, WEIGHT: tl.constexpr, ACT: tl.constexpr,
    UNIT: tl.constexpr,
):  # fmt: skip
    """ROWS heads: a token's TOP_K rows of x [R, HV, V] weighted, in their order, then the norm."""
    gate_a *= UNIT
    r, d = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, BV)
    there, of_v = r < vectors, d < V
    inside = there[:, None] & of_v[None, :]
    t, h = (r // HV).to(tl.int64), r % HV
    out = tl.zeros([ROWS, BV], tl.float32)
    for j in tl.static_range(TOP_K):
        place = t * TOP_K + j
        share = tl.load(weights + place, mask=there, other=0.0)
        if ROW:
            place = tl.load(row + place, mask=there, other=0)
        at = (place * HV + h)[:, None] * V + d[None, :]
        out += share[:, None] * tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    at = r.to(tl.int64)[:, None] * V + d[None, :]
    if ONTO:
        out += tl.load(onto + at, mask=inside, other=0.0).to(tl.float32)
    out = out * tl.rsqrt(tl.sum(out * out, 1) / V + eps)[:, None]
    if WEIGHT:
        out *= tl.load(weight + d, mask=of_v, other=0.0).to(tl.float32)[None, :]
    if ACT:
        gate += (t * gate_a + h * gate_b)[:, None] + d[None, :]
        g = tl.load(gate, mask=inside, other=0.0).to(tl.float32)
        out *= tl.sigmoid(g) * g if ACT == 1 else tl.sigmoid(g)
    tl.store(y + at, out, mask=inside)


def run_combine_norm(
    x: Tensor,
    weights: Tensor,
    row: Tensor | None,
    onto: Tensor | None,
    weight: Tensor | None,
    gate: Tensor | None,
    eps: float,
    activation: str,
    own: bool,
) -> Tensor:
    """`combine_norm` of x [R, HV, V] and what it has checked; own: its first L rows are added."""
    (L, top_k), (_, HV, V), x = weights.shape, x.shape, x.contiguous()
    y, BV = x.new_empty(L, HV, V), power_of_2(V)
    gate = None if gate is None else two_axes(gate)
    given, rows = x if gate is None else gate, max(1, 2048 // BV)
    unit = row_unit(given)
    if L:
        _combine_norm[(cdiv(L * HV, rows),)](
            x, weights.contiguous(), weights if row is None else row.contiguous(),
            x if onto is None else onto.contiguous(),
            x if weight is None else weight.contiguous(), given, y,
            L * HV, HV, eps, given.stride(0) // unit, given.stride(1),
            V=V, BV=BV, ROWS=rows, TOP_K=top_k, ROW=row is not None,
            ONTO=own or onto is not None, WEIGHT=weight is not None,
            ACT=0 if gate is None else ACTIVATIONS[activation], UNIT=unit, num_warps=4,
        )  # fmt: skip
    return y


def run_norm(
    x: Tensor,
    weight: Tensor | None,
    eps: float,
    gate: Tensor | None,
    activation: str,
    *,
    mean: bool,
) -> Tensor:
    """`rms_norm`, or without the mean `l2_norm`, of what they have checked."""
    D, y = x.shape[-1], x.new_empty(x.shape)
    x = two_axes(x)
    gate = None if gate is None else two_axes(gate)
    vectors, B, BD = x.shape[0] * x.shape[1], x.shape[1], power_of_2(D)
    rows = max(1, 2048 // BD)
    given = x if gate is None else gate
    unit = row_unit(x, given)
    if vectors:
        _norm[(cdiv(vectors, rows),)](
            x, x if weight is None else weight.contiguous(), given, y, vectors, B, eps,
            x.stride(0) // unit, x.stride(1), given.stride(0) // unit, given.stride(1),
            D=D, BD=BD, ROWS=rows, MEAN=mean, WEIGHT=weight is not None,
            ACT=0 if gate is None else ACTIVATIONS[activation], UNIT=unit, num_warps=4,
        )  # fmt: skip
    return y


def row_unit(*x: Tensor) -> int:
    """8 where it divides all rows: they are read 16 bytes at a time then, if Triton is told.

    Triton itself looks for 16 only, and columns of fused projections are often odd eights apart.
    """
    return 8 if all(one.stride(0) % 8 == 0 for one in x) else 1


def two_axes(x: Tensor) -> Tensor:
    """[..., D] -> [A, B, D], a view of heads of a projection's columns; copied if it is not one."""
    if x.ndim == 3 and x.stride(-1) == 1:
        return x
    return x.reshape(-1, 1, x.shape[-1]).contiguous()
