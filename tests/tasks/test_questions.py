"""From rows to questions: order, drops, windows, repeats, controls."""

import random
from dataclasses import replace

import pytest

from mom_eval.errors import DataError, SettingError
from mom_eval.tasks import questions
from mom_eval.tasks.haystack import TOO_LITTLE, TOO_LONG
from mom_eval.tasks.questions import TOO_SHORT, Question, Single, prepare
from mom_eval.tasks.recall import ANSWER_LENGTH
from mom_eval.tasks.sample import generate
from mom_eval.tasks.setting import Setting
from mom_eval.tasks.tokens import PieceTokens

SMALL = Setting(context_length=148)


def fda_rows(documents=6, keys=("panel", "applicant", "device", "x")):
    rows = []
    for d in range(documents):
        body = (
            "\n".join(f"{key.title()}:\n{key} value {d}." for key in keys)
            + "\nThe end of it. " * 40
        )
        rows += [
            {"key": key, "value": f"{key} value {d}", "text": f"{body}\n{key}:"} for key in keys
        ]
    return rows


def nq_rows(count=8):
    return [
        {
            "context": f"Story {i}. The hero is called Ada{i}. " + "He walked on. " * 30,
            "question": f"who is hero {i}",
            "answers": [f"Ada{i}"],
        }
        for i in range(count)
    ]


def test_order_does_not_depend_on_the_file(tokens):
    rows = fda_rows()
    shuffled = rows[:]
    random.Random(3).shuffle(shuffled)
    a, b = (prepare("fda", x, tokens, Setting()).questions for x in (rows, shuffled))
    assert a == b


def test_limit_takes_the_first_of_the_same_order_from_many_documents(tokens):
    rows = fda_rows(documents=20)
    all_of_them = prepare("fda", rows, tokens, Setting()).questions
    some = prepare("fda", rows, tokens, Setting(limit=12)).questions
    assert some == all_of_them[:12]
    assert len({question.document_id for question in some}) >= 7


def test_questions_on_one_document_share_its_id(tokens):
    questions = prepare("fda", fda_rows(documents=3), tokens, Setting()).questions
    assert len({question.document_id for question in questions}) == 3
    assert len({question.id for question in questions}) == len(questions)


def test_the_same_question_twice_gets_two_ids(tokens):
    rows = nq_rows(1) * 2
    ids = [question.id for question in prepare("nq", rows, tokens, Setting()).questions]
    assert ids[1] == f"{ids[0]}-2"


@pytest.mark.parametrize(
    "setting",
    [Setting(limit=1), SMALL, Setting(haystack=600, depth=0.5), Setting(control="shuffled")],
)
def test_one_by_one_questions_are_those_of_the_whole_task(tokens, setting):
    rows = [*nq_rows(), nq_rows(1)[0]]
    whole = prepare("nq", rows, tokens, setting).questions
    single = Single("nq", rows, tokens, setting)
    assert [single.get(question.id) for question in whole] == whole
    assert single.get("another") is None


def test_one_by_one_a_question_that_cannot_be_asked_is_none(tokens):
    (question,) = prepare("nq", nq_rows(1), tokens, Setting()).questions
    assert (
        Single("nq", nq_rows(1), tokens, Setting(haystack=9999, depth=0)).get(question.id) is None
    )


def test_one_character_keys_are_dropped_and_counted(tokens):
    rows = fda_rows()
    prepared = prepare("fda", rows, tokens, Setting(limit=2))
    assert prepared.dropped == {TOO_SHORT: 6}
    kept = prepare("fda", rows, tokens, Setting(keep_dropped=True))
    assert kept.dropped == {}
    assert len(kept.questions) == 24


def test_only_the_first_answer_decides_a_drop(tokens):
    rows = nq_rows(2)
    rows[0]["answers"] = ["7", "seven"]
    rows[1]["answers"] = ["seven", "7"]
    prepared = prepare("nq", rows, tokens, Setting())
    assert prepared.dropped == {TOO_SHORT: 1}
    assert prepared.questions[0].answers == ("seven", "7")


def test_drop_and_triviaqa_drop_no_short_answer(tokens):
    rows = [{**row, "answers": ["7"]} for row in nq_rows(2)]
    for task in ("drop", "triviaqa"):
        assert prepare(task, rows, tokens, Setting()).dropped == {}


def test_nothing_left_is_said(tokens):
    rows = [{**row, "answers": [""]} for row in nq_rows(2)]
    with pytest.raises(DataError, match="no question of nq is left"):
        prepare("nq", rows, tokens, Setting())


