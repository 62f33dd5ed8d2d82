"""Segments walked in parts, cut where no rule would cut them so short; see `test_triton`."""

import pytest
import torch

from mom_eval.kernels import gated_delta, gated_delta_triton, split_triton
from mom_eval.kernels.split_triton import MULTIPROCESSORS, part_size
from tests.kernels.conftest import gated_delta_case
from tests.kernels.triton_cases import BOUNDS, DEVICE, GPU, KINDS, poison
from tests.kernels.triton_edge_cases import Poisoned

SIZES = [(1, 2, 20, 24)] + ([(2, 4, 128, 128), (1, 2, 256, 200), (1, 1, 60, 100)] if GPU else [])
LENGTHS = (65, 0, 1, 300, 128, 0)
"""Parts of two chunks, or of one: a part and a rest, none, one token, several, whole ones."""


@pytest.fixture
def cut(monkeypatch):
    """Chunks of a part from here on, 0 for whole segments."""

    def every(size):
        monkeypatch.setattr(gated_delta_triton, "part_size", lambda *_: size)

    return every


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("decay", ["mild", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_the_recurrence_of_the_whole(relative, cut, kind, decay, sizes, dtype):
    if decay != "mild" and kind.startswith("none"):
        pytest.skip("no decay")
    case = gated_delta_case(kind, LENGTHS, decay, sizes)
    case.stream.update({name: case.stream[name].to(dtype) for name in ("q", "k", "v")})
    truth = case.to(torch.float64).run("recurrent")
    case = case.to(DEVICE)
    bound = BOUNDS[dtype] * (2 if "delta" in kind else 1)
    for size in (1, 2):
        cut(size)
        poison()
        with Poisoned():
            found = case.run("triton")
        for x, expected in zip(found, truth, strict=True):
            assert relative(x.cpu(), expected) < bound
        if GPU:
            assert all(map(torch.equal, found, case.run("triton")))


@pytest.mark.parametrize("kind", ["head", "channel-delta"])
def test_parts_of_what_begins_with_no_state(relative, cut, kind):
    """Only the first part does."""
    stream = gated_delta_case(kind, (300,), "mild", SIZES[-1]).to(DEVICE).stream
    truth = gated_delta(**{name: x.double() for name, x in stream.items()}, impl="recurrent")
    cut(2)
    with Poisoned():
        found = gated_delta(**stream, impl="triton")
    for x, expected in zip(found, truth, strict=True):
        assert relative(x, expected) < 2 * BOUNDS[torch.float32]


@pytest.mark.parametrize("kind", ["none", "head-delta"])
def test_what_is_one_part_is_what_was_whole(relative, cut, kind):
    """Bit for bit what is read; a state that `merge` has added up may be rounded otherwise."""
    case = gated_delta_case(kind, (65, 0, 300), "mild", (1, 2, 20, 24)).to(DEVICE)
    cut(0)
    o, states = case.run("triton")
    cut(5)
    parts, after = case.run("triton")
    assert torch.equal(parts, o)
    assert relative(after, states) < BOUNDS[torch.float32]
    assert torch.equal(after[1], case.state[1])


def test_a_call_is_split_by_its_shape_alone(relative, monkeypatch):
    case = gated_delta_case("head-delta", (300,), "mild", (1, 2, 20, 24)).to(DEVICE)
    monkeypatch.setattr(split_triton, "LEAST", 2)
    sizes = []

    def noted(*shape):
        sizes.append(part_size(*shape))
        return sizes[-1]

    monkeypatch.setattr(gated_delta_triton, "part_size", noted)
    truth = case.to(torch.float64).run("recurrent")
    for x, expected in zip(case.run("triton"), truth, strict=True):
        assert relative(x, expected) < 2 * BOUNDS[torch.float32]
    assert sizes == [2]


@pytest.mark.parametrize(
    ("length", "N", "blocks", "size"),
    [
        (1 << 20, 1, MULTIPROCESSORS // 2, 0),
        (1 << 20, 1, MULTIPROCESSORS // 2 - 1, 4034),
        (2048, 1, 1, 16),
        (2047, 1, 1, 0),
        (4096, 2, 16, 16),
        (4095, 2, 16, 0),
        (65536, 1, 32, 125),
        (0, 1, 1, 0),
    ],
)
def test_parts_are_as_many_as_fill_a_card(length, N, blocks, size):
    assert part_size(length, N, blocks) == size
