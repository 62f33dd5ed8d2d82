"""The decay that a time step makes (Gated DeltaNet, arXiv 2412.06464, after Mamba-2)."""

import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.choose import takes_triton
from mom_eval.kernels.shapes import Axes, compute_dtype


def log_decay(x: Tensor, A_log: Tensor, dt_bias: Tensor) -> Tensor:
    """The decay g = -exp(A_log) softplus(x + dt_bias): x [L, H] and two [H] -> [L, H].

    In float32; float64 where x is. Raises ValueError on shapes that do not fit, naming the axis.
    """
    axes = Axes()
    axes.check("x", x, "L H")
    axes.check("A_log", A_log, "H")
    axes.check("dt_bias", dt_bias, "H")
    if takes_triton("log_decay", "auto", (x, A_log, dt_bias)):
        from mom_eval.kernels.gates_triton import run_log_decay

        return run_log_decay(x, A_log, dt_bias)
    dtype = compute_dtype(x)
    return -A_log.to(dtype).exp() * F.softplus(x.to(dtype) + dt_bias.to(dtype))