def test_paper_prompt_fits_and_full_prompt_is_cut_from_the_left(tokens):
    for protocol in ("paper", "full"):
        for question in prepare(
            "fda", fda_rows(), tokens, replace(SMALL, protocol=protocol)
        ).questions:
            assert question.prompt_tokens <= SMALL.context_length - ANSWER_LENGTH
            assert question.prompt_tokens == len(tokens.encode(question.prompt))
            assert question.prompt.endswith(question.question)
            assert question.cut.left > 0
            assert (question.cut.anchor == "found") == (protocol == "paper")


def test_paper_window_holds_the_answer_where_full_cuts_it_off(tokens):
    holds = {
        protocol: sum(
            question.answers[0] in question.prompt
            for question in prepare(
                "fda", fda_rows(), tokens, replace(SMALL, protocol=protocol)
            ).questions
        )
        for protocol in ("paper", "full")
    }
    assert holds == {"paper": 18, "full": 0}


def test_a_first_token_takes_room(tokens):
    question = prepare("fda", fda_rows(), tokens, replace(SMALL, bos=True)).questions[0]
    assert question.prompt_tokens <= SMALL.context_length - ANSWER_LENGTH - 1


def test_missing_answers_are_counted(tokens):
    rows = nq_rows(3)
    rows[0]["answers"] = ["nowhere to be found"]
    assert prepare("nq", rows, tokens, SMALL).missing_answer == 1


def test_read_twice(tokens):
    row = nq_rows(1)[0] | {
        "context": "A. The hero is Ada.",
        "answers": ["Ada"],
        "orig_question": "who:",
    }
    question = prepare("nq", [row], tokens, Setting(repeat=2)).questions[0]
    assert question.prompt == "who A. The hero is Ada.\nA. The hero is Ada. who is hero 0"
    fda = prepare(
        "fda",
        [{"key": "panel", "value": "CH", "text": "Panel:\nCH\npanel:"}],
        tokens,
        Setting(repeat=3),
    )
    assert (
        fda.questions[0].prompt
        == "Information about Panel. " + "Panel:\nCH.\n" * 2 + "Panel:\nCH. Panel:"
    )


def test_read_twice_of_squad_opens_with_the_question(tokens):
    row = {
        "text": "Heat is. Where? Answer:",
        "context": "Heat is.",
        "question": "Where?",
        "value": "Heat",
    }
    question = prepare("squad", [row], tokens, Setting(repeat=2)).questions[0]
    assert question.prompt == "Where? Heat is.\nHeat is. Where? Answer:"
    with pytest.raises(DataError, match="without the field question"):
        prepare("squad", [{"text": "Heat is", "value": "Heat"}], tokens, Setting(repeat=2))


def test_each_copy_is_cut_to_the_window(tokens):
    row = nq_rows(1)[0]
    question = prepare("nq", [row], tokens, replace(SMALL, repeat=2)).questions[0]
    copies = question.prompt.removeprefix(row["question"]).split("\n")
    assert len(copies) == 2
    assert len(tokens.encode(copies[0])) <= SMALL.window + 2


def test_blind_asks_without_the_document(tokens):
    question = prepare("nq", nq_rows(), tokens, Setting(control="blind")).questions[0]
    assert question.prompt == question.question
    assert question.document == ""


def test_shuffled_shows_another_document_and_the_same_one_again(tokens):
    rows = nq_rows()
    plain = {q.id: q for q in prepare("nq", rows, tokens, Setting()).questions}
    shuffled = prepare("nq", rows, tokens, Setting(control="shuffled")).questions
    assert shuffled == prepare("nq", rows, tokens, Setting(control="shuffled")).questions
    for question in shuffled:
        assert question.document != plain[question.id].document
        assert question.document in {q.document for q in plain.values()}
        assert question.prompt.endswith(question.question)
        assert question.document_id == plain[question.id].document_id
    assert shuffled != prepare("nq", rows, tokens, Setting(control="shuffled", seed=1)).questions
    with pytest.raises(DataError, match="holds one document"):
        prepare("nq", rows[:1], tokens, Setting(control="shuffled"))


def test_haystack_keeps_ids_and_is_never_cut(tokens):
    rows = nq_rows(30)
    plain = {q.id for q in prepare("nq", rows, tokens, Setting()).questions}
    hidden = prepare(
        "nq", rows, tokens, Setting(context_length=1500, haystack=1500, depth=0.5)
    ).questions
    assert {q.id for q in hidden} == plain
    for question in hidden:
        assert question.prompt_tokens == pytest.approx(1500, abs=40)
        assert question.cut.anchor == "none"


def test_a_passage_that_does_not_fit_is_dropped_and_counted(tokens):
    rows = nq_rows(30)
    rows[0]["context"] += "He walked on. " * 400
    prepared = prepare("nq", rows, tokens, Setting(context_length=1500, haystack=1500, depth=0.5))
    assert prepared.dropped == {TOO_LONG: 1}


