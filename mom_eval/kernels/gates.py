"""The gates of Gated DeltaNet (arXiv 2412.06464): a decay by a time step, a strength of writing."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.choose import takes_triton
from mom_eval.kernels.shapes import Axes, compute_dtype


def delta_gates(
    a: Tensor, b: Tensor, A_log: Tensor, dt_bias: Tensor, *, most: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The decay g = -exp(A_log) softplus(a + dt_bias), after Mamba-2, and beta = most sigmoid(b).

    Args:
        a: [L, H].
        b: [L, H].
        A_log: [H].
        dt_bias: [H].
        most: what the strength comes near to, 1; 2 lets a state's eigenvalues be negative.

    Returns:
        g and beta [L, H], in float32; float64 where a is.

    Raises:
        ValueError: on shapes that do not fit, naming the axis.
    """
    axes = Axes()
    axes.check("a", a, "L H")
    axes.check("b", b, "L H")
    axes.check("A_log", A_log, "H")
    axes.check("dt_bias", dt_bias, "H")
    if takes_triton("delta_gates", "auto", (a, b, A_log, dt_bias)):
        from mom_eval.kernels.gates_triton import run_delta_gates

        return run_delta_gates(a, b, A_log, dt_bias, most)
    dtype = compute_dtype(a)
    g = -A_log.to(dtype).exp() * F.softplus(a.to(dtype) + dt_bias.to(dtype))
    return g, torch.sigmoid(b.to(dtype)) * most
