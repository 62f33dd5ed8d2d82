"""Maths on tensors: each op's equation and contract, and implementations. Knows no model."""

from mom_eval.kernels.ahead import compiling
from mom_eval.kernels.attention_step import attention_step
from mom_eval.kernels.choose import KERNELS, preferring, takes_triton
from mom_eval.kernels.chunk_grid import ChunkGrid, chunk_grid
from mom_eval.kernels.combine_norm import combine_norm
from mom_eval.kernels.few_rows import add_norm_linear, add_norm_swiglu, few_linear
from mom_eval.kernels.gated_delta import gated_delta, most_keys
from mom_eval.kernels.gated_slot import gated_slot
from mom_eval.kernels.gates import TimeStep, delta_gates
from mom_eval.kernels.late import Late, settled
from mom_eval.kernels.linear_cross_entropy import label_scores, linear_cross_entropy
from mom_eval.kernels.mixer_step import Own, Routed, conv_delta_step, count_up
from mom_eval.kernels.norm import add_norm, l2_norm, rms_norm
from mom_eval.kernels.read_out import read_out_step
from mom_eval.kernels.rotary import rotary, rotary_append, rotations
from mom_eval.kernels.routing import (
    Joined,
    Part,
    Routes,
    Rows,
    Taken,
    combine,
    dispatch,
    grouped_linear,
    route,
    router,
    take,
    whole,
)
from mom_eval.kernels.short_conv import short_conv
from mom_eval.kernels.step import gated_delta_step, gated_slot_step, short_conv_step
from mom_eval.kernels.swiglu import swiglu
from mom_eval.kernels.tokens import begin_step, most_probable

__all__ = [
    "KERNELS",
    "ChunkGrid",
    "Joined",
    "Late",
    "Own",
    "Part",
    "Routed",
    "Routes",
    "Rows",
    "Taken",
    "TimeStep",
    "add_norm",
    "add_norm_linear",
    "add_norm_swiglu",
    "attention_step",
    "begin_step",
    "chunk_grid",
    "combine",
    "combine_norm",
    "compiling",
    "conv_delta_step",
    "count_up",
    "delta_gates",
    "dispatch",
    "few_linear",
    "gated_delta",
    "gated_delta_step",
    "gated_slot",
    "gated_slot_step",
    "grouped_linear",
    "l2_norm",
    "label_scores",
    "linear_cross_entropy",
    "most_keys",
    "most_probable",
    "preferring",
    "read_out_step",
    "rms_norm",
    "rotary",
    "rotary_append",
    "rotations",
    "route",
    "router",
    "settled",
    "short_conv",
    "short_conv_step",
    "swiglu",
    "take",
    "takes_triton",
    "whole",
]
