"""How the parameters of a learned decay, g = -exp(A_log) softplus(. + dt_bias), begin.

As Mamba (arXiv 2312.00752) draws them: A uniform, the time step log-uniform in [0.001, 0.1].
"""

import math

import torch
from torch import Tensor

STEP = (1e-3, 0.1)


@torch.no_grad()
def draw_decay(A_log: Tensor, dt_bias: Tensor, low: float, high: float) -> None:
    """Draw in place: A uniform in [low, high], softplus(dt_bias) log-uniform in `STEP`."""
    A_log.uniform_(low, high).log_()
    step = dt_bias.uniform_(*map(math.log, STEP)).exp()
    dt_bias.copy_(step + torch.log(-torch.expm1(-step)))
