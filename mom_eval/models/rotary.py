"""Rotary positions (RoFormer, arXiv 2104.09864, eq. 34), halves rotated against each other.

x1, x2 = the halves of x;  a_i = position * theta^(-i / (K / 2))
rotate(x) = [x1 cos a - x2 sin a, x2 cos a + x1 sin a]
"""

import torch
from torch import Tensor


def rotate(x: Tensor, positions: Tensor, theta: float = 10_000.0) -> Tensor:
    """Rotate x [L, H, K], K even, by positions [L]; computed in float32 at least, rounded once."""
    if x.shape[-1] % 2:
        raise ValueError(f"axis K of x must be even to be rotated, got {x.shape[-1]}")
    half = x.shape[-1] // 2
    dtype = torch.promote_types(x.dtype, torch.float32)
    steps = torch.arange(half, dtype=torch.float64, device=x.device) / half
    # In float32 the angle of position 100,000 would be off by 0.004.
    angles = positions.double()[:, None, None] * theta**-steps
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    x1, x2 = x.to(dtype).chunk(2, -1)
    return torch.cat([x1 * cos - x2 * sin, x2 * cos + x1 * sin], -1).to(x.dtype)
