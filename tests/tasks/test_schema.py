"""What a row of each task must hold, and what is said when it does not."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mom_eval.errors import DataError
from mom_eval.tasks import TASKS
from mom_eval.tasks.schema import REQUIRED, checked

ROWS: dict[str, dict[str, Any]] = {
    "fda": {"key": "panel", "value": "Chemistry (75)", "text": "A. Panel: ...\nPanel:"},
    "swde": {"key": "author", "value": "Ada Marsh", "text": "..."},
    "squad": {"text": "The bridge was built by", "value": "Ada Marsh"},
    "nq": {"context": "", "question": "who built it", "answers": ["Ada Marsh"]},
    "triviaqa": {"context": "...", "question": "Who?", "answers": ["Marsh", ""]},
    "drop": {"context": "...", "question": "Who?", "answers": ["Marsh", "Ada Marsh"]},
}


@pytest.mark.parametrize("task", TASKS)
def test_a_sound_row_is_kept_with_fields_nobody_knows(task: str):
    row = ROWS[task] | {"doc_id": 7, "extra": {"nested": [1, None]}}
    assert checked(task, row, "here") == row


@pytest.mark.parametrize(
    ("task", "field"), [(task, field) for task in TASKS for field in REQUIRED[task]]
)
def test_every_required_field_is_missed(task: str, field: str):
    for row in (ROWS[task] | {field: None}, {k: v for k, v in ROWS[task].items() if k != field}):
        with pytest.raises(DataError, match=rf"^f\.jsonl, line 3: there is no field '{field}'"):
            checked(task, row, "f.jsonl, line 3")


@pytest.mark.parametrize(
    ("task", "field", "value", "expected"),
    [
        ("fda", "key", "", "a string that is not blank"),
        ("swde", "value", " \n", "a string that is not blank"),
        ("swde", "value", 1994, "a string that is not blank"),
        ("fda", "text", ["a"], "a string"),
        ("squad", "text", "", "a string that is not blank"),
        ("squad", "context", 3, "a string"),
        ("nq", "answers", "Ada Marsh", "a list of strings"),
        ("nq", "answers", [], "a list of strings"),
        ("drop", "answers", ["", " "], "at least one of them not blank"),
        ("drop", "answers", ["17", 17], "a list of strings"),
        ("triviaqa", "answers", {"value": "Ada"}, "a list of strings"),
        ("triviaqa", "question", " ", "a string that is not blank"),
        ("drop", "orig_question", ["Who?"], "a string"),
        ("nq", "alt_answers", "Ada", "a list of strings"),
        ("nq", "alt_answers", ["Ada", 3], "a list of strings"),
        ("nq", "tok_pos", "4", "a whole number from 0 on"),
        ("nq", "tok_pos", -1, "a whole number from 0 on"),
        ("nq", "tok_pos", True, "a whole number from 0 on"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(
    task: str, field: str, value: Any, expected: str
):
    with pytest.raises(DataError) as caught:
        checked(task, ROWS[task] | {field: value}, "f.jsonl, line 3")
    message = str(caught.value)
    assert message.startswith(f"f.jsonl, line 3: field '{field}' must be a ")
    assert expected in message
    assert repr(value) in message


def test_arrays_and_tuples_become_lists():
    row = ROWS["nq"] | {"answers": np.array(["Ada", "Marsh"], dtype=object), "tok_pos": np.int64(4)}
    plain = checked("nq", row, "here")
    assert plain["answers"] == ["Ada", "Marsh"]
    assert type(plain["answers"]) is list
    assert type(plain["tok_pos"]) is int
    assert checked("nq", ROWS["nq"] | {"answers": ("Ada",)}, "here")["answers"] == ["Ada"]


def test_other_answers_may_be_none_at_all():
    row = ROWS["nq"] | {"alt_answers": [], "tok_pos": 0}
    assert checked("nq", row, "here") == row


def test_the_given_row_stays_as_it_was():
    row = ROWS["nq"] | {"answers": ("Ada",), "title": None}
    assert checked("nq", row, "here") == {**ROWS["nq"], "answers": ["Ada"]}
    assert row["answers"] == ("Ada",)
    assert "title" in row


@pytest.mark.parametrize("row", [None, 3, "text", ["a"]])
def test_a_row_that_is_no_object_is_refused(row: Any):
    with pytest.raises(DataError, match="expected an object with the fields of nq"):
        checked("nq", row, "here")


def test_half_a_character_is_refused():
    with pytest.raises(DataError, match="field 'value' holds half a character"):
        checked("squad", ROWS["squad"] | {"value": "a\ud800"}, "here")


def test_a_long_value_is_shown_in_part():
    with pytest.raises(DataError) as caught:
        checked("nq", ROWS["nq"] | {"answers": "x" * 9000}, "here")
    assert len(str(caught.value)) < 250


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(
    st.sampled_from(list(TASKS)),
    st.dictionaries(
        st.sampled_from(["key", "value", "text", "context", "question", "answers"]), json_values
    ),
)
def test_any_json_row_is_sound_or_refused(task: str, row: dict[str, Any]):
    try:
        sound = checked(task, row, "here")
    except DataError:
        return
    assert set(REQUIRED[task]) <= set(sound)
    for field in {"key", "value", "question"} & set(REQUIRED[task]):
        assert sound[field].strip()
    if "answers" in REQUIRED[task]:
        assert any(answer.strip() for answer in sound["answers"])
