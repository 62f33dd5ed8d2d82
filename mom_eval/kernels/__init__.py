"""Maths on tensors: each op's equation and contract, and implementations. Knows no model."""

from mom_eval.kernels.gated_delta import gated_delta
from mom_eval.kernels.gated_slot import gated_slot
from mom_eval.kernels.norm import l2_norm, rms_norm
from mom_eval.kernels.routing import (
    Routes,
    Rows,
    combine,
    dispatch,
    grouped_linear,
    route,
    take,
)
from mom_eval.kernels.short_conv import short_conv

__all__ = [
    "Routes",
    "Rows",
    "combine",
    "dispatch",
    "gated_delta",
    "gated_slot",
    "grouped_linear",
    "l2_norm",
    "rms_norm",
    "route",
    "short_conv",
    "take",
]
