"""Decoding in slots: the numbers of `forward`, and nothing touched that is not meant."""

import pytest
import torch

from mom_eval.models import LM
from mom_eval.models.decoder import Decoder
from tests.models.laws import assert_states_alike
from tests.models.shapes import CASES, error, new_model, run, sequences

EXACT = 1e-12
PREFIXES, TOKENS = (5, 1, 70), 3


@pytest.fixture(scope="module", params=CASES)
def model(request) -> LM:
    return new_model(CASES[request.param]).double()


def test_slots_give_what_a_call_gives(model: LM):
    """Three prompts in slots 4, 0 and 2, some tokens each, beside rows that are nobody's."""
    batch = sequences(*(length + TOKENS for length in PREFIXES))
    read = run(model, [one[:n] for one, n in zip(batch, PREFIXES, strict=True)])
    places = [4, 0, 2]
    decoder = Decoder(model, 5, capacity=max(PREFIXES) + TOKENS)
    decoder.write(places, read.state)
    assert_states_alike(decoder.read(places), read.state.trimmed(), EXACT)
    for step in range(TOKENS):
        parts = [one[: n + step + 1] for one, n in zip(batch, PREFIXES, strict=True)]
        tokens = dict(zip(places, (part[-1] for part in parts), strict=True))
        wanted = [run(model, [part]).logits[-1] for part in parts]
        found = decoder.step(tokens)
        assert [found[place] for place in places] == [int(one.argmax()) for one in wanted]
    whole = [run(model, [one]).state.trimmed() for one in batch]
    for place, state in zip(places, whole, strict=True):
        assert_states_alike(decoder.read([place]), state, EXACT)


def test_a_slot_reads_on_with_what_it_was_given(model: LM):
    """Three steps of two slots, begun one before the last one has ended."""
    state = run(model, sequences(6, 6)).state
    plain, ahead = (Decoder(model, 3, capacity=9) for _ in "pa")
    for decoder in (plain, ahead):
        decoder.write([0, 2], state)
    expected, found, last = [], [], {0: 7, 2: 8}
    ahead.begin(last)
    for _ in range(2):
        ahead.begin({0: None, 2: None})
        found.append(ahead.end((0, 2)))
        last = plain.step(last)
        expected.append(last)
    assert [*found, ahead.end((0, 2))] == [*expected, plain.step(last)]


def test_rows_of_nobody_change_no_slot(model: LM):
    prefix, state = sequences(6, 6), model.empty_state(4)
    filled = run(model, prefix).state
    decoder = Decoder(model, 3, capacity=9)
    decoder.write([0, 2], filled)
    state = decoder._state
    before = decoder.read([0, 2]).clone()
    with torch.inference_mode():
        logits = model.step(torch.tensor([1, 2, 3]), torch.tensor([-1, 1, -1]), state)
        alone = model.step(torch.tensor([2]), torch.tensor([0]), model_state(model))
    assert_states_alike(decoder.read([0, 2]), before, 1e-30)
    assert error(logits[1:2], alone) < EXACT


def model_state(model: LM):
    """A buffer of one slot that has read nothing, with room for attention."""
    return Decoder(model, 1, capacity=3)._state
