"""HGRN2 (arXiv 2404.07904): a decay a key channel that is also the key.

f = b + (1 - b) sigmoid(x W_f)        b: the layer's lower bound, none in the first layer
g = log f, k = 1 - f, v = x W_i, q = silu(x W_q)
y = rms(o)                            over all heads at once
b = cumsum over layers of softmax(lower_bounds), minus its first row
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mom_eval.models.columns import Column
from mom_eval.models.family import Family, RMSNorm, Stream, Write, split_heads, wide

NORM_EPS = 1e-5
"""Flash-linear-attention gives this norm no norm_eps of the configuration since 2024-11-05;
what was trained before that had it (docs/decisions/0008)."""
INSIDE = (1e-30, 1 - 2**-24)
"""The least and the greatest bound, as close to 0 and 1 as float32 computes with."""


class LowerBounds(nn.Module):
    """The lower bounds of all layers' decays, which grow from layer to layer."""

    def __init__(self, num_layers: int, width: int) -> None:
        """`width`: a layer's key channels."""
        super().__init__()
        self.lower_bounds = nn.Parameter(torch.zeros(num_layers, width))

    def forward(self) -> list[Tensor | None]:
        """A row [width] a layer; the first has none."""
        share = wide(self.lower_bounds).softmax(0)
        # Rounding carries a bound to 0 or past 1, where logarithms or their gradients are NaN.
        bounds = (share.cumsum(0) - share[0]).clamp(*INSIDE)
        return [None, *bounds[1:]]


class HGRN2(Family):
    """Gated linear RNN with state expansion."""

    name = "hgrn2"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Published names."""

        num_heads: int | None = None
        expand_ratio: int | None = 128
        """A head's width; it decides the number of heads where it is given."""
        use_lower_bound: bool = True
        use_short_conv: bool = False
        conv_size: int = 4
        conv_bias: bool = False
        elementwise_affine: bool = True

    def __init__(self, options: Options, hidden: int, norm_eps: float) -> None:
        """Keys and values are as wide as hidden."""
        super().__init__()
        if options.expand_ratio is None and options.num_heads is None:
            raise ValueError("one of expand_ratio and num_heads must be given")
        ratio = options.expand_ratio
        self.heads = hidden // ratio if ratio else options.num_heads or 0
        if not self.heads or hidden % self.heads or (ratio and hidden % ratio):
            heads = f"heads of {ratio}" if ratio else f"{options.num_heads} heads"
            raise ValueError(f"hidden {hidden} does not divide into {heads}")
        self.value_width = hidden
        self.reader = {"q": Column(hidden)}
        self.writer = {"f": Column(hidden), "i": Column(hidden)}
        self.readout = {}
        self.conv = ("q", "f", "i") if options.use_short_conv else ()
        self.conv_size, self.conv_bias = options.conv_size, options.conv_bias
        self.conv_activation = None
        self.state = {"s": (self.heads, hidden // self.heads, hidden // self.heads)}
        self.norm = RMSNorm(hidden, NORM_EPS, options.elementwise_affine)

    @classmethod
    def across_layers(cls, options: Options, hidden: int, num_layers: int) -> nn.Module | None:
        """The lower bounds, a parameter of the whole model."""
        return LowerBounds(num_layers, hidden) if options.use_lower_bound else None

    def write(self, c: dict[str, Tensor], at: Stream) -> Write:
        """The columns of L rows -> the op's inputs."""
        g = F.logsigmoid(wide(c["f"]))
        if at.across is not None:
            g = torch.logaddexp(at.across.log(), torch.log1p(-at.across) + g)
        k = -torch.expm1(g)
        q, k, v, g = (split_heads(x, self.heads) for x in (F.silu(c["q"]), k, c["i"], g))
        return Write(q, k.to(q.dtype), v, g)

    def read_out(self, o: Tensor, c: dict[str, Tensor]) -> Tensor:
        """Norm over all heads."""
        return self.norm(o.flatten(-2))
