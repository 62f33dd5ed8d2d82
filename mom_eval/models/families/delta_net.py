"""DeltaNet (arXiv 2406.06484): the delta rule without decay.

beta = sigmoid(x W_b)                    doubled with allow_neg_eigval; 1 without use_beta
q, k = norm(act(conv(x W))),  v = silu(conv(x W_v))
y    = rms(o) [* silu(x W_gate)]
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels import l2_norm
from mom_eval.models.columns import Column
from mom_eval.models.families.feature_maps import feature_map
from mom_eval.models.family import Family, HeadNorm, RMSNorm, Stream, Write, split_heads, wide


class DeltaNet(Family):
    """DeltaNet."""

    name = "delta_net"
    delta = True

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Published names."""

        num_heads: int
        expand_k: float = 1.0
        expand_v: float = 1.0
        use_beta: bool = True
        use_gate: bool = False
        qk_activation: str = "silu"
        qk_norm: str = "l2"
        allow_neg_eigval: bool = False
        use_short_conv: bool = True
        conv_size: int = 4
        conv_bias: bool = False

    def __init__(self, options: Options, hidden: int, norm_eps: float) -> None:
        """Key and value widths are hidden times expand_k and expand_v."""
        super().__init__()
        if options.qk_norm not in ("l2", "sum"):
            raise ValueError(f"qk_norm {options.qk_norm!r}; there are l2 and sum")
        self.options = options
        heads = options.num_heads
        key = round(hidden * options.expand_k) // heads
        value = round(hidden * options.expand_v) // heads
        self.value_width = heads * value
        self.reader = {"q": Column(heads * key)}
        self.writer = {"k": Column(heads * key), "v": Column(heads * value)}
        if options.use_beta:
            self.writer["b"] = Column(heads)
        self.readout = {"gate": Column(heads * value)} if options.use_gate else {}
        self.conv = ("q", "k", "v") if options.use_short_conv else ()
        self.conv_size, self.conv_bias = options.conv_size, options.conv_bias
        # The convolution activates all its columns or none; v is always silu.
        self.conv_activation = None
        self.activation = feature_map(options.qk_activation, key)
        self.state = {"s": (heads, self.activation.width, value)}
        self.norm = RMSNorm(value, norm_eps)

    def write(self, c: dict[str, Tensor], at: Stream) -> Write:
        """The columns of L rows -> the op's inputs."""
        options, heads = self.options, self.options.num_heads
        q, k = (self.activation(split_heads(c[name], heads)) for name in ("q", "k"))
        if options.qk_norm == "l2":
            q, k = l2_norm(q), l2_norm(k)
        else:
            q, k = (F.normalize(x, p=1.0, dim=-1, eps=1e-6) for x in (q, k))
        if options.use_beta:
            beta = torch.sigmoid(wide(c["b"]))
        else:
            beta = torch.ones_like(q[..., 0], dtype=torch.float32)
        if options.allow_neg_eigval:
            beta = 2 * beta
        return Write(q, k, F.silu(split_heads(c["v"], heads)), None, beta)

    def head_norm(self, c: dict[str, Tensor]) -> HeadNorm:
        """Norm over each head, gated where there is a gate."""
        heads = self.options.num_heads
        gate = split_heads(c["gate"], heads) if self.options.use_gate else None
        return HeadNorm(self.norm, gate)
