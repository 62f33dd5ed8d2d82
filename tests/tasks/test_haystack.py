"""The passage stands whole, at its depth, among others that hold no answer."""

import random

import pytest

from mom_eval.tasks.haystack import TOO_LITTLE, TOO_LONG, Unfit, hide

GOLD = "The key to the harbour is 4711."
OTHERS = [f"Passage {i} tells of ship {i} and of its captain." for i in range(60)] + [
    "It holds 4711."
]


def build(tokens, size=300, depth=0.5, answers=("4711",), seed=1):
    return hide(
        GOLD, OTHERS, answers, size=size, depth=depth, tokens=tokens, draw=random.Random(seed)
    )


@pytest.mark.parametrize("depth", [0, 0.25, 0.5, 1])
def test_passage_stands_whole_at_its_depth(tokens, depth):
    text = build(tokens, depth=depth)
    before = len(tokens.encode(text[: text.index(GOLD)]))
    room = 300 - len(tokens.encode(GOLD))
    assert text.count(GOLD) == 1
    assert before == pytest.approx(depth * room, abs=6)


@pytest.mark.parametrize("size", [120, 300, 1000])
def test_length_is_as_asked(tokens, size):
    assert len(tokens.encode(build(tokens, size=size))) == pytest.approx(size, abs=8)


def test_no_other_passage_holds_an_answer(tokens):
    text = build(tokens, size=900, answers=("4711", "SHIP 7 "))
    rest = text.replace(GOLD, "").lower()
    assert "4711" not in rest
    assert "ship 7 " not in rest


def test_depth_and_length_keep_the_hay(tokens):
    short = build(tokens, size=200, depth=1).removesuffix(GOLD).strip()
    assert build(tokens, size=400, depth=1).startswith(short[:-10])
    assert build(tokens, depth=0).replace(GOLD, "").strip()[:50] == build(tokens, depth=1)[:50]


def test_another_draw_is_other_hay(tokens):
    assert build(tokens, seed=1) != build(tokens, seed=2)


@pytest.mark.parametrize(("size", "reason"), [(5, TOO_LONG), (50_000, TOO_LITTLE)])
def test_why_a_passage_cannot_be_hidden(tokens, size, reason):
    with pytest.raises(Unfit) as unfit:
        build(tokens, size=size)
    assert unfit.value.reason == reason
