"""Rotary positions against a rotation in the complex plane."""

import pytest
import torch
from torch import Tensor

from mom_eval.models.rotary import rotate
from tests.models.shapes import error

POSITIONS = torch.tensor([0, 1, 2, 7, 500, 100_000])


def turned(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """x [L, H, K] in float64, pair i of the halves as one complex number."""
    half = x.shape[-1] // 2
    pairs = torch.complex(x[..., :half], x[..., half:])
    for i in range(half):
        angle = positions.double() * theta ** (-2 * i / x.shape[-1])
        pairs[..., i] *= torch.polar(torch.ones_like(angle), angle)[:, None]
    return torch.cat([pairs.real, pairs.imag], -1)


@pytest.mark.parametrize("theta", [10_000.0, 500_000.0])
def test_it_is_a_rotation(theta: float):
    x = torch.randn(len(POSITIONS), 3, 10, dtype=torch.float64)
    want = turned(x, POSITIONS, theta)
    assert rotate(x, POSITIONS, theta).dtype == torch.float64
    assert error(rotate(x, POSITIONS, theta), want) < 1e-10
    # The last position alone: its angle in float32 would be wrong by 0.004.
    assert error(rotate(x.float(), POSITIONS, theta)[-1].double(), want[-1]) < 1e-6


def test_products_know_distances_only():
    q, k = torch.randn(2, 1, 1, 16, dtype=torch.float64).expand(2, 5, 1, 16)
    here, far = torch.arange(5), torch.arange(5) + 1000
    near = (rotate(q, here + 3) * rotate(k, here)).sum(-1)
    torch.testing.assert_close(near, (rotate(q, far + 3) * rotate(k, far)).sum(-1))
    torch.testing.assert_close(near, near[:1].expand(5, 1))


def test_it_rounds_once():
    x = torch.randn(len(POSITIONS), 2, 8).bfloat16()
    assert torch.equal(rotate(x, POSITIONS), rotate(x.float(), POSITIONS).bfloat16())


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="axis K"):
        rotate(torch.zeros(1, 1, 5), torch.zeros(1, dtype=torch.int64))
