"""Weights of the short convolution before q, k and v (`kernels.short_conv`)."""

import torch
from torch import Tensor, nn


class ShortConv(nn.Module):
    """The weights of one depthwise convolution over several columns."""

    def __init__(self, widths: dict[str, int], size: int, bias: bool) -> None:
        """`widths`: column -> channels, in the order of the weights."""
        super().__init__()
        self.widths = widths
        self.weight = nn.Parameter(torch.empty(sum(widths.values()), size))
        self.bias = nn.Parameter(torch.empty(sum(widths.values()))) if bias else None

    def reset_parameters(self) -> None:
        """Uniform within the square root of 1 / taps, as torch's own convolution."""
        bound = self.weight.shape[1] ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def pieces(self) -> dict[str, Tensor]:
        """Each column's own part of weight and bias, as views."""
        sizes = list(self.widths.values())
        out = {}
        for name, part in zip(self.widths, self.weight.split(sizes), strict=True):
            out[f"{name}_conv.weight"] = part
        if self.bias is not None:
            for name, part in zip(self.widths, self.bias.split(sizes), strict=True):
                out[f"{name}_conv.bias"] = part
        return out
