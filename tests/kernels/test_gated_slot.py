"""`gated_slot`: a case counted by hand, its relation to `gated_delta`, and what it refuses."""

import math

import pytest
import torch

from mom_eval.kernels import gated_delta, gated_slot

HALF, QUARTER = math.log(0.5), math.log(0.25)


@pytest.mark.parametrize("impl", ["recurrent", "chunked"])
def test_two_tokens_by_hand(impl):
    """One key channel, two slots: S = (1, 2), then (1/2, 2/4) + 2 (3, 1) = (6.5, 2.5)."""
    o, state = gated_slot(
        torch.tensor([1.0, 4.0]).view(2, 1, 1),
        torch.tensor([1.0, 2.0]).view(2, 1, 1),
        torch.tensor([[1.0, 2.0], [3.0, 1.0]]).view(2, 1, 2),
        g=torch.tensor([HALF, QUARTER]).expand(2, 1, 2),
        scale=0.5,
        impl=impl,
    )
    torch.testing.assert_close(o.view(2, 2), torch.tensor([[0.5, 1.0], [13.0, 5.0]]))
    torch.testing.assert_close(state.view(2), torch.tensor([6.5, 2.5]))


def test_with_one_decay_for_all_slots_it_is_gated_delta():
    q, k = torch.randn(2, 90, 2, 5)
    s, g = torch.randn(90, 2, 3), -torch.rand(90, 2)
    o, state = gated_slot(q, k, s, g=g[..., None].expand_as(s))
    o_other, state_other = gated_delta(q, k, s, g=g, scale=1.0)
    torch.testing.assert_close(o, o_other, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(state, state_other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k": (5, 2, 4)}, r"axis K of k \[L, H, K\] must be 3, but it is 4"),
        ({"s": (5, 4, 7)}, r"axis H of s \[L, H, M\] must be 2, but it is 4"),
        ({"g": (5, 2, 3)}, r"axis M of g \[L, H, M\] must be 7, but it is 3"),
        ({"g": (5, 2)}, r"g must be \[L, H, M\], but has shape \[5, 2\]"),
        ({"state": (1, 2, 7, 3)}, r"axis K of state \[N, H, K, M\] must be 3, but it is 7"),
    ],
)
def test_a_wrong_shape_names_its_axis(wrong, message):
    right = {"q": (5, 2, 3), "k": (5, 2, 3), "s": (5, 2, 7), "g": (5, 2, 7)}
    tensors = {name: torch.zeros(shape) for name, shape in (right | wrong).items()}
    with pytest.raises(ValueError, match=message):
        gated_slot(**tensors)


def test_an_unknown_implementation_is_refused():
    x = torch.zeros(2, 1, 1)
    with pytest.raises(ValueError, match="impl must be one of auto, chunked, recurrent"):
        gated_slot(x, x, x, g=x, impl="fast")
