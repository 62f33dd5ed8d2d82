"""The laws of every model as checks, which several files put to different models."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from mom_eval.models import LM, Output, State
from tests.models.shapes import error, run, sequences

GAP = 1e-5
"""Where the probabilities at the cut are closer than this, rounding may choose either memory."""
CHANGED = 33
"""The token that `causal` changes, of 70."""


class Reading(NamedTuple):
    """What a model made of one sequence."""

    logits: Tensor
    """[T, vocab]"""
    memories: Tensor
    """[T, layers with a router, k] in ascending order"""
    gaps: Tensor
    """[T, layers with a router], between the last memory chosen and the next"""


def readings(out: Output, batch: Sequence[Sequence[int]]) -> list[Reading]:
    """The output of a call over a batch, sequence by sequence."""
    lengths, routing = [len(sequence) for sequence in batch], list(out.routing.values())
    empty = out.logits.new_zeros(len(out.logits), 0)
    memories, gaps = [empty], [empty]
    if routing:
        memories = [routes.memories.sort(-1).values for routes in routing]
        gaps = [_gap(routes.probabilities, routes.memories.shape[1]) for routes in routing]
    columns = (out.logits, torch.stack(memories, 1), torch.stack(gaps, 1))
    return [Reading(*parts) for parts in zip(*(c.split(lengths) for c in columns), strict=True)]


def _gap(probabilities: Tensor, top_k: int) -> Tensor:
    ordered = probabilities.sort(-1, descending=True).values
    if top_k == probabilities.shape[1]:
        return torch.ones_like(ordered[:, 0])
    return ordered[:, top_k - 1] - ordered[:, top_k]


def assert_alike(got: Reading, want: Reading, tolerance: float) -> None:
    """The same logits within relative RMS, and the same memories wherever the choice is clear."""
    clear = want.gaps > GAP
    assert torch.equal(got.memories[clear], want.memories[clear])
    assert error(got.logits, want.logits) < tolerance


def assert_states_alike(got: State, want: State, tolerance: float) -> None:
    """The same tensors within relative RMS; those that count are equal."""
    assert torch.equal(got.seen, want.seen)
    for index, (mine, theirs) in enumerate(zip(got.layers, want.layers, strict=True)):
        assert mine.keys() == theirs.keys()
        for name in theirs:
            where = f"{name} of layer {index}"
            assert mine[name].shape == theirs[name].shape, where
            assert mine[name].dtype == theirs[name].dtype, where
            assert error(mine[name].double(), theirs[name].double()) < tolerance, where


def split_is_whole(
    model: LM, batch: list[list[int]], *cuts: Sequence[int], tolerance: float
) -> None:
    """Calls that end at `cuts`, a number a sequence each, and at the ends are one call."""
    whole = run(model, batch)
    ends = [*cuts, [len(sequence) for sequence in batch]]
    parts: list[list[Reading]] = [[] for _ in batch]
    state = None
    for starts, stops in pairwise([[0] * len(batch), *ends]):
        part = [s[start:stop] for s, start, stop in zip(batch, starts, stops, strict=True)]
        out = run(model, part, state)
        state = out.state
        for n, reading in enumerate(readings(out, part)):
            parts[n].append(reading)
    for n, want in enumerate(readings(whole, batch)):
        got = Reading(*(torch.cat(column) for column in zip(*parts[n], strict=True)))
        assert_alike(got, want, tolerance)
    assert state is not None
    assert_states_alike(state, whole.state, tolerance)


def alone_is_together(model: LM, batch: list[list[int]], tolerance: float) -> None:
    """Each sequence alone, all in reverse, and the first between two others: nothing changes."""
    together = run(model, batch)
    want, last = readings(together, batch), len(batch) - 1
    alone = [[n] for n in range(len(batch))]
    for order in (*alone, list(range(last, -1, -1)), [last, 0, last]):
        picked = [batch[n] for n in order]
        out = run(model, picked)
        for got, n in zip(readings(out, picked), order, strict=True):
            assert_alike(got, want[n], tolerance)
        # Attention's entries are as many as the longest sequence has.
        for mine, theirs in zip(out.state.layers, together.state[order].layers, strict=True):
            for name in mine.keys() - {"k", "v"}:
                assert error(mine[name].double(), theirs[name].double()) < tolerance, name


def causal(model: LM, tolerance: float) -> None:
    """A changed token changes its own logits and later ones, none before it, none beside it.

    Not bit by bit: products may differ in their last bits with the rows of a memory, whose number
    changes with the routes.
    """
    batch = sequences(5, 70, 5)
    changed = [*batch[1]]
    changed[CHANGED] = (changed[CHANGED] + 1) % 50
    want = readings(run(model, batch), batch)
    got = readings(run(model, [batch[0], changed, batch[2]]), batch)
    for n in (0, 2):
        assert_alike(got[n], want[n], tolerance)
    before, after = (Reading(*(x[:CHANGED] for x in y)) for y in (want[1], got[1]))
    assert_alike(after, before, tolerance)
    assert error(got[1].logits[CHANGED], want[1].logits[CHANGED]) > 1e-2
    later = slice(CHANGED + 1, CHANGED + 7)
    assert error(got[1].logits[later], want[1].logits[later]) > 1e-4


def lawful(model: LM, tolerance: float) -> None:
    """Split is whole, alone is together, and causal."""
    batch = sequences(7, 0, 70, 1)
    split_is_whole(model, batch, *random_cuts(batch, 3, seed=5), tolerance=tolerance)
    alone_is_together(model, batch, tolerance)
    causal(model, tolerance)


def random_cuts(batch: list[list[int]], calls: int, seed: int) -> list[list[int]]:
    """Where each of `calls` calls but the last ends, some of them without a token of a sequence."""
    random = torch.Generator().manual_seed(seed)
    ends = []
    for sequence in batch:
        shares = torch.rand(calls, generator=random) * (torch.rand(calls, generator=random) < 0.7)
        steps = (shares / shares.sum().clamp_min(1e-9) * len(sequence)).long().tolist()
        ends.append(list(accumulate(steps))[:-1])
    return [list(stops) for stops in zip(*ends, strict=True)]
