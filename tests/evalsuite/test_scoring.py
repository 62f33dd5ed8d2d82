"""Texts scored behind prompts against whole passes over both."""

import pytest
import torch

from mom_eval.evalsuite.engine.packed import portions, read
from mom_eval.evalsuite.engine.score import Scored, score

PROMPTS = [[5, 9, 11, 4, 7], [20] * 17, [3], list(range(40, 70)), [5, 9, 11, 4, 7]]
TEXTS = [(row, text) for text in ([], [8], [8, 9, 10], [30, 2] * 5) for row in range(len(PROMPTS))]


def logits(lm, ids):
    """[T, V]: every position's logits, by one call on one sequence."""
    with torch.inference_mode():
        return lm(torch.tensor(ids), at=torch.arange(len(ids))).logits


def slow_score(lm, prompt, text):
    before = logits(lm, [*prompt, *text])[len(prompt) - 1 : -1]
    nats = before.log_softmax(-1)[range(len(text)), text].sum()
    return Scored(float(nats), before.argmax(-1).tolist() == text)


@pytest.fixture(params=["mom", "transformer"])
def lm(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def start(lm):
    return read(lm, PROMPTS, [None] * len(PROMPTS), 1000)


@pytest.mark.parametrize("room", [1, 60_000, 1 << 30])
def test_scores_are_the_whole_pass_whatever_the_room(lm, start, room):
    before = [tensor.clone() for layer in start.state.layers for tensor in layer.values()]
    found = [one for some in score(lm, start, TEXTS, room) for one in some]
    for (row, text), one in zip(TEXTS, found, strict=True):
        expected = slow_score(lm, PROMPTS[row], text)
        assert one.nats == pytest.approx(expected.nats, abs=1e-4)
        assert one.greedy == expected.greedy
    after = [tensor for layer in start.state.layers for tensor in layer.values()]
    assert all(map(torch.equal, before, after))


def test_the_likeliest_text_is_scored_as_greedy(lm, start):
    for row, prompt in enumerate(PROMPTS):
        ids = list(prompt)
        for _ in range(4):
            ids.append(int(logits(lm, ids)[-1].argmax()))
        text = ids[len(prompt) :]
        other = [*text[:-1], (text[-1] + 1) % 300]
        ((one, two),) = score(lm, start, [(row, text), (row, other)], 1 << 30)
        assert (one.greedy, two.greedy) == (True, False)


def test_a_long_text_by_itself_is_read_in_parts(lm):
    text, sizes = PROMPTS[3], []
    handle = lm.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    parts = read(lm, [text[4:]], [read(lm, [text[:4]], [None], 99).state], 7)
    handle.remove()
    assert sizes == [4, 7, 7, 7, 5]
    assert torch.allclose(parts.logits, logits(lm, text)[-1:], atol=1e-4)


def test_portions_are_bounded_and_keep_the_order():
    items = [5, 1, 1, 9, 2, 2, 2, 2]
    assert list(portions(items, int, 6)) == [[5, 1], [1], [9], [2, 2, 2], [2]]
    assert list(portions([], int, 6)) == []
