"""The gradients of `route` and `router` on a GPU: the choice has none, the shares do."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from mom_eval.kernels.blocks import cdiv, power_of_2
from mom_eval.kernels.choose import wants_gradient
from mom_eval.kernels.routing import Routes
from mom_eval.kernels.routing_triton import grad_route, run_route, run_router


class _Route(Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, top_k: int) -> tuple[Tensor, ...]:
        made = run_route(logits, top_k)
        ctx.save_for_backward(*made)
        ctx.mark_non_differentiable(made[0])
        ctx.dtype = logits.dtype
        return made

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        return _of_logits(ctx.saved_tensors, grad_outputs[1:], ctx.dtype), None


class _Router(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, top_k: int) -> tuple[Tensor, ...]:
        made = run_router(x, weight, top_k)
        ctx.save_for_backward(x, weight, *made[:3])
        ctx.mark_non_differentiable(made.memories)
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        x, weight, *made = ctx.saved_tensors
        # As every other product's, in the type of x: nothing of its size is made in float32.
        dlogits = _of_logits(made, grad_outputs[1:], x.dtype)
        return dlogits @ weight.to(x.dtype), (dlogits.mT @ x).to(weight.dtype), None


def _of_logits(made: Sequence[Tensor], grads: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """The gradient of the logits [L, M], in a type.

    Of memories, weights and probabilities that were made of them; from the gradients of weights and
    probabilities, and where logits were made too, of these.
    """
    memories, weights, probabilities = made
    dweights, dprobabilities, *rest = (grad.contiguous() for grad in grads)
    (L, M), top_k = probabilities.shape, weights.shape[1]
    out, BM = torch.empty_like(probabilities, dtype=dtype), power_of_2(M)
    BT = max(1, 256 // BM)
    if L:
        grad_route[(cdiv(L, BT),)](
            memories, weights, probabilities, dweights, dprobabilities, *(rest or [out]), out, L, M,
            TOP_K=top_k, LOGITS=bool(rest), BM=BM, BT=BT, num_warps=1,
        )  # fmt: skip
    return out


def differentiable_route(logits: Tensor, top_k: int) -> tuple[Tensor, Tensor, Tensor]:
    """`run_route`, with a gradient where one will be asked for."""
    return (_Route.apply if wants_gradient((logits,)) else run_route)(logits, top_k)


def differentiable_router(x: Tensor, weight: Tensor, top_k: int) -> Routes:
    """`run_router`, with a gradient where one will be asked for."""
    if wants_gradient((x, weight)):
        return Routes(*_Router.apply(x, weight, top_k))
    return run_router(x, weight, top_k)
