"""The gradients of `take`, `combine` and `combine_norm` on a GPU; only what is given is kept.

A shared memory's rows, the first of y, are added with weight one, and have their gradient in the
same tensor as the rows that are sent: no row is copied for it, and none set to zero first.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from mom_eval.kernels.blocks import cdiv, power_of_2
from mom_eval.kernels.choose import wants_gradient
from mom_eval.kernels.grad_combine_triton import grad_combine, grad_combine_norm, sum_rows
from mom_eval.kernels.norm_backward import partial_sums, strips, summed
from mom_eval.kernels.norm_triton import ACTIVATIONS, row_unit, run_combine_norm, two_axes
from mom_eval.kernels.routing_triton import run_combine


class _Take(Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        x, row, token, own = given
        ctx.save_for_backward(row)
        ctx.own = own
        return x[token]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (row,), dy = ctx.saved_tensors, grad_outputs[0].contiguous()
        (L, top_k), D = row.shape, dy[:1].numel()
        dx = dy.new_empty(L, *dy.shape[1:])
        if L and D:
            BD = min(1024, power_of_2(D))
            sum_rows[(L, cdiv(D, BD))](
                dy, row.contiguous(), dx, ctx.own, D, TOP_K=top_k, BD=BD, num_warps=4
            )
        return dx, None, None, None


class _Combine(Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        y, weights, row, onto, own = given
        ctx.save_for_backward(y, weights, row)
        ctx.onto, ctx.own = None if onto is None else onto.dtype, own
        return run_combine(*given)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (y, weights, row), do = ctx.saved_tensors, grad_outputs[0].contiguous()
        y, weights = y.contiguous(), weights.contiguous()
        (L, top_k), D = weights.shape, do[:1].numel()
        dy, dweights = torch.empty_like(y), torch.zeros_like(weights)
        if L and D:
            grad_combine[(L,)](
                y, weights, weights if row is None else row.contiguous(), do,
                dy, dweights, D, TOP_K=top_k, ROW=row is not None, OWN=ctx.own,
                BD=min(1024, power_of_2(D)), num_warps=4,
            )  # fmt: skip
        return dy, dweights, None, None if ctx.onto is None else do.to(ctx.onto), None


class _CombineNorm(Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        *kept, eps, activation, own = given
        ctx.save_for_backward(*kept)
        ctx.how = eps, activation, own
        return run_combine_norm(*given)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (x, weights, row, onto, weight, gate), (eps, activation, own) = ctx.saved_tensors, ctx.how
        (L, k), (_, HV, V), x = weights.shape, x.shape, x.contiguous()
        dx, of_heads = torch.empty_like(x), x.new_empty(L, HV, k, dtype=torch.float32)
        donto, dgate = (None if one is None else one.new_empty(L, HV, V) for one in (onto, gate))
        given = x if gate is None else two_axes(gate)
        ROWS, programs = strips(L * HV, V, weight)
        sums, unit = partial_sums(programs, V, weight), row_unit(given)
        if L:
            # The shared memory's rows are the first of x, and where anything is absent, it is read
            # and written nowhere.
            grad_combine_norm[(programs,)](
                x, weights.contiguous(), weights if row is None else row.contiguous(),
                x if onto is None else onto.contiguous(),
                x if weight is None else weight.contiguous(), given,
                grad_outputs[0].contiguous(), dx, of_heads, dx if donto is None else donto,
                of_heads if sums is None else sums, dx if dgate is None else dgate,
                L * HV, HV, eps, given.stride(0) // unit, given.stride(1),
                V=V, BV=power_of_2(V), ROWS=ROWS, TOP_K=k, ROW=row is not None,
                ONTO=own or onto is not None, WEIGHT=weight is not None,
                ACT=0 if gate is None else ACTIVATIONS[activation], UNIT=unit, num_warps=8,
            )  # fmt: skip
        dweights = of_heads.sum(1).to(weights.dtype)
        return dx, dweights, None, donto, summed(sums, weight), dgate, None, None, None


def differentiable_take(x: Tensor, row: Tensor, token: Tensor, own: int) -> Tensor:
    """X[token], where `row` - `own` are the rows [L, k] of each token there."""
    return _Take.apply(x, row, token, own)


def differentiable_combine(
    y: Tensor, weights: Tensor, row: Tensor | None, onto: Tensor | None, own: bool
) -> Tensor:
    """`run_combine`, with a gradient where one will be asked for."""
    run = _Combine.apply if wants_gradient((y, weights, onto)) else run_combine
    return run(y, weights, row, onto, own)


def differentiable_combine_norm(
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
    """`run_combine_norm`, with a gradient where one will be asked for."""
    wanted = wants_gradient((x, weights, onto, weight, gate))
    run = _CombineNorm.apply if wanted else run_combine_norm
    return run(x, weights, row, onto, weight, gate, eps, activation, own)
