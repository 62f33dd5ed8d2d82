"""The gradient of `rotary` on a GPU: what comes back is turned back."""

from typing import Any

from torch import Tensor
from torch.autograd import Function

from mom_eval.kernels.choose import wants_gradient
from mom_eval.kernels.rotary_triton import run_rotary


class _Rotary(Function):
    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        x, turns = given
        ctx.save_for_backward(turns)
        return run_rotary(x, turns)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (turns,), (dy,) = ctx.saved_tensors, grad_outputs
        back = turns.clone()
        back[:, 1].neg_()
        return run_rotary(dy, back), None


def differentiable_rotary(x: Tensor, turns: Tensor) -> Tensor:
    """`rotary` of what it has checked, with a gradient of x where one will be asked for."""
    return (_Rotary.apply if wants_gradient((x,)) else run_rotary)(x, turns)