def test_a_passage_without_enough_hay_is_dropped_and_counted(tokens):
    rows = nq_rows(30)
    # Every other passage holds this answer.
    rows[0]["answers"] = ["walked"]
    prepared = prepare("nq", rows, tokens, Setting(context_length=1500, haystack=1500, depth=0.5))
    assert prepared.dropped == {TOO_LITTLE: 1}
    with pytest.raises(DataError, match="ask for a smaller --haystack"):
        prepare("nq", rows[:2], tokens, Setting(context_length=9500, haystack=9500, depth=0.5))


def test_a_haystack_reads_all_of_nq_whatever_its_length():
    assert Setting(context_length=512).file_length == 512
    assert Setting(context_length=512, haystack=512, depth=0.0).file_length is None


def test_whole_documents_fit_no_haystack(tokens):
    with pytest.raises(SettingError, match="takes squad, nq, drop"):
        prepare("fda", fda_rows(), tokens, Setting(haystack=500, depth=0.0))


def test_questions_survive_lm_eval_data_sets(tokens):
    import datasets

    questions = prepare("fda", fda_rows(2), tokens, Setting()).questions
    rows = datasets.Dataset.from_list([question.as_dict() for question in questions])
    assert [Question.from_dict(row) for row in rows] == questions


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"protocol": "papers"}, "no protocol 'papers'"),
        ({"control": "deaf"}, "no control 'deaf'"),
        ({"context_length": 48}, "leaves no room beside an answer of 48"),
        ({"repeat": 0}, "asks for no document"),
        ({"limit": 0}, "asks no question"),
        ({"haystack": 500}, "give both or neither"),
        ({"haystack": 500, "depth": 1.5}, "outside the document"),
        ({"haystack": 10, "depth": 0.5}, "is no haystack"),
        ({"haystack": 500, "depth": 0.5, "repeat": 2}, "neither --repeat nor --control"),
    ],
)
def test_settings_that_do_not_fit_are_refused(wrong, sentence):
    with pytest.raises(SettingError, match=sentence):
        Setting(**wrong)


def test_the_document_loses_what_the_prompt_lost(tokens):
    """Reference rows read `document`: they must not see what the model does not."""
    for name, rows in (("fda", fda_rows()), ("nq", nq_rows())):
        setting = replace(SMALL, protocol="full")
        prepared = prepare(name, rows, tokens, setting)
        for question in prepared.questions:
            assert question.cut.left > 0
            assert question.document
            assert question.prompt.startswith(question.document[:-10].lstrip())
        assert prepared.hidden_answer == len(prepared.questions)
        assert prepare(name, rows, tokens, Setting(protocol="full")).hidden_answer == 0


def test_a_position_is_that_of_the_first_answer_in_the_shown_document(tokens):
    question = prepare("nq", nq_rows(), tokens, Setting(protocol="full")).questions[0]
    shown = replace(question, document="0123abc7ABC", answers=("xyz", "bC", "abc"))
    assert shown.position == 4 / 11
    assert replace(shown, answers=("xyz",)).position is None
    assert replace(shown, document="").position is None


@pytest.mark.parametrize("control", ["blind", "shuffled"])
def test_controls_repeat_as_the_plain_run_does(tokens, control):
    rows = nq_rows()
    plain, other = (
        {q.id: q for q in prepare("nq", rows, tokens, Setting(repeat=3, control=how)).questions}
        for how in (None, control)
    )
    for key, question in other.items():
        asked = plain[key].question
        assert question.prompt.startswith(f"{asked} ")
        assert question.prompt.endswith(f" {asked}")
        copies = question.prompt.count(question.document) if question.document else 3
        assert copies == 3
        assert question.document != plain[key].document
        swapped = plain[key].prompt.replace(plain[key].document, question.document)
        assert " ".join(question.prompt.split()) == " ".join(swapped.split())


@pytest.mark.parametrize("limit", [None, 1, 7, 30, 60])
def test_threads_make_the_questions_that_one_makes(limit, monkeypatch):
    """Several on a document, some rows dropped, more rows than are asked."""
    rows = generate("nq", questions=40, tokens=200)
    rows += [{**row, "answers": ["x"]} for row in rows[:5]] + [{**rows[6], "answers": [""]}]
    setting = Setting(context_length=128, limit=limit)
    alone = prepare("nq", rows, PieceTokens(), setting)
    monkeypatch.setattr(questions, "FEW", 1)
    assert prepare("nq", rows, PieceTokens(), setting) == alone
    assert len(alone.questions) == min(limit or 99, 40)
    assert sum(alone.dropped.values()) == 6
