"""Mamba-2 (arXiv 2405.21060): a decay a head, and a value scaled by the time step.

x, B, C = silu(conv([x W_x, x W_B, x W_C] + bias)),  dt = clamp(softplus(x W_dt + dt_bias))
q = C, k = B, v = dt x, g = -exp(A_log) dt, scale 1
y = rms((o + D x) * silu(z))          over groups of channels, the gate before the norm
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mom_eval.models.columns import Column
from mom_eval.models.families.decay import draw_decay
from mom_eval.models.family import Family, RMSNorm, Stream, Write, split_heads, wide


class Mamba2(Family):
    """Mamba-2's mixer; its groups are this op's key heads."""

    name = "mamba2"
    scale = 1.0

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Published names."""

        num_heads: int
        head_dim: int = 64
        state_size: int = 128
        n_groups: int = 1
        conv_kernel: int = 4
        use_bias: bool = False
        use_conv_bias: bool = True
        dt_limit: tuple[float, float] = (0.0, math.inf)
        rmsnorm: bool = True
        norm_before_gate: bool = False
        D_has_hdim: bool = False

    def __init__(self, options: Options, hidden: int, norm_eps: float) -> None:
        """The inner width is heads times head_dim; hidden is free."""
        super().__init__()
        self.options = options
        heads, groups, bias = options.num_heads, options.n_groups, options.use_bias
        inner, keys = heads * options.head_dim, groups * options.state_size
        self.value_width, self.out_bias = inner, bias
        self.reader = {"C": Column(keys, bias=bias)}
        self.writer = {
            "x": Column(inner, bias=bias),
            "B": Column(keys, bias=bias),
            "dt": Column(heads, bias=bias),
        }
        self.readout = {"z": Column(inner, bias=bias)}
        self.conv = ("x", "B", "C")
        self.conv_size, self.conv_bias = options.conv_kernel, options.use_conv_bias
        self.state = {"s": (heads, options.state_size, options.head_dim)}
        self.A_log = nn.Parameter(torch.empty(heads))
        self.dt_bias = nn.Parameter(torch.empty(heads))
        self.D = nn.Parameter(torch.empty(inner if options.D_has_hdim else heads))
        self.eps = norm_eps
        self.norm = RMSNorm(inner, norm_eps) if options.rmsnorm else None

    def reset_parameters(self) -> None:
        """Draw the decay as Mamba does; the skip is one."""
        super().reset_parameters()
        draw_decay(self.A_log, self.dt_bias, 1.0, 16.0)
        nn.init.ones_(self.D)

    def write(self, c: dict[str, Tensor], at: Stream) -> Write:
        """The columns of L rows -> the op's inputs."""
        heads, groups = self.options.num_heads, self.options.n_groups
        dt = F.softplus(wide(c["dt"]) + wide(self.dt_bias)).clamp(*self.options.dt_limit)
        return Write(
            split_heads(c["C"], groups),
            split_heads(c["B"], groups),
            wide(split_heads(c["x"], heads)) * dt[..., None],
            -wide(self.A_log).exp() * dt,
        )

    def recur(
        self, c: dict[str, Tensor], at: Stream, state: Mapping[str, Tensor | None]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The recurrence, and the skip D x around it."""
        o, kept = super().recur(c, at, state)
        x = split_heads(c["x"], self.options.num_heads)
        D = wide(self.D).unflatten(0, (self.options.num_heads, -1))
        return (o + D * wide(x)).to(x.dtype), kept

    def read_out(self, o: Tensor, c: dict[str, Tensor]) -> Tensor:
        """Gate and norm; the norm's groups are those of B and C."""
        o, z = wide(o.flatten(-2)), wide(c["z"])
        if self.norm is None or self.norm.weight is None:
            return (o * F.silu(z)).to(c["z"].dtype)
        before = self.options.norm_before_gate
        grouped = (o if before else o * F.silu(z)).unflatten(-1, (self.options.n_groups, -1))
        scale = grouped.square().mean(-1, keepdim=True).add(self.eps).rsqrt()
        normed = (grouped * scale).flatten(-2) * wide(self.norm.weight)
        return (normed * F.silu(z) if before else normed).to(c["z"].dtype)
