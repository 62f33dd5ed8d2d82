"""The gradients of `norm` on a GPU: of the forward pass nothing is kept but what it was given.

Of a sum the sum is kept, and not its parts: the layers behind hold it anyway.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from mom_eval.kernels.blocks import PROGRAMS, cdiv, power_of_2
from mom_eval.kernels.choose import wants_gradient
from mom_eval.kernels.grad_norm_triton import grad_add_norm, grad_norm
from mom_eval.kernels.norm_triton import ACTIVATIONS, row_unit, run_add_norm, run_norm, two_axes

TILE = 4096
"""Numbers that a program holds at once."""


class _Norm(Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        x, weight, eps, gate, activation, mean = given
        ctx.save_for_backward(x, weight, gate)
        ctx.how = eps, activation, mean
        return run_norm(x, weight, eps, gate, activation, mean=mean)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (x, weight, gate), (eps, activation, mean) = ctx.saved_tensors, ctx.how
        x, shape = two_axes(x), x.shape
        (A, B, D), dx = x.shape, x.new_empty(shape)
        given = x if gate is None else two_axes(gate)
        dgate = None if gate is None else gate.new_empty(shape)
        ROWS, programs = strips(A * B, D, weight)
        sums = partial_sums(programs, D, weight)
        unit = row_unit(x, given)
        if A * B:
            grad_norm[(programs,)](
                x, x if weight is None else weight.contiguous(), given,
                grad_outputs[0].contiguous(), dx, dx if sums is None else sums,
                dx if dgate is None else dgate, A * B, B, eps,
                x.stride(0) // unit, x.stride(1), given.stride(0) // unit, given.stride(1),
                D=D, BD=power_of_2(D), ROWS=ROWS, MEAN=mean, WEIGHT=weight is not None,
                ACT=0 if gate is None else ACTIVATIONS[activation], UNIT=unit, num_warps=8,
            )  # fmt: skip
        return dx, summed(sums, weight), None, dgate, None, None


class _AddNorm(Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor]:
        x, y, weight, eps = given
        total, normed = run_add_norm(x, y, weight, eps)
        ctx.save_for_backward(total, weight)
        ctx.eps, ctx.types = eps, (x.dtype, y.dtype)
        # What only one of the two is made of needs no zeros of the other.
        ctx.set_materialize_grads(False)
        return total, normed

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (total, weight), (of_x, of_y) = ctx.saved_tensors, ctx.types
        dtotal, dnormed = (None if d is None else d.contiguous() for d in grad_outputs)
        if dnormed is None:
            return *(None if dtotal is None else dtotal.to(of) for of in ctx.types), None, None
        L, D = total.shape
        dx = total.new_empty(L, D, dtype=of_x)
        dy = dx if of_x == of_y else torch.empty_like(dx, dtype=of_y)
        ROWS, programs = strips(L, D, weight)
        sums = partial_sums(programs, D, weight)
        if L:
            grad_add_norm[(programs,)](
                total, weight.contiguous(), dnormed if dtotal is None else dtotal, dnormed,
                dx, dy, sums, L, ctx.eps,
                D=D, BD=power_of_2(D), ROWS=ROWS, TOTAL=dtotal is not None, APART=of_x != of_y,
                num_warps=8,
            )  # fmt: skip
        return dx, dy, summed(sums, weight), None


def differentiable_norm(
    x: Tensor,
    weight: Tensor | None,
    eps: float,
    gate: Tensor | None,
    activation: str,
    *,
    mean: bool,
) -> Tensor:
    """`run_norm`, with a gradient where one will be asked for."""
    if wants_gradient((x, weight, gate)):
        return _Norm.apply(x, weight, eps, gate, activation, mean)
    return run_norm(x, weight, eps, gate, activation, mean=mean)


def differentiable_add_norm(
    x: Tensor, y: Tensor, weight: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """`run_add_norm`, with a gradient where one will be asked for."""
    run = _AddNorm.apply if wants_gradient((x, y, weight)) else run_add_norm
    return run(x, y, weight, eps)


def strips(vectors: int, D: int, weight: Tensor | None) -> tuple[int, int]:
    """Vectors of width D that a program holds at once, and how many programs there are.

    A program goes on through the vectors where it sums the gradient of a weight.
    """
    ROWS = max(1, TILE // power_of_2(D))
    tiles = cdiv(vectors, ROWS)
    return ROWS, tiles if weight is None else min(tiles, PROGRAMS)


def partial_sums(programs: int, D: int, weight: Tensor | None) -> Tensor | None:
    """What programs write of a weight's gradient: [programs, D] float32."""
    if weight is None:
        return None
    return torch.empty(programs, D, dtype=torch.float32, device=weight.device)


def summed(sums: Tensor | None, weight: Tensor | None) -> Tensor | None:
    """The gradient of a weight, of what programs wrote."""
    return None if sums is None or weight is None else sums.sum(0).to(weight.dtype)
