"""Gated slot attention (arXiv 2409.07146): M slots that are read by a softmax.

g = logsigmoid(x W_f) / gate_logit_normalizer        a slot, s = 1 - exp g
K~ <- exp(g) K~ + s k^T,  V~ <- exp(g) V~ + s v^T     K~ [M, K], V~ [M, V]
o = V~^T softmax(K~ q)
y = rms(silu(o))                                      over all heads at once
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels import gated_slot, gated_slot_step
from mom_eval.models.columns import Column
from mom_eval.models.families.feature_maps import feature_map
from mom_eval.models.family import (
    Family,
    RMSNorm,
    Stream,
    Write,
    recurrence,
    split_heads,
    wide,
)

NORM_EPS = 1e-5
"""Flash-linear-attention gives this norm no norm_eps of the configuration since 2024-11-05;
what was trained before that had it (docs/decisions/0008)."""


class GSA(Family):
    """Gated slot attention: two passes, the first gated on the side of its values."""

    name = "gsa"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Published names."""

        num_heads: int
        num_kv_heads: int | None = None
        """None: as many as query heads."""
        num_slots: int | None = None
        """None: as many as a key has channels."""
        expand_k: float = 1.0
        expand_v: float = 1.0
        feature_map: str = "swish"
        gate_logit_normalizer: int = 8
        use_short_conv: bool = False
        conv_size: int = 4
        conv_bias: bool = False
        elementwise_affine: bool = True

    def __init__(self, options: Options, hidden: int, norm_eps: float) -> None:
        """Key and value widths are hidden times expand_k and expand_v."""
        super().__init__()
        self.options = options
        heads, self.kv_heads = options.num_heads, options.num_kv_heads or options.num_heads
        key = round(hidden * options.expand_k) // heads
        value = round(hidden * options.expand_v) // heads
        slots = options.num_slots or key
        self.value_width = heads * value
        self.reader = {"q": Column(heads * key)}
        self.writer = {
            "k": Column(self.kv_heads * key),
            "v": Column(self.kv_heads * value),
            "f": Column(self.kv_heads * slots),
        }
        self.readout = {}
        self.conv = ("q", "k", "v") if options.use_short_conv else ()
        self.conv_size, self.conv_bias = options.conv_size, options.conv_bias
        self.feature_map = feature_map(options.feature_map, key)
        self.state = {
            "slots": (heads, self.feature_map.width, slots),
            "s": (heads, slots, value),
        }
        self.norm = RMSNorm(self.value_width, NORM_EPS, options.elementwise_affine)

    def recur(
        self, c: dict[str, Tensor], at: Stream, state: Mapping[str, Tensor | None]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Which slots a query finds, then what they hold."""
        options, kv_heads = self.options, self.kv_heads
        group = options.num_heads // kv_heads
        q = self.feature_map(split_heads(c["q"], options.num_heads))
        k, v, f = (
            split_heads(c[name], kv_heads).repeat_interleave(group, 1) for name in ("k", "v", "f")
        )
        g = F.logsigmoid(wide(f)) / options.gate_logit_normalizer
        s = -torch.expm1(g)
        k, slots = self.feature_map(k), state["slots"]
        if at.slots is None:
            found, slots = gated_slot(q, k, s, g=g, state=slots, cu_seqlens=at.cu_seqlens)
        else:
            assert slots is not None
            found = gated_slot_step(q, k, s, g=g, state=slots, slots=at.slots)
        read = Write(wide(found).softmax(-1), s, F.silu(v), g)
        o, values = recurrence(read, at, state["s"], scale=1.0)
        return o, {"slots": slots, "s": values}

    def read_out(self, o: Tensor, c: dict[str, Tensor]) -> Tensor:
        """Activate, then norm over all heads."""
        return self.norm(F.silu(o).flatten(-2))
