"""`gated_delta`: cases counted by hand, value heads, and what it refuses."""

import math

import pytest
import torch

from mom_eval.kernels import gated_delta

IMPLEMENTATIONS = ["recurrent", "chunked"]
HALF, QUARTER = math.log(0.5), math.log(0.25)


def stream(*rows: tuple[float, ...]) -> torch.Tensor:
    """A row a token, one head: [L, 1, ...]."""
    return torch.tensor(rows)[:, None]


# Two tokens: k = (1, 0), (1, 1); v = 2, 3; q = (1, 1), (2, -1). By hand:
#   no gate: S = (2, 0), then (2, 0) + (3, 3); reads 2, and 2 * 5 - 3.
#   decay 1/2 of all: (2, 0), then (1, 0) + (3, 3).
#   decay 1/2 and 1/4 of the channels, from a state of ones: (1/2, 1/4) + (2, 0), then
#     (5/4, 1/16) + (3, 3).
#   delta, beta 1 and 1/2: (2, 0), then u = (3 - 2) / 2, (2, 0) + (1/2, 1/2).
#   delta, decay 1/2 of all: (2, 0), then u = (3 - 1) / 2, (1, 0) + (1, 1).
BY_HAND = {
    "none": (None, False, None, (2, 7), (5, 3)),
    "head": ((HALF,), False, None, (2, 5), (4, 3)),
    "channel": ((HALF, QUARTER), False, 1.0, (2.75, 5.4375), (4.25, 3.0625)),
    "delta": (None, True, None, (2, 4.5), (2.5, 0.5)),
    "head-delta": ((HALF,), True, None, (2, 3), (2, 1)),
}


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("case", BY_HAND)
def test_two_tokens_by_hand(case, impl):
    gate, delta, start, reads, last = BY_HAND[case]
    g = None if gate is None else torch.tensor([gate] * 2).view(2, 1, -1)
    o, state = gated_delta(
        stream((1.0, 1.0), (2.0, -1.0)),
        stream((1.0, 0.0), (1.0, 1.0)),
        stream((2.0,), (3.0,)),
        g=g.squeeze(-1) if case.startswith("head") and g is not None else g,
        beta=stream((1.0,), (0.5,)).squeeze(-1) if delta else None,
        scale=1.0,
        state=None if start is None else torch.full((1, 1, 2, 1), start),
        impl=impl,
    )
    torch.testing.assert_close(o.flatten(), torch.tensor(reads, dtype=torch.float32))
    torch.testing.assert_close(state.flatten(), torch.tensor(last, dtype=torch.float32))


def test_the_scale_is_that_of_the_keys():
    q, v = torch.ones(1, 1, 4), torch.ones(1, 1, 2)
    assert gated_delta(q, q, v)[0].flatten().tolist() == [2.0, 2.0]
    assert gated_delta(q, q, v, scale=1.0)[0].flatten().tolist() == [4.0, 4.0]


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_value_heads_share_key_heads_in_groups(impl):
    q, k = torch.randn(2, 5, 2, 3)
    v, beta = torch.randn(5, 6, 4), torch.rand(5, 6)
    o, _ = gated_delta(q, k, v, beta=beta, impl=impl)
    for head in range(6):
        at, of = [head // 3], [head]
        alone, _ = gated_delta(q[:, at], k[:, at], v[:, of], beta=beta[:, of], impl=impl)
        torch.testing.assert_close(o[:, of], alone)


def test_auto_is_chunked():
    q, k, v = torch.randn(3, 90, 2, 8)
    assert torch.equal(gated_delta(q, k, v)[0], gated_delta(q, k, v, impl="chunked")[0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"q": (5, 4)}, r"q must be \[L, H, K\], but has shape \[5, 4\]"),
        ({"k": (6, 2, 3)}, r"axis L of k \[L, H, K\] must be 5, but it is 6"),
        ({"k": (5, 3, 3)}, r"axis H of k \[L, H, K\] must be 2, but it is 3"),
        ({"k": (5, 2, 4)}, r"axis K of k \[L, H, K\] must be 3, but it is 4"),
        ({"v": (4, 4, 7)}, r"axis L of v \[L, HV, V\] must be 5, but it is 4"),
        ({"v": (5, 3, 7)}, "axis HV of v must be a multiple of H = 2, but it is 3"),
        ({"g": (5, 2)}, r"axis HV of g \[L, HV\] must be 4, but it is 2"),
        ({"g": (5, 4, 7)}, r"axis K of g \[L, HV, K\] must be 3, but it is 7"),
        ({"g": (5,)}, r"g must be \[L, HV, K\], but has shape \[5\]"),
        ({"beta": (5, 4, 1)}, r"beta must be \[L, HV\], but has shape \[5, 4, 1\]"),
        ({"state": (2, 4, 3, 7)}, r"axis N of state \[N, HV, K, V\] must be 1, but it is 2"),
        ({"state": (1, 4, 7, 3)}, r"axis K of state \[N, HV, K, V\] must be 3, but it is 7"),
    ],
    ids=lambda x: "" if isinstance(x, str) else f"{next(iter(x))}",
)
def test_a_wrong_shape_names_its_axis(wrong, message):
    right = {"q": (5, 2, 3), "k": (5, 2, 3), "v": (5, 4, 7)}
    tensors = {name: torch.zeros(shape) for name, shape in (right | wrong).items()}
    with pytest.raises(ValueError, match=message):
        gated_delta(**tensors)


def test_what_else_is_refused():
    q = k = v = torch.zeros(5, 1, 2)
    with pytest.raises(ValueError, match="impl must be one of auto, chunked, recurrent"):
        gated_delta(q, k, v, impl="fast")
    with pytest.raises(ValueError, match=r"state must be torch\.float32, but it is torch\.float64"):
        gated_delta(q, k, v, state=torch.zeros(1, 1, 2, 2, dtype=torch.float64))
    for ends in ([0, 4], [1, 5], [0, 4, 3, 5]):
        with pytest.raises(ValueError, match="cu_seqlens must rise from 0 to L = 5"):
            gated_delta(q, k, v, cu_seqlens=torch.tensor(ends))
    for ends in (torch.tensor([0, 5], dtype=torch.int32), torch.tensor([0]), torch.tensor(5)):
        with pytest.raises(ValueError, match="cu_seqlens must be int64"):
            gated_delta(q, k, v, cu_seqlens=ends)
