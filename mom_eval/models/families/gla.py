"""Gated linear attention (arXiv 2312.06635): a decay a key channel, no delta rule.

g = logsigmoid(x W_1 W_2 + b) / gate_logit_normalizer        W_1 [D, 16]
y = rms(o) * silu(x W_gate)
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from mom_eval.models.columns import Column
from mom_eval.models.families.feature_maps import feature_map
from mom_eval.models.family import Family, HeadNorm, RMSNorm, Stream, Write, split_heads, wide


class GLA(Family):
    """Gated linear attention."""

    name = "gla"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Published names."""

        num_heads: int
        num_kv_heads: int | None = None
        """None: as many as query heads."""
        expand_k: float = 0.5
        expand_v: float = 1.0
        feature_map: str | None = None
        clamp_min: float | None = None
        """The most negative log decay; None: unbounded."""
        gate_low_rank_dim: int = 16
        gate_logit_normalizer: int = 16
        use_output_gate: bool = True
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
        self.value_width = heads * value
        self.reader = {"q": Column(heads * key)}
        self.writer = {
            "k": Column(self.kv_heads * key),
            "v": Column(self.kv_heads * value),
            "gk": Column(self.kv_heads * key, rank=options.gate_low_rank_dim, bias=True),
        }
        self.readout = {"gate": Column(self.value_width)} if options.use_output_gate else {}
        self.conv = ("q", "k", "v") if options.use_short_conv else ()
        self.conv_size, self.conv_bias = options.conv_size, options.conv_bias
        self.state = {"s": (heads, key, value)}
        self.feature_map = feature_map(options.feature_map or "identity", key)
        if self.feature_map.width != key:
            raise ValueError(
                f"{options.feature_map} widens keys, and their decay has a channel each"
            )
        self.norm = RMSNorm(value, norm_eps, options.elementwise_affine)

    def write(self, c: dict[str, Tensor], at: Stream) -> Write:
        """The columns of L rows -> the op's inputs."""
        options, kv_heads = self.options, self.kv_heads
        group = options.num_heads // kv_heads
        g = F.logsigmoid(wide(c["gk"])) / options.gate_logit_normalizer
        if options.clamp_min is not None:
            g = g.clamp_min(options.clamp_min)
        k, v, g = (
            split_heads(x, kv_heads).repeat_interleave(group, 1) for x in (c["k"], c["v"], g)
        )
        q = split_heads(c["q"], options.num_heads)
        return Write(self.feature_map(q), self.feature_map(k), v, g)

    def head_norm(self, c: dict[str, Tensor]) -> HeadNorm:
        """Gated norm over each head."""
        heads = self.options.num_heads
        gate = split_heads(c["gate"], heads) if self.options.use_output_gate else None
        return HeadNorm(self.norm, gate)
