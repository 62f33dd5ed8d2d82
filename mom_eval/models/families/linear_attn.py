"""Linear attention (arXiv 2006.16236): no decay, no delta rule.

q = phi_q(x W_q), k = phi_k(x W_k), v = x W_v
o = scale * S^T q                        S = sum k v^T
o = o / (scale * z . q + 1e-10)          normalised form, z = sum k
y = rms(o)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mom_eval.models.columns import Column
from mom_eval.models.families.feature_maps import feature_map
from mom_eval.models.family import Family, RMSNorm, Stream, Write, recurrence, split_heads


class LinearAttention(Family):
    """Linear attention with a feature map, plain or normalised."""

    name = "linear_attn"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Published names."""

        num_heads: int
        num_kv_heads: int | None = None
        """None: as many as query heads."""
        expand_k: float = 1.0
        expand_v: float = 1.0
        feature_map: str = "elementwise_product"
        tie_feature_map_qk: bool = False
        norm_feature_map: bool = False
        """Divide by the sum of the weights."""
        norm_q: bool = False
        norm_k: bool = False
        elementwise_affine: bool = True

    def __init__(self, options: Options, hidden: int, norm_eps: float) -> None:
        """Key and value widths are hidden times expand_k and expand_v."""
        super().__init__()
        self.options = options
        heads, kv_heads = options.num_heads, options.num_kv_heads or options.num_heads
        key = round(hidden * options.expand_k) // heads
        value = round(hidden * options.expand_v) // heads
        self.kv_heads, self.value_width = kv_heads, heads * value
        self.reader = {"q": Column(heads * key)}
        self.writer = {"k": Column(kv_heads * key), "v": Column(kv_heads * value)}
        self.readout = {}
        self.feature_map_q = feature_map(options.feature_map, key)
        self.feature_map_k = (
            self.feature_map_q
            if options.tie_feature_map_qk
            else feature_map(options.feature_map, key)
        )
        width = self.feature_map_q.width
        self.state = {"s": (heads, width, value)}
        if options.norm_feature_map:
            self.state["z"] = (heads, width, 1)
        self.norm = RMSNorm(value, norm_eps, options.elementwise_affine)

    def write(self, c: dict[str, Tensor], at: Stream) -> Write:
        """The columns of L rows -> the op's inputs."""
        q = self.feature_map_q(split_heads(c["q"], self.options.num_heads))
        k = self.feature_map_k(split_heads(c["k"], self.kv_heads))
        if self.options.norm_q:
            q = q / (q.sum(-1, keepdim=True) + 1e-4)
        if self.options.norm_k:
            k = k / (k.sum(-1, keepdim=True) + 1e-4)
        group = self.options.num_heads // self.kv_heads
        v = split_heads(c["v"], self.kv_heads)
        return Write(q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1))

    def recur(
        self, c: dict[str, Tensor], at: Stream, state: Mapping[str, Tensor | None]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The recurrence, and the same over values of one where it is normalised."""
        w = self.write(c, at)
        o, s = recurrence(w, at, state["s"])
        if not self.options.norm_feature_map:
            return o, {"s": s}
        ones = torch.ones_like(w.v[..., :1], dtype=s.dtype)
        weight, z = recurrence(w._replace(v=ones), at, state["z"])
        return (o / (weight + 1e-10)).to(o.dtype), {"s": s, "z": z}

    def read_out(self, o: Tensor, c: dict[str, Tensor]) -> Tensor:
        """Norm over each head."""
        return self.norm(o).flatten(-2)
