"""Rotary positions against a rotation in the complex plane."""

import pytest
import torch
from torch import Tensor

from mom_eval.kernels import rotary, rotary_append, rotations
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


def rotate(x: Tensor, positions: Tensor, theta: float = 10_000.0) -> Tensor:
    dtype = torch.promote_types(x.dtype, torch.float32)
    return rotary(x, rotations(positions, x.shape[-1], theta, dtype=dtype))


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


def test_keys_and_values_are_written_where_they_belong():
    q, k, v = (torch.randn(3, heads, 8, dtype=torch.float64) for heads in (4, 2, 2))
    kept = torch.randn(2, 5, 7, 2, 8, dtype=torch.float64)
    keys, values = kept.clone()
    slots, positions = torch.tensor([3, 0, 3]), torch.tensor([6, 0, 2])
    turns = rotations(positions, 8, dtype=torch.float64)
    found = rotary_append(
        q, k, v, turns, keys=keys, values=values, slots=slots, positions=positions
    )
    assert error(found, turned(q, positions, 10_000.0)) < 1e-12
    assert error(keys[slots, positions], turned(k, positions, 10_000.0)) < 1e-12
    assert torch.equal(values[slots, positions], v)
    for one, before in zip((keys, values), kept, strict=True):
        one[slots, positions] = before[slots, positions]
        assert torch.equal(one, before)


def test_what_does_not_fit_is_refused():
    x, turns = torch.zeros(2, 1, 6), rotations(torch.arange(2), 6)
    with pytest.raises(ValueError, match="axis K"):
        rotations(torch.arange(2), 5)
    with pytest.raises(ValueError, match="axis K"):
        rotary(x[..., :5], turns)
    with pytest.raises(ValueError, match="axis half of turns"):
        rotary(x[..., :4], turns)
    with pytest.raises(ValueError, match="axis L of turns"):
        rotary(x, turns[:1])
