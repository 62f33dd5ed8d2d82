"""How the parameters of a learned decay, g = -exp(A_log) softplus(. + dt_bias), begin.

As Mamba (arXiv 2312.00752) draws them: A uniform, the time step log-uniform in [0.001, 0.1].
"""

import math

import torch
from torch import Tensor


def new_A_log(count: int, low: float, high: float) -> Tensor:
    """[count], log of A uniform in [low, high]."""
    return torch.empty(count).uniform_(low, high).log()


def new_dt_bias(count: int, low: float = 1e-3, high: float = 0.1) -> Tensor:
    """[count], softplus^-1 of a step that is log-uniform in [low, high]."""
    step = torch.empty(count).uniform_(math.log(low), math.log(high)).exp()
    return step + torch.log(-torch.expm1(-step))
