"""Packed decoding and scoring against one sequence at a time, whole passes over it."""

import pytest
import torch

from mom_eval.evalsuite.generate import Scored, decode, portions, read, score

PROMPTS = [[5, 9, 11, 4, 7], [20] * 17, [3], list(range(40, 70)), [5, 9, 11, 4, 7]]
LENGTHS = [3, 7, 1, 12, 5]
TEXTS = [(row, text) for text in ([], [8], [8, 9, 10], [30, 2] * 5) for row in range(len(PROMPTS))]


def logits(lm, ids):
    """[T, V]: every position's logits, by one call on one sequence."""
    with torch.inference_mode():
        return lm(torch.tensor(ids), at=torch.arange(len(ids))).logits


def slow_decode(lm, prompt, count):
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(logits(lm, ids)[-1].argmax()))
    return ids[len(prompt) :]


def slow_score(lm, prompt, text):
    before = logits(lm, [*prompt, *text])[len(prompt) - 1 : -1]
    nats = before.log_softmax(-1)[range(len(text)), text].sum()
    return Scored(float(nats), before.argmax(-1).tolist() == text)


@pytest.fixture(params=["mom", "transformer"])
def lm(request):
    return request.getfixturevalue(request.param)


def test_decoding_is_the_whole_pass_argmax_and_sequences_leave_when_they_end(lm):
    sizes = []
    handle = lm.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    written = decode(lm, read(lm, PROMPTS), lambda row, ids: len(ids) == LENGTHS[row])
    handle.remove()
    slow = [slow_decode(lm, *pair) for pair in zip(PROMPTS, LENGTHS, strict=True)]
    assert written == slow
    assert sizes == [58, 4, 4, 3, 3, 2, 2, *[1] * 5]


@pytest.mark.parametrize("room", [1, 60_000, 1 << 30])
def test_scores_are_the_whole_pass_whatever_the_room(lm, room):
    start = read(lm, PROMPTS)
    before = [tensor.clone() for layer in start.state.layers for tensor in layer.values()]
    found = score(lm, start, TEXTS, room)
    for (row, text), one in zip(TEXTS, found, strict=True):
        expected = slow_score(lm, PROMPTS[row], text)
        assert one.nats == pytest.approx(expected.nats, abs=1e-4)
        assert one.greedy == expected.greedy
    after = [tensor for layer in start.state.layers for tensor in layer.values()]
    assert all(map(torch.equal, before, after))


def test_what_greedy_decoding_writes_is_scored_as_greedy(lm):
    start = read(lm, PROMPTS)
    written = decode(lm, start, lambda _, ids: len(ids) == 6)
    assert all(one.greedy for one in score(lm, start, list(enumerate(written)), 1 << 30))
    other = [(row, [*ids[:-1], (ids[-1] + 1) % 300]) for row, ids in enumerate(written)]
    assert not any(one.greedy for one in score(lm, start, other, 1 << 30))


def test_portions_are_bounded_and_keep_the_order():
    items = [5, 1, 1, 9, 2, 2, 2, 2]
    assert list(portions(items, int, 6)) == [[5, 1], [1], [9], [2, 2, 2], [2]]
    assert list(portions(items, int, 6, 2)) == [[5, 1], [1], [9], [2, 2], [2, 2]]
    assert list(portions([], int, 6)) == []
