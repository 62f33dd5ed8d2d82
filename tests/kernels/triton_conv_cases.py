"""The walks of `short_conv`: every length, width and cut; `test_triton` runs this by itself."""

from itertools import accumulate

import pytest
import torch

from mom_eval.kernels import Joined, Rows, Taken, preferring, short_conv

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
LENGTHS = (1, 3, 4, 0, 5, 63, 64, 65, 130, 2, 1, 1)


def bounds(lengths):
    return torch.tensor([0, *accumulate(lengths)], device=DEVICE)


def random(*shape):
    return torch.randn(*shape, device=DEVICE)


def past(segments, taps, channels):
    """What 0 to 5 tokens left; the ring is NaN where there was none."""
    seen = torch.arange(segments, device=DEVICE) % 6
    none = torch.arange(taps, device=DEVICE) >= seen[:, None]
    ring = random(segments, taps, channels).masked_fill(none[..., None], torch.nan)
    return {"ring": ring, "seen": seen}


def check(relative, x, weight, **given):
    found = []
    for kernels, wide in (("triton", lambda y: y), ("torch", torch.Tensor.double)):
        with preferring(kernels):
            given |= {name: wide(given[name]) for name in ("ring", "bias") if name in given}
            y, kept = short_conv(wide(x), wide(weight), **given)
        found.append(torch.cat([y.flatten(), kept.flatten()]))
    assert relative(*found) < 1e-5


@pytest.mark.parametrize("width", [16, 64, 256, 512, 2048])
def test_every_length_with_heads_of(relative, width):
    """The wider the heads, the fewer tokens at a time, and the longer the walks."""
    check(
        relative,
        random(sum(LENGTHS), width),
        random(width, 4),
        bias=random(width),
        cu_seqlens=bounds(LENGTHS),
        activation="silu",
        unit=[width],
        **past(len(LENGTHS), 4, width),
    )


@pytest.mark.parametrize("taps", [1, 2, 3, 5, 8])
def test_as_many_taps_as(relative, taps):
    lengths = (1, taps, 70, 2)
    x, weight = random(sum(lengths), 300), random(300, taps)
    check(relative, x, weight, cu_seqlens=bounds(lengths), **past(len(lengths), taps, 300))


@pytest.mark.parametrize("width", [16, 256])
def test_calls_may_be_cut_anywhere(width):
    """To the bit: every token's sum is in one order, wherever its walk begins."""
    cuts = [(1, 0), (4, 3), (63, 1), (0, 64), (62, 2)]
    streams = [random(sum(lengths), 3 * width) for lengths in zip(*cuts, strict=True)]
    weight, token = random(3 * width, 4), torch.arange(200, device=DEVICE)

    def run(pieces, **given):
        """One part is taken by its token, the last first; the others are joined."""
        q, k, v = torch.cat(pieces).split(width, 1)
        own, order = len(pieces[0]), token[: len(q)].flip(0)
        rows = Rows(order[:, None], order, token, token.int(), 0)
        x = [Taken(q.flip(0), rows), Joined(k[:own], k[own:]), Joined(v[:own], v[own:])]
        given |= {"cu_seqlens": bounds(map(len, pieces)), "unit": [width, width, None]}
        y, ring = short_conv(x, weight, activation="silu", **given)
        return torch.cat(y, 1).split([len(piece) for piece in pieces]), ring

    with preferring("triton"):
        whole, kept = run(streams)
        seen, found, given = torch.zeros(2, dtype=torch.int64, device=DEVICE), [], {}
        pieces = (x.split(lengths) for x, *lengths in zip(streams, *cuts, strict=True))
        for cut, piece in zip(cuts, zip(*pieces, strict=True), strict=True):
            y, ring = run(piece, **given)
            seen = seen + torch.tensor(cut, device=DEVICE)
            given = {"ring": ring, "seen": seen}
            found.append(y)
    assert torch.equal(given["ring"], kept)
    for expected, parts in zip(whole, zip(*found, strict=True), strict=True):
        assert torch.equal(torch.cat(parts), expected)
