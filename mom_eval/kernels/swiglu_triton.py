"""The kernel of `swiglu`."""

import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2
from mom_eval.kernels.launch import kernel


@kernel()
def _swiglu(x, y, D, BD: tl.constexpr):
    t, d = tl.program_id(0).to(tl.int64), tl.program_id(1) * BD + tl.arange(0, BD)
    a = tl.load(x + t * 2 * D + d, mask=d < D, other=0.0).to(tl.float32)
    b = tl.load(x + t * 2 * D + D + d, mask=d < D, other=0.0).to(tl.float32)
    tl.store(y + t * D + d, a * tl.sigmoid(a) * b, mask=d < D)


def run_swiglu(x: Tensor) -> Tensor:
    """`swiglu` in float32, rounded once."""
    L, D = len(x), x.shape[1] // 2
    y = x.new_empty(L, D)
    if L:
        BD = min(1024, power_of_2(D))
        _swiglu[(L, cdiv(D, BD))](x.contiguous(), y, D, BD=BD, num_warps=4)
    return y
