"""The gates of Gated DeltaNet (arXiv 2412.06464): a decay by a time step, a strength of writing."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.choose import takes_triton
from mom_eval.kernels.shapes import Axes, compute_dtype


class TimeStep(NamedTuple):
    """What `delta_gates` takes beside its columns."""

    A_log: Tensor
    """[H]"""
    dt_bias: Tensor
    """[H]"""
    most: float = 1.0
    """What the strength comes near to; 2 lets a state's eigenvalues be negative."""


def delta_gates(a: Tensor, b: Tensor, by: TimeStep) -> tuple[Tensor, Tensor]:
    """The decay g = -exp(A_log) softplus(a + dt_bias), after Mamba-2, and beta = most sigmoid(b).

    Args:
        a: [L, H].
        b: [L, H].
        by: A_log, dt_bias and most.

    Returns:
        g and beta [L, H], in float32; float64 where a is.

    Raises:
        ValueError: on shapes that do not fit, naming the axis.
    """
    axes = Axes()
    axes.check("a", a, "L H")
    axes.check("b", b, "L H")
    axes.check("A_log", by.A_log, "H")
    axes.check("dt_bias", by.dt_bias, "H")
    if takes_triton("delta_gates", "auto", (a, b, by.A_log, by.dt_bias), backward=True):
        from mom_eval.kernels.gates_triton import run_delta_gates

        return run_delta_gates(a, b, by)
    dtype = compute_dtype(a)
    g = -by.A_log.to(dtype).exp() * F.softplus(a.to(dtype) + by.dt_bias.to(dtype))
    return g, torch.sigmoid(b.to(dtype)) * by.most
