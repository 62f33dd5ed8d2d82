"""Maps of queries and keys, head by head, that stand where a softmax would.

Learned ones keep the parameter names that published checkpoints use.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FUNCTIONS = {
    "identity": lambda x: x,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "elu": lambda x: F.elu(x) + 1,
}
"""Maps without parameters; all keep the width."""


class Elementwise(nn.Module):
    """One of `FUNCTIONS`."""

    def __init__(self, name: str, width: int) -> None:
        """`width`: a head's; it stays."""
        super().__init__()
        self.name, self.width = name, width

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        return FUNCTIONS[self.name](x)


class Hadamard(nn.Module):
    """The product of two affine maps."""

    def __init__(self, width: int) -> None:
        """`width`: a head's; it stays."""
        super().__init__()
        self.width = width
        self.layer1, self.layer2 = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        return self.layer1(x) * self.layer2(x)


class Hedgehog(nn.Module):
    """softmax([2 y, -2 y]) of a learned affine map y (arXiv 2402.04347)."""

    def __init__(self, width: int) -> None:
        """`width`: a head's; it doubles."""
        super().__init__()
        self.width = 2 * width
        self.layer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., 2 width]."""
        y = 2 * self.layer(x)
        return torch.cat([y, -y], -1).softmax(-1)


class T2R(nn.Module):
    """relu of a learned linear map (arXiv 2103.13076)."""

    def __init__(self, width: int) -> None:
        """`width`: a head's; it stays."""
        super().__init__()
        self.width = width
        self.layer = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        return self.layer(x).relu()


class DPFP(nn.Module):
    """Products of the positive and negative parts with their own rotations (arXiv 2102.11174)."""

    NU = 4

    def __init__(self, width: int) -> None:
        """`width`: a head's; it grows by 2 NU."""
        super().__init__()
        self.width = 2 * self.NU * width

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., 2 NU width]."""
        x = torch.cat([x.relu(), (-x).relu()], -1)
        return torch.cat([x * x.roll(shift, -1) for shift in range(1, self.NU + 1)], -1)


LEARNED = {"elementwise_product": Hadamard, "hedgehog": Hedgehog, "t2r": T2R, "dpfp": DPFP}


def feature_map(name: str, width: int) -> "Hadamard | Hedgehog | T2R | DPFP | Elementwise":
    """The map of a published name; its `.width` is the width of what it returns.

    Raises:
        ValueError: there is no such map.
    """
    if name in LEARNED:
        return LEARNED[name](width)
    if name not in FUNCTIONS:
        raise ValueError(f"no feature map {name!r}; there are {', '.join([*LEARNED, *FUNCTIONS])}")
    return Elementwise(name, width)
