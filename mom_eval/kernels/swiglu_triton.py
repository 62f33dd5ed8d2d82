"""The kernels of `swiglu`."""

from typing import Any

import triton.language as tl
from torch import Tensor
from torch.autograd import Function

from mom_eval.kernels.blocks import cdiv, power_of_2
from mom_eval.kernels.choose import wants_gradient
from mom_eval.kernels.launch import kernel


@kernel()
def _swiglu(x, y, D, BD: tl.constexpr):
    t, d = tl.program_id(0).to(tl.int64), tl.program_id(1) * BD + tl.arange(0, BD)
    a = tl.load(x + t * 2 * D + d, mask=d < D, other=0.0).to(tl.float32)
    b = tl.load(x + t * 2 * D + D + d, mask=d < D, other=0.0).to(tl.float32)
    tl.store(y + t * D + d, a * tl.sigmoid(a) * b, mask=d < D)


@kernel()
def _grad_swiglu(x, dy, dx, D, BD: tl.constexpr):
    """With s = sigmoid(a): da = dy b s (1 + a (1 - s)) and db = dy a s."""
    t, d = tl.program_id(0).to(tl.int64), tl.program_id(1) * BD + tl.arange(0, BD)
    a = tl.load(x + t * 2 * D + d, mask=d < D, other=0.0).to(tl.float32)
    b = tl.load(x + t * 2 * D + D + d, mask=d < D, other=0.0).to(tl.float32)
    of_y = tl.load(dy + t * D + d, mask=d < D, other=0.0).to(tl.float32)
    share = tl.sigmoid(a)
    of_a = of_y * b * share * (1.0 + a * (1.0 - share))
    tl.store(dx + t * 2 * D + d, of_a, mask=d < D)
    tl.store(dx + t * 2 * D + D + d, of_y * a * share, mask=d < D)


class _Swiglu(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _forward(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        ((x,), (dy,)) = ctx.saved_tensors, grad_outputs
        (L, D), dx = dy.shape, x.new_empty(x.shape)
        if L and D:
            BD = min(1024, power_of_2(D))
            _grad_swiglu[(L, cdiv(D, BD))](
                x.contiguous(), dy.contiguous(), dx, D, BD=BD, num_warps=4
            )
        return dx


def _forward(x: Tensor) -> Tensor:
    L, D = len(x), x.shape[1] // 2
    y = x.new_empty(L, D)
    if L:
        BD = min(1024, power_of_2(D))
        _swiglu[(L, cdiv(D, BD))](x.contiguous(), y, D, BD=BD, num_warps=4)
    return y


def run_swiglu(x: Tensor) -> Tensor:
    """`swiglu` in float32, rounded once; with a gradient where one will be asked for."""
    return _Swiglu.apply(x) if wants_gradient((x,)) else _forward(x)
