"""The four answers made by code, on questions built by hand."""

import pytest

from mom_eval.evalsuite.reference_rows import ReferenceAnswerer, commonest, why_not
from mom_eval.tasks.questions import prepare
from mom_eval.tasks.setting import Setting
from mom_eval.tasks.tokens import PieceTokens

TRAIN = [{"key": "Panel", "value": v} for v in ("Toxicology", "Chemistry", "Chemistry")] + [
    {"key": "code", "value": "NBW"}
]
TOKENS = PieceTokens()


def answer(reference, row, task="fda"):
    questions = prepare(task, [row], TOKENS, Setting()).questions
    answerer = ReferenceAnswerer(reference, TOKENS, [task], lambda _: TRAIN)
    ((_, found),) = next(answerer.answers(questions, None))
    return found.output


def row(key="panel", body="Summary of it.\nPanel:\nImmunology and more"):
    return {"key": key, "value": "Immunology", "text": f"{body}\n{key}:"}


def test_head_is_the_start_of_the_document_in_one_line():
    assert answer("head", row()) == "Summary of it. Panel: Immunology and more."


def test_head_is_as_long_as_an_answer():
    words = " ".join(f"w{i}" for i in range(100))
    assert answer("head", row(body=words)) == " ".join(f"w{i}" for i in range(48))


def test_echo_is_the_question():
    assert answer("echo", row()) == "Panel:"


def test_lookup_follows_the_keys_first_occurrence():
    assert answer("lookup", row()) == ": Immunology and more."
    assert answer("lookup", row(key="applicant")) == ""


def test_lookup_takes_regex_characters_as_they_are():
    assert answer("lookup", row(key="510(k) number", body="A. 510(k) Number:\nk1")) == ": k1."


def test_prior_is_the_commonest_training_value_of_the_key():
    assert answer("prior", row()) == "Chemistry"
    assert answer("prior", row(key="colour")) == ""


def test_the_first_value_wins_a_tie():
    rows = [{"key": "a", "value": "x"}, {"key": "A", "value": "y"}]
    assert commonest(rows) == {"a": "x"}


@pytest.mark.parametrize(
    ("reference", "task", "rows", "reason"),
    [
        ("head", "nq", [], None),
        ("lookup", "swde", [], None),
        ("lookup", "nq", [], "the task has no key"),
        ("prior", "squad", TRAIN, "the task has no key"),
        ("prior", "fda", [], "no fda.train file beside the task's"),
        ("prior", "fda", TRAIN, None),
    ],
)
def test_why_a_cell_is_a_dash(reference, task, rows, reason):
    assert why_not(reference, task, lambda _: rows) == reason
