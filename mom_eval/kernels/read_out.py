"""The way out of a mixer for one token a slot: what memories read, normalised, times a weight."""

import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.choose import takes_triton
from mom_eval.kernels.combine_norm import combine_norm
from mom_eval.kernels.mixer_step import Routed, count_up
from mom_eval.kernels.norm import ACTIVATIONS, rms_norm
from mom_eval.kernels.shapes import Axes, chosen


def read_out_step(
    o: Tensor,
    weight: Tensor,
    *,
    norm: Tensor | None,
    eps: float,
    gate: Tensor | None = None,
    activation: str = "silu",
    routed: Routed | None = None,
) -> Tensor:
    """`combine_norm` of what `conv_delta_step` reads, times a weight; and tokens are counted.

    On a GPU that, or an ordinary launch, lies between this and what makes the gate and the logits:
    they are read early (docs/decisions/0015).

    Args:
        o: [R, HV, V]; with memories, behind those of a shared one, [R k, HV, V], choice by choice.
        weight: [D, HV V].
        norm: the norm's weight [V], ones unless told.
        eps: of the norm.
        gate: [R, HV, V].
        activation: of the gate, "silu" or "sigmoid".
        routed: where there are memories: which are read. What they have seen is counted up.

    Returns:
        [S, R, D], parts whose sum it is, of the types that `few_linear` gives.

    Raises:
        ValueError: on shapes that do not fit, naming the axis, on an unknown activation, or where
            what is counted does not lie in one piece.
    """
    chosen("activation", activation, ACTIVATIONS)
    axes, rows = Axes(), len(o)
    if routed is not None:
        routed.check(axes)
        rows = axes["R"]
    reads = rows if routed is None else rows * (routed.top_k + routed.shared)
    if len(o) != reads:
        raise ValueError(f"axis R of o must be {reads} for {rows} tokens, but it is {len(o)}")
    axes = Axes(R=rows, HV=o.shape[1], V=o.shape[2], HVV=o.shape[1] * o.shape[2])
    axes.check("weight", weight, "D HVV")
    if norm is not None:
        axes.check("norm", norm, "V")
    if gate is not None:
        axes.check("gate", gate, "R HV V")
    if takes_triton("read_out_step", "auto", (o, weight, norm, gate)):
        from mom_eval.kernels.read_out_triton import run_read_out_step

        return run_read_out_step(o, weight, norm, eps, gate, activation, routed)
    if routed is None:
        y = rms_norm(o, norm, eps=eps, gate=gate, activation=activation)
    else:
        count_up(routed)
        onto, sent = (o[:rows], o[rows:]) if routed.shared else (None, o)
        y = combine_norm(
            sent, routed.routes.weights, None, onto, norm, eps=eps, gate=gate, activation=activation
        )
    return F.linear(y.flatten(-2), weight)[None]
