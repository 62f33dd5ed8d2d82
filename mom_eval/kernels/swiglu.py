"""The gate of a feed-forward layer (arXiv 2002.05202)."""

import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.choose import takes_triton


def swiglu(x: Tensor) -> Tensor:
    """silu(a) * b of x = [a, b], [L, 2 D] -> [L, D] in the type of x."""
    if takes_triton("swiglu", "auto", (x,), backward=True):
        from mom_eval.kernels.swiglu_triton import run_swiglu

        return run_swiglu(x)
    gate, up = x.chunk(2, -1)
    return F.silu(gate) * up
