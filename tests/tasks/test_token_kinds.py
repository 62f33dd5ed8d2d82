"""Kinds of tokens, on a prompt whose tokens are its words and marks."""

import re
from dataclasses import replace

import pytest

from mom_eval.tasks.questions import Question, prepare
from mom_eval.tasks.setting import Setting
from mom_eval.tasks.token_kinds import KINDS, answer_spans, token_kinds
from mom_eval.tasks.window import Cut

QUESTION = Question(
    task="nq",
    id="q",
    document_id="d",
    prompt="Ada met 3 men in 1863. ada adal № 3, met Bo. how many, 3",
    document="",
    question="how many, 3",
    key=None,
    answers=("3", "ADA"),
    prompt_tokens=0,
    cut=Cut(start=0, end=0, of=0, anchor="none"),
)
EXPECTED = {
    "digits": [" 3", " 1863", " 3", " 3"],
    "punctuation": [".", " №", ",", ".", ","],
    "capitals": ["Ada", " Bo"],
    "first": "Ada; met; 3; men; in; 1863;.; ada; adal; №;,; Bo; how; many".split(";"),
    "answer": ["Ada", " 3", " ada", " 3"],
    "other": [" met"],
}


def test_kinds_by_hand():
    pieces = [*re.finditer(r" ?\w+| ?[^\w\s]", QUESTION.prompt)]
    words = [piece.group() for piece in pieces]
    assert "".join(words) == QUESTION.prompt
    known = sorted(set(words))
    kinds = token_kinds(QUESTION, [known.index(word) for word in words], [p.span() for p in pieces])
    assert kinds.shape == (len(words), len(KINDS))
    for kind, column in zip(KINDS, kinds.T, strict=True):
        assert [word for word, yes in zip(words, column, strict=True) if yes] == EXPECTED[kind], (
            kind
        )


def test_a_character_in_several_tokens_is_of_one_kind(tokens):
    question = replace(QUESTION, prompt="🚀", question="?", answers=("x",))
    ids, spans = tokens.encode_with_spans("🚀")
    assert len(ids) > 1
    kinds = token_kinds(question, ids, spans)
    assert kinds[:, list(KINDS).index("punctuation")].all()


@pytest.mark.parametrize("protocol", ["paper", "full"])
def test_answers_are_found_in_cut_prompts_but_not_in_questions(tokens, protocol):
    row = {
        "context": "Far away. " * 40 + "The hero is Ada. " + "He walked. " * 2,
        "question": "is the hero Ada?",
        "answers": ["Ada"],
    }
    setting = Setting(context_length=160, protocol=protocol)
    question = prepare("nq", [row], tokens, setting).questions[0]
    ((start, end),) = answer_spans(question)
    assert question.prompt[start - 4 : end + 1] == " is Ada."
