"""The kernels of `norm`: a vector is read once, and written once."""

import triton
import triton.language as tl
from torch import Tensor

ACTIVATIONS = {"silu": 1, "sigmoid": 2}


@triton.jit(do_not_specialize=["vectors", "B"])
def _norm(
    x, weight, gate, y, vectors, B, eps, x_a, x_b, gate_a, gate_b,
    D: tl.constexpr, BD: tl.constexpr, ROWS: tl.constexpr,
    MEAN: tl.constexpr, WEIGHT: tl.constexpr, ACT: tl.constexpr,
):  # fmt: skip
    """ROWS vectors of x [A, B, D] over the root of their sum, or MEAN, of squares and eps."""
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
    x = _two_axes(x)
    gate = None if gate is None else _two_axes(gate)
    vectors, B, BD = x.shape[0] * x.shape[1], x.shape[1], triton.next_power_of_2(D)
    rows = max(1, 2048 // BD)
    given = x if gate is None else gate
    if vectors:
        _norm[(triton.cdiv(vectors, rows),)](
            x, x if weight is None else weight, given, y, vectors, B, eps,
            x.stride(0), x.stride(1), given.stride(0), given.stride(1),
            D=D, BD=BD, ROWS=rows, MEAN=mean, WEIGHT=weight is not None,
            ACT=0 if gate is None else ACTIVATIONS[activation], num_warps=4,
        )  # fmt: skip
    return y


def _two_axes(x: Tensor) -> Tensor:
    """[..., D] -> [A, B, D], a view of heads of a projection's columns; copied if it is not one."""
    if x.ndim == 3 and x.stride(-1) == 1:
        return x
    return x.reshape(-1, 1, x.shape[-1]).contiguous()
