"""MQAR as zoology defines it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mom_eval.tasks.mqar import IGNORE, Mqar


def drawn(shape, seed=0, count=5):
    return shape.draw(np.random.default_rng(seed), count)


@given(
    pairs=st.integers(1, 9),
    room=st.integers(0, 20),
    spare=st.integers(0, 40),
    seed=st.integers(0, 1 << 30),
)
def test_every_key_is_asked_for_once_and_its_label_is_its_value(pairs, room, spare, seed):
    shape = Mqar(vocab=2 * pairs + 2 + spare, length=4 * pairs + 2 * room, pairs=pairs)
    tokens, labels = drawn(shape, seed)
    half, context = shape.vocab // 2, 2 * pairs
    assert tokens.shape == labels.shape == (5, shape.length)
    assert tokens.min() >= 0
    assert tokens.max() < shape.vocab
    for row, wanted in zip(tokens, labels, strict=True):
        keys, values = row[0:context:2], row[1:context:2]
        assert len(set(keys)) == len(set(values)) == pairs
        assert all(1 <= key < half for key in keys)
        assert all(half <= value < shape.vocab for value in values)
        (asked,) = np.nonzero(wanted != IGNORE)
        assert all(place >= context and place % 2 == 0 for place in asked)
        assert {(row[place], wanted[place]) for place in asked} == set(
            zip(keys, values, strict=True)
        )


def test_queries_follow_the_power_law():
    shape = Mqar(vocab=64, length=42, pairs=1)
    _, labels = drawn(shape, count=20_000)
    gaps = (labels.argmax(1) - 2) // 2
    share = np.bincount(gaps, minlength=20) / len(gaps)
    p = np.arange(1, 21) ** -0.99
    assert np.abs(share - p / p.sum()).max() < 0.012


def test_several_queries_are_drawn_one_after_the_other():
    """The second of two is drawn from what the first has left, in proportion."""
    shape = Mqar(vocab=64, length=10, pairs=2)
    tokens, labels = drawn(shape, count=40_000)
    p = np.arange(1, 4) ** -0.99
    p /= p.sum()
    expected = {(i, j): p[i] * p[j] / (1 - p[i]) for i in range(3) for j in range(3) if i != j}
    places = []
    for pair in range(2):
        asked = (labels != IGNORE) & (tokens == tokens[:, 2 * pair, None])
        places.append((asked.argmax(1) - 4) // 2)
    for (i, j), share in expected.items():
        found = np.mean((places[0] == i) & (places[1] == j))
        assert found == pytest.approx(share, abs=0.012)


def test_other_places_hold_tokens_of_the_whole_vocabulary():
    tokens, labels = drawn(Mqar(vocab=8, length=40, pairs=2), count=200)
    free = tokens[:, 4:][labels[:, 4:] == IGNORE]
    assert set(free) == set(range(8))


def test_the_same_seed_gives_the_same_examples():
    shape = Mqar(vocab=64, length=32, pairs=4)
    assert all(map(np.array_equal, drawn(shape, 3), drawn(shape, 3)))
    assert not np.array_equal(drawn(shape, 3).tokens, drawn(shape, 4).tokens)


@pytest.mark.parametrize(
    ("vocab", "length", "pairs", "sentence"),
    [
        (64, 30, 8, "8 pairs and their queries need an even length of at least 32 tokens, not 30"),
        (64, 33, 4, "even length"),
        (64, 32, 0, "at least 4 tokens"),
        (8, 64, 4, "a vocabulary of 8 has 3 keys; 4 pairs need 10 tokens"),
    ],
)
def test_what_does_not_fit_is_refused(vocab, length, pairs, sentence):
    with pytest.raises(ValueError, match=sentence):
        Mqar(vocab=vocab, length=length, pairs=pairs)
