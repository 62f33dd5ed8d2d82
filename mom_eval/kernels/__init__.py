"""Maths on tensors: each op's equation and contract, and implementations. Knows no model."""

from mom_eval.kernels.attention_step import attention_step
from mom_eval.kernels.choose import KERNELS, preferring
from mom_eval.kernels.gated_delta import gated_delta
from mom_eval.kernels.gated_slot import gated_slot
from mom_eval.kernels.gates import log_decay
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
from mom_eval.kernels.step import gated_delta_step, gated_slot_step, short_conv_step
from mom_eval.kernels.swiglu import swiglu

__all__ = [
    "KERNELS",
    "Routes",
    "Rows",
    "attention_step",
    "combine",
    "dispatch",
    "gated_delta",
    "gated_delta_step",
    "gated_slot",
    "gated_slot_step",
    "grouped_linear",
    "l2_norm",
    "log_decay",
    "preferring",
    "rms_norm",
    "route",
    "short_conv",
    "short_conv_step",
    "swiglu",
    "take",
]
