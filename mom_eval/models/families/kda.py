"""Kimi Delta Attention (arXiv 2510.26692): a decay a key channel and the delta rule.

g    = -exp(A_log) softplus(f + dt_bias)            f = x W_1 W_2, a channel of each value head
g    = lower_bound sigmoid(exp(A_log) (f + dt_bias))       where a lower bound is given
beta = sigmoid(x W_b)                               doubled with allow_neg_eigval
y    = rms(o) * sigmoid(x W_3 W_4 + b)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mom_eval.kernels import l2_norm
from mom_eval.models.columns import Column
from mom_eval.models.families.decay import draw_decay
from mom_eval.models.family import Family, HeadNorm, RMSNorm, Stream, Write, split_heads, wide


class KDA(Family):
    """Kimi Delta Attention."""

    name = "kda"
    delta = True
    channels = True

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Published names."""

        num_heads: int
        head_dim: int
        expand_v: float = 1.0
        num_v_heads: int | None = None
        """None: as many as key heads."""
        allow_neg_eigval: bool = False
        lower_bound: float | None = None
        """The most negative log decay; None: unbounded."""
        use_short_conv: bool = True
        conv_size: int = 4
        conv_bias: bool = False

    def __init__(self, options: Options, hidden: int, norm_eps: float) -> None:
        """The gates' low rank is the width of a value head."""
        super().__init__()
        self.options = options
        heads, key = options.num_heads, options.head_dim
        self.value_heads = options.num_v_heads or heads
        value = int(key * options.expand_v)
        self.value_width = self.value_heads * value
        gates = self.value_heads * key
        self.reader = {"q": Column(heads * key)}
        self.writer = {
            "k": Column(heads * key),
            "v": Column(self.value_width),
            "f": Column(gates, rank=value),
            "b": Column(self.value_heads),
        }
        self.readout = {"gate": Column(self.value_width, rank=value, bias=True)}
        self.conv = ("q", "k", "v") if options.use_short_conv else ()
        self.unit = options.use_short_conv
        self.conv_size, self.conv_bias = options.conv_size, options.conv_bias
        self.state = {"s": (self.value_heads, key, value)}
        self.A_log = nn.Parameter(torch.empty(self.value_heads))
        self.dt_bias = nn.Parameter(torch.empty(gates))
        self.norm = RMSNorm(value, norm_eps)

    def reset_parameters(self) -> None:
        """Draw the decay as Mamba does."""
        super().reset_parameters()
        draw_decay(self.A_log, self.dt_bias, 1.0, 16.0)

    def write(self, c: dict[str, Tensor], at: Stream) -> Write:
        """The columns of L rows -> the op's inputs."""
        heads = (self.options.num_heads, self.options.num_heads, self.value_heads)
        q, k, v = (split_heads(c[name], n) for name, n in zip("qkv", heads, strict=True))
        if not self.unit:
            q, k, v = l2_norm(F.silu(q)), l2_norm(F.silu(k)), F.silu(v)
        return Write(q, k, v, *self.gates(c))

    def gates(self, c: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Decay and strength of L rows."""
        options = self.options
        f = split_heads(wide(c["f"]) + wide(self.dt_bias), self.value_heads)
        rate = wide(self.A_log).exp()[:, None]
        if options.lower_bound is None:
            g = -rate * F.softplus(f)
        else:
            g = options.lower_bound * torch.sigmoid(rate * f)
        return g, torch.sigmoid(wide(c["b"])) * (2 if options.allow_neg_eigval else 1)

    def head_norm(self, c: dict[str, Tensor]) -> HeadNorm:
        """Norm over each head, gated by a sigmoid."""
        return HeadNorm(self.norm, split_heads(c["gate"], self.value_heads), "sigmoid")
