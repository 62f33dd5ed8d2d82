"""The layout of chunks: what lies where, and back again."""

from itertools import product

import torch
from hypothesis import given
from hypothesis import strategies as st

from mom_eval.kernels.chunks import Chunks, halves, halvings

CPU = torch.device("cpu")


def test_chunks_are_step_major_and_the_longest_segment_comes_first():
    chunks = Chunks([0, 3, 3, 133], CPU)
    assert (chunks.size, chunks.active) == (64, [2, 1, 1])
    x = chunks.split(torch.arange(1.0, 134).view(-1, 1, 1))
    assert x.shape == (4, 1, 64, 1)
    # First steps of the third and the first segment, then the rest of the third.
    assert x[:, 0, 0, 0].tolist() == [4, 1, 68, 132]
    assert x[1].flatten().tolist() == [1, 2, 3] + 61 * [0]
    assert x[3].flatten().tolist() == [132, 133] + 62 * [0]


def test_a_chunk_is_no_longer_than_needed():
    for longest, size in ((0, 1), (1, 1), (2, 2), (3, 4), (33, 64), (64, 64), (65, 64)):
        assert Chunks([0, longest, longest], CPU).size == size


@given(st.lists(st.integers(0, 150), min_size=1, max_size=8))
def test_join_undoes_split(lengths):
    bounds = torch.tensor([0, *lengths]).cumsum(0).tolist()
    chunks, x = Chunks(bounds, CPU), torch.arange(2.0 * bounds[-1]).view(-1, 2, 1)
    split = chunks.split(x)
    assert len(split) == sum(chunks.active) == sum(-(-n // chunks.size) for n in lengths)
    assert split.sum() == x.sum()
    assert torch.equal(chunks.join(split), x)
    states = torch.arange(len(lengths))
    assert torch.equal(chunks.last([chunks.first(states)]), states)


def test_halvings_part_each_pair_once():
    places, pairs = torch.arange(16).view(16, 1), []
    for size in halvings(16):
        first, second = halves(places, size)
        blocks = zip(first.squeeze(-1).tolist(), second.squeeze(-1).tolist(), strict=True)
        pairs += [pair for earlier, later in blocks for pair in product(later, earlier)]
    assert sorted(pairs) == [(i, j) for i in range(16) for j in range(i)]
