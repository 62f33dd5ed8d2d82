"""The gradients of `grouped_linear` in Triton: one is the same product, one a product a group."""

from typing import Any

from torch import Tensor
from torch.autograd import Function

from mom_eval.kernels.choose import wants_gradient
from mom_eval.kernels.grouped_triton import run_grad_weight, run_grouped_linear


class _GroupedLinear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, ends)
        return run_grouped_linear(x, weight, ends)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (x, weight, ends), dy = ctx.saved_tensors, grad_outputs[0]
        of_x, of_weight, _ = ctx.needs_input_grad
        dx = run_grouped_linear(dy, weight.mT, ends) if of_x else None
        return dx, run_grad_weight(dy, x, ends) if of_weight else None, None


def differentiable_grouped_linear(x: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    """`run_grouped_linear`, with a gradient where one will be asked for."""
    run = _GroupedLinear.apply if wants_gradient((x, weight)) else run_grouped_linear
    return run(x, weight, ends)
