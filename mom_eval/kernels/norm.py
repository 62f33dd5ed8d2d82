"""Norms over the last axis, in float32, rounded once."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.choose import takes_triton, wants_gradient
from mom_eval.kernels.shapes import Axes, chosen, compute_dtype

L2_EPS = 1e-6
ACTIVATIONS = {"silu": F.silu, "sigmoid": F.sigmoid}


def rms_norm(
    x: Tensor,
    weight: Tensor | None = None,
    *,
    eps: float,
    gate: Tensor | None = None,
    activation: str = "silu",
) -> Tensor:
    """RMSNorm (arXiv 1910.07467), gated: x / sqrt(mean x^2 + eps) * weight * act(gate).

    Args:
        x: [..., D].
        weight: [D], ones unless told.
        eps: added to the mean square.
        gate: of the shape of x; none: the last factor is absent.
        activation: of the gate, "silu" or "sigmoid".

    Returns:
        [..., D] in the type of x.

    Raises:
        ValueError: on shapes that do not fit, or on an unknown activation.
    """
    act, dtype = chosen("activation", activation, ACTIVATIONS), compute_dtype(x)
    if weight is not None:
        Axes(D=x.shape[-1]).check("weight", weight, "D")
    if gate is not None and gate.shape != x.shape:
        raise ValueError(f"gate must be {list(x.shape)} like x, but it is {list(gate.shape)}")
    if takes_triton("rms_norm", "auto", (x, weight, gate), backward=True):
        from mom_eval.kernels.norm_backward import differentiable_norm

        return differentiable_norm(x, weight, eps, gate, activation, mean=True)
    y = x.to(dtype)
    y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + eps)
    if weight is not None:
        y = y * weight
    if gate is not None:
        y = y * act(gate.to(dtype))
    return y.to(x.dtype)


def add_norm(x: Tensor, y: Tensor | None, weight: Tensor, *, eps: float) -> tuple[Tensor, Tensor]:
    """Two parts of a residual stream, x [L, D] + y [L, D], and what the next layer reads of it.

    `y` None: nothing is added yet, and the sum is x itself. Of few rows y may be parts [S, L, D] of
    it, as `few_linear` gives them; Triton adds them before anything is rounded. They have no
    gradient there.
    Returns the sum, in the wider of their types (of parts the weight's) and rounded to it, and its
    `rms_norm` in the type of `weight` [D]. Raises ValueError on shapes that do not fit, naming the
    axis.
    """
    axes = Axes()
    axes.check("x", x, "L D")
    axes.check("weight", weight, "D")
    if y is None:
        return x, rms_norm(x, weight, eps=eps).to(weight.dtype)
    if y.ndim == 3:
        axes.check("y", y, "S L D")
        wanted = wants_gradient((x, y, weight))
        if not wanted and takes_triton("add_norm", "auto", (x, y, weight)):
            from mom_eval.kernels.norm_triton import run_add_norm

            return run_add_norm(x, y, weight, eps)
        y = y.sum(0).to(weight.dtype)
    axes.check("y", y, "L D")
    if takes_triton("add_norm", "auto", (x, y, weight), backward=True):
        from mom_eval.kernels.norm_backward import differentiable_add_norm

        return differentiable_add_norm(x, y, weight, eps)
    x = x + y
    return x, rms_norm(x, weight, eps=eps).to(weight.dtype)


def l2_norm(x: Tensor) -> Tensor:
    """The vector x / sqrt(sum x^2 + 1e-6) over the last axis, in the type of x."""
    if takes_triton("l2_norm", "auto", (x,), backward=True):
        from mom_eval.kernels.norm_backward import differentiable_norm

        return differentiable_norm(x, None, L2_EPS, None, "silu", mean=False)
    y = x.to(compute_dtype(x))
    return (y * torch.rsqrt(y.square().sum(-1, keepdim=True) + L2_EPS)).to(x.dtype)
