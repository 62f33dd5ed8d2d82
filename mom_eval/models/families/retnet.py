"""RetNet (arXiv 2307.08621): one constant decay a head, rotary positions.

    g_h = log(1 - 2^(-5 - h))
    q, k = rotary(phi(x W), position in the sequence),  v = x W_v
    y    = rms(o) * silu(x W_gate)

Among several memories the decay counts the tokens routed to a memory, and positions stay those of
the sequence.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mom_eval.kernels import rotary, rotations
from mom_eval.kernels.shapes import compute_dtype
from mom_eval.models.columns import Column
from mom_eval.models.families.feature_maps import feature_map
from mom_eval.models.family import Family, HeadNorm, RMSNorm, Stream, Write, split_heads


class RetNet(Family):
    """Multi-scale retention."""

    name = "retnet"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Published names."""

        num_heads: int
        num_kv_heads: int | None = None
        """None: as many as query heads."""
        expand_k: float = 1.0
        expand_v: float = 2.0
        feature_map: str | None = None
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
        self.writer = {"k": Column(self.kv_heads * key), "v": Column(self.kv_heads * value)}
        self.readout = {"gate": Column(self.value_width)} if options.use_output_gate else {}
        self.conv = ("q", "k", "v") if options.use_short_conv else ()
        self.conv_size, self.conv_bias = options.conv_size, options.conv_bias
        self.feature_map = feature_map(options.feature_map or "identity", key)
        self.state = {"s": (heads, self.feature_map.width, value)}
        self.norm = RMSNorm(value, norm_eps, options.elementwise_affine)

    def write(self, c: dict[str, Tensor], at: Stream) -> Write:
        """The columns of L rows -> the op's inputs."""
        heads, kv_heads = self.options.num_heads, self.kv_heads
        q = self.feature_map(split_heads(c["q"], heads))
        k = self.feature_map(split_heads(c["k"], kv_heads))
        turns = rotations(at.row_positions(), q.shape[-1], dtype=compute_dtype(q))
        q, k = rotary(q, turns), rotary(k, turns)
        v = split_heads(c["v"], kv_heads)
        head = torch.arange(heads, device=q.device, dtype=torch.float64)
        g = torch.log1p(-torch.exp2(-5 - head)).to(compute_dtype(q)).expand(len(q), heads)
        group = heads // kv_heads
        return Write(q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), g)

    def head_norm(self, c: dict[str, Tensor]) -> HeadNorm:
        """Gated norm over each head."""
        heads = self.options.num_heads
        gate = split_heads(c["gate"], heads) if self.options.use_output_gate else None
        return HeadNorm(self.norm, gate)
