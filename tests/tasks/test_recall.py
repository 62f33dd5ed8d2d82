"""Golden prompts, checked by hand against the papers' code, one group a task."""

import copy

import pytest

from mom_eval.tasks.recall import RECALL

FDA = {
    "key": "panel",
    "value": "Clinical Chemistry",
    "text": "A. Panel:\nClinical Chemistry.\npanel:",
}
SWDE = {
    "key": "author",
    "value": "Ada Marsh",
    "text": "\nThe River by Ada Marsh.\n\nSummary of information above...\nauthor:",
}
SQUAD = {
    "text": " Heat comes from the Sun. Where does heat come from? Answer: ",
    "context": "Heat comes from the Sun.",
    "question": "Where does heat come from?",
    "value": "the Sun",
}
NQ = {
    "context": "Clubs\nReal won 33 titles.",
    "question": "who won most",
    "answers": ["Real", "Real", ""],
}
TRIVIAQA = {
    "context": "[DOC] [TLE] Evita [PAR] She won a Tony.",
    "question": "What did she win?",
    "answers": ["a Tony", "Tony"],
}
DROP = {"context": "Manning threw.. ", "question": "Who threw?", "answers": ["Manning"]}
ROWS = {"fda": FDA, "swde": SWDE, "squad": SQUAD, "nq": NQ, "triviaqa": TRIVIAQA, "drop": DROP}

PROMPTS = {
    "fda": "A. Panel:\nClinical Chemistry. Panel:",
    "swde": "The River by Ada Marsh. Author:",
    "squad": "Heat comes from the Sun. Where does heat come from? Answer:",
    "nq": "Clubs\nReal won 33 titles. who won most",
    "triviaqa": "Evita  She won a Tony. What did she win?",
    "drop": "Manning threw. Who threw?",
}


@pytest.mark.parametrize("name", RECALL)
def test_prompt_of_a_whole_document(name):
    row = ROWS[name]
    task = RECALL[name]
    assert task.prompt(task.source(row), row) == PROMPTS[name]


@pytest.mark.parametrize("name", RECALL)
def test_no_row_is_changed(name):
    row = copy.deepcopy(ROWS[name])
    task = RECALL[name]
    task.prompt(task.source(row), row), task.document(row), task.ask(row), task.answers(row)
    assert row == ROWS[name]


def test_fda_removes_every_trailing_copy_of_the_key_whatever_its_case():
    row = FDA | {"text": "Doc text\nPANEL:panel:"}
    assert RECALL["fda"].prompt(row["text"], row) == "Doc text. Panel:"


def test_fda_keeps_the_key_inside_the_document():
    row = FDA | {"text": "panel: a\nb"}
    assert RECALL["fda"].prompt(row["text"], row) == "panel: a\nb. Panel:"


def test_swde_source_ends_before_the_summary():
    assert RECALL["swde"].source(SWDE) == "\nThe River by Ada Marsh.\n\n"


def test_a_question_that_ends_the_context_is_not_asked_twice():
    row = DROP | {"context": "A passage. who threw?"}
    assert RECALL["drop"].prompt(row["context"], row) == "A passage. Who threw?"


def test_empty_documents_still_ask():
    assert RECALL["nq"].prompt("", NQ) == ". who won most"
    assert RECALL["fda"].prompt("", FDA) == ". Panel:"
    assert RECALL["squad"].prompt("", SQUAD) == ""


def test_without_a_document_the_question_stands_alone():
    asked = {name: RECALL[name].prompt_on("", row) for name, row in ROWS.items()}
    assert asked == {
        "fda": "Panel:",
        "swde": "Author:",
        "squad": "Where does heat come from? Answer:",
        "nq": "who won most",
        "triviaqa": "What did she win?",
        "drop": "Who threw?",
    }


def test_squad_statement_is_what_stands_behind_the_context():
    row = SQUAD | {"text": "Heat comes from the Sun. Heat comes from"}
    assert RECALL["squad"].ask(row) == "Heat comes from"


def test_squad_without_a_context_in_its_text_asks_its_question():
    row = {"text": "Heat comes from", "value": "the Sun", "question": "Where from?"}
    assert RECALL["squad"].ask(row) == "Where from?"


def test_aliases_keep_their_order_and_lose_copies_and_empty_ones():
    assert RECALL["nq"].answers(NQ) == ["Real"]
    assert RECALL["triviaqa"].answers(TRIVIAQA) == ["a Tony", "Tony"]
    assert RECALL["fda"].answers(FDA) == ["Clinical Chemistry"]


def test_questions_on_one_document_share_it_whatever_they_ask():
    other = FDA | {
        "key": "product code",
        "value": "NBW",
        "text": "A. Panel:\nClinical Chemistry.\nproduct code:",
    }
    assert RECALL["fda"].document(FDA) == RECALL["fda"].document(other)


def test_unicode_keys_and_documents():
    row = {"key": "straße", "value": "Ñandú", "text": "Die Straße: Ñandú 東京\nSTRAßE:"}
    assert RECALL["fda"].prompt(row["text"], row) == "Die Straße: Ñandú 東京. Straße:"
