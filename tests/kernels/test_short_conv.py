"""`short_conv`: by hand, against torch's own convolution, and however a stream is cut."""

from itertools import accumulate

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mom_eval.kernels import short_conv


def bounds(lengths: list[int]) -> torch.Tensor:
    return torch.tensor([0, *accumulate(lengths)])


# One to four calls, each with a number of tokens for each of up to three sequences.
CALLS = st.integers(1, 3).flatmap(
    lambda n: st.lists(st.tuples(*[st.integers(0, 7)] * n), min_size=1, max_size=4)
)


def test_by_hand():
    """Three taps, the newest last: y_2 = 1 x_0 + 10 x_1 + 100 x_2."""
    x, weight = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([[1.0, 10.0, 100.0]])
    y, ring = short_conv(x, weight)
    assert y.flatten().tolist() == [100, 210, 321, 432]
    # Entry t % 3 holds x_t: x_3 = 4 has taken the place of x_0.
    assert ring.flatten().tolist() == [4, 2, 3]
    y, ring = short_conv(torch.tensor([[5.0]]), weight, ring=ring, seen=torch.tensor([4]))
    assert y.item() == 543
    assert ring.flatten().tolist() == [4, 5, 3]


def test_segments_do_not_see_each_other():
    x, weight = torch.ones(3, 1), torch.tensor([[1.0, 10.0]])
    y, ring = short_conv(x, weight, bias=torch.tensor([0.5]), cu_seqlens=bounds([0, 1, 2]))
    assert y.flatten().tolist() == [10.5, 10.5, 11.5]
    assert ring.squeeze(-1).tolist() == [[0, 0], [1, 0], [1, 1]]


@pytest.mark.parametrize("activation", [None, "silu"])
@pytest.mark.parametrize("width", [1, 3, 4])
def test_it_is_torchs_convolution(width, activation):
    lengths, weight, bias = [5, 2, 1, 9], torch.randn(6, width), torch.randn(6)
    x = torch.randn(sum(lengths), 6)
    y, _ = short_conv(x, weight, bias=bias, cu_seqlens=bounds(lengths), activation=activation)
    for segment, found in zip(x.split(lengths), y.split(lengths), strict=True):
        padded = F.pad(segment.T, (width - 1, 0))[None]
        expected = F.conv1d(padded, weight[:, None], bias, groups=6)[0].T
        expected = F.silu(expected) if activation else expected
        torch.testing.assert_close(found, expected)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(calls=CALLS, width=st.integers(1, 5))
def test_any_cut_gives_the_same_bits(calls, width):
    """Up to the activation: torch's vectors round an exponential otherwise than its last few."""
    whole = [sum(lengths) for lengths in zip(*calls, strict=True)]
    streams = [torch.randn(n, 3) for n in whole]
    weight, bias = torch.randn(3, width), torch.randn(3)
    expected = short_conv(torch.cat(streams), weight, bias=bias, cu_seqlens=bounds(whole))
    # What an entry of before the start holds is nobody's business.
    ring = torch.full((len(whole), width, 3), torch.nan)
    seen, pieces = torch.zeros(len(whole), dtype=torch.int64), [[x[:0]] for x in streams]
    for lengths in calls:
        parts = [x[a : a + n] for x, a, n in zip(streams, seen.tolist(), lengths, strict=True)]
        past = {"ring": ring, "seen": seen, "cu_seqlens": bounds(lengths)}
        y, ring = short_conv(torch.cat(parts), weight, bias=bias, **past)
        seen = seen + torch.tensor(lengths)
        for piece, part in zip(pieces, y.split(lengths), strict=True):
            piece.append(part)
    assert torch.equal(torch.cat([part for piece in pieces for part in piece]), expected[0])
    assert torch.equal(ring, expected[1])
    for n, x in enumerate(streams):
        for t in range(max(0, len(x) - width), len(x)):
            assert torch.equal(ring[n, t % width], x[t])


def test_bfloat16_is_rounded_once():
    x, ring = torch.randn(9, 4).bfloat16(), torch.randn(2, 4, 4).bfloat16()
    weight, seen, segments = torch.randn(4, 4).bfloat16(), torch.tensor([3, 11]), bounds([4, 5])
    low = {"cu_seqlens": segments, "seen": seen, "activation": "silu"}
    y, new = short_conv(x, weight, ring=ring, **low)
    y_32, new_32 = short_conv(x.float(), weight.float(), ring=ring.float(), **low)
    assert y.dtype == new.dtype == torch.bfloat16
    assert torch.equal(y, y_32.bfloat16())
    assert torch.equal(new.float(), new_32)


def test_nothing_given_is_written_to():
    x, weight, ring = torch.randn(5, 2), torch.randn(2, 3), torch.randn(1, 3, 2)
    before = ring.clone()
    _, new = short_conv(x, weight, ring=ring, seen=torch.tensor([7]))
    new.zero_()
    assert torch.equal(ring, before)


def test_it_is_differentiable():
    tensors = [
        torch.randn(shape, dtype=torch.float64) for shape in ((6, 2), (2, 3), (2,), (3, 3, 2))
    ]
    leaves = [x.requires_grad_() for x in tensors]

    def op(x, weight, bias, ring):
        past = {"ring": ring, "seen": torch.tensor([1, 5, 9]), "cu_seqlens": bounds([2, 0, 4])}
        return short_conv(x, weight, bias=bias, activation="silu", **past)

    assert torch.autograd.gradcheck(op, leaves)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"x": (5, 2, 1)}, r"x must be \[L, D\], but has shape \[5, 2, 1\]"),
        ({"weight": (2, 1, 3)}, r"weight must be \[D, W\], but has shape \[2, 1, 3\]"),
        ({"weight": (4, 3)}, r"axis D of weight \[D, W\] must be 2, but it is 4"),
        ({"bias": (3,)}, r"axis D of bias \[D\] must be 2, but it is 3"),
        ({"ring": (1, 4, 2)}, r"axis W of ring \[N, W, D\] must be 3, but it is 4"),
        ({"ring": (2, 3, 2)}, r"axis N of ring \[N, W, D\] must be 1, but it is 2"),
    ],
)
def test_a_wrong_shape_names_its_axis(wrong, message):
    right = {"x": (5, 2), "weight": (2, 3), "bias": (2,), "ring": (1, 3, 2)}
    tensors = {name: torch.zeros(shape) for name, shape in (right | wrong).items()}
    with pytest.raises(ValueError, match=message):
        short_conv(**tensors, seen=torch.tensor([0]))


def test_what_else_is_refused():
    x, weight, ring, seen = (
        torch.zeros(5, 2),
        torch.zeros(2, 3),
        torch.zeros(1, 3, 2),
        torch.tensor([0]),
    )
    with pytest.raises(ValueError, match="ring and seen belong together"):
        short_conv(x, weight, ring=ring)
    with pytest.raises(ValueError, match="ring and seen belong together"):
        short_conv(x, weight, seen=seen)
    with pytest.raises(ValueError, match=r"ring must be torch\.float32 like x"):
        short_conv(x, weight, ring=ring.double(), seen=seen)
    with pytest.raises(ValueError, match="activation must be silu or None"):
        short_conv(x, weight, activation="relu")
    with pytest.raises(ValueError, match="cu_seqlens must rise from 0 to L = 5"):
        short_conv(x, weight, cu_seqlens=torch.tensor([0, 6]))
