"""Gated DeltaNet (arXiv 2412.06464): a decay a head and the delta rule.

g    = -exp(A_log) softplus(x W_a + dt_bias)        a value head
beta = sigmoid(x W_b)                               doubled with allow_neg_eigval
q, k = l2(silu(conv(x W))),  v = silu(conv(x W_v))
y    = rms(o) * act(x W_gate)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mom_eval.kernels import TimeStep, delta_gates, l2_norm
from mom_eval.models.columns import Column
from mom_eval.models.families.decay import draw_decay
from mom_eval.models.family import Family, HeadNorm, RMSNorm, Stream, Write, split_heads


class GatedDeltaNet(Family):
    """The memory of the published Mixture-of-Memories."""

    name = "gated_deltanet"
    delta = True

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Published names."""

        num_heads: int
        head_dim: int
        expand_v: float = 2.0
        num_v_heads: int | None = None
        """None: as many as key heads."""
        use_gate: bool = True
        output_gate_activation: str = "swish"
        """swish, silu (the same) or sigmoid."""
        allow_neg_eigval: bool = False
        use_short_conv: bool = True
        conv_size: int = 4
        conv_bias: bool = False

    def __init__(self, options: Options, hidden: int, norm_eps: float) -> None:
        """Widths follow from heads and head_dim; hidden is free."""
        super().__init__()
        self.options = options
        heads, key = options.num_heads, options.head_dim
        self.value_heads = options.num_v_heads or heads
        value = int(key * options.expand_v)
        self.value_width = self.value_heads * value
        self.reader = {"q": Column(heads * key)}
        self.writer = {
            "k": Column(heads * key),
            "v": Column(self.value_width),
            "a": Column(self.value_heads),
            "b": Column(self.value_heads),
        }
        self.readout = {"gate": Column(self.value_width)} if options.use_gate else {}
        self.conv = ("q", "k", "v") if options.use_short_conv else ()
        self.unit = options.use_short_conv
        self.conv_size, self.conv_bias = options.conv_size, options.conv_bias
        self.state = {"s": (self.value_heads, key, value)}
        self.A_log = nn.Parameter(torch.empty(self.value_heads))
        self.dt_bias = nn.Parameter(torch.empty(self.value_heads))
        self.norm = RMSNorm(value, norm_eps)

    def reset_parameters(self) -> None:
        """Draw the decay as Mamba does."""
        super().reset_parameters()
        draw_decay(self.A_log, self.dt_bias, 1e-6, 16.0)

    def write(self, c: dict[str, Tensor], at: Stream) -> Write:
        """The columns of L rows -> the op's inputs."""
        heads = (self.options.num_heads, self.options.num_heads, self.value_heads)
        q, k, v = (split_heads(c[name], n) for name, n in zip("qkv", heads, strict=True))
        if not self.unit:
            q, k, v = l2_norm(F.silu(q)), l2_norm(F.silu(k)), F.silu(v)
        return Write(q, k, v, *self.gates(c))

    def gates(self, c: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Decay and strength of L rows."""
        return delta_gates(*self.step_gates(c))

    def step_gates(self, c: dict[str, Tensor]) -> tuple[Tensor, Tensor, TimeStep]:
        """What both are made of."""
        most = 2.0 if self.options.allow_neg_eigval else 1.0
        return c["a"], c["b"], TimeStep(self.A_log, self.dt_bias, most)

    def head_norm(self, c: dict[str, Tensor]) -> HeadNorm:
        """Gated norm over each head."""
        gate = split_heads(c["gate"], self.value_heads) if self.options.use_gate else None
        activation = self.options.output_gate_activation.replace("swish", "silu")
        return HeadNorm(self.norm, gate, activation)
