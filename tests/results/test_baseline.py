"""Baselines: the same scores are the same bytes, and what is not sound is one sentence."""

import errno
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mom_eval.errors import BaselineError, RunError
from mom_eval.results import TASK_NAMES, baseline
from mom_eval.results.baseline import Asked, Key, Score, check_questions, read, write

ASKED = Asked(seed=3, questions=2, tokens=320, protocol_version=1)
SCORES = {
    Key("nq", "b1"): Score("aa11", 0, 2.5),
    Key("nq", "a1"): Score("aa12", 1, 0.123456789),
    Key("fda", "c1"): Score("aa13", 1, 1e-7),
}
GOLDEN = """task,id,prompt,contains,bits_per_byte
fda,c1,aa13,1,0.00000
nq,a1,aa12,1,0.12346
nq,b1,aa11,0,2.50000
"""


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "base", ASKED, {"mom-2m": ({"weights_sha256": "ff"}, SCORES)})
    return tmp_path / "base"


def test_files_are_sorted_and_rounded(folder):
    assert (folder / "mom-2m.csv").read_bytes() == GOLDEN.encode()
    assert json.loads((folder / "baseline.json").read_text()) == {
        "schema": 1,
        "seed": 3,
        "questions": 2,
        "tokens": 320,
        "protocol_version": 1,
        "models": {"mom-2m": {"weights_sha256": "ff"}},
    }
    again = dict(reversed(list(SCORES.items())))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write(folder, ASKED, {"mom-2m": ({"weights_sha256": "ff"}, again)})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_model_joins_those_that_are_there(folder):
    write(folder, ASKED, {"gla-2m": ({}, SCORES)})
    found = read(folder)
    assert [*found.models] == ["gla-2m", "mom-2m"]
    assert found.scores("gla-2m") == found.scores("mom-2m")
    with pytest.raises(BaselineError, match=r"made with seed 3, not 4; give the same, remove it"):
        write(folder, Asked(seed=4, questions=2, tokens=320, protocol_version=1), {})


def test_a_full_disk_leaves_what_was_there(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RunError, match="the disk is full"):
        write(folder, ASKED, {"mom-2m": ({}, {Key("nq", "b1"): Score("aa11", 1, 9.5)})})
    assert (folder / "mom-2m.csv").read_text() == GOLDEN
    assert read(folder).models == {"mom-2m": {"weights_sha256": "ff"}}


_ids = st.text("0123456789abcdef-", min_size=1)


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.builds(Key, st.sampled_from([*TASK_NAMES]), _ids),
        st.builds(Score, _ids, st.sampled_from([0, 1]), st.floats(-1e6, 1e6)),
        min_size=1,
    )
)
def test_what_is_written_is_read(tmp_path_factory, scores):
    folder = tmp_path_factory.mktemp("base")
    write(folder, ASKED, {"m": ({}, scores)})
    found = read(folder).scores("m")
    assert found.keys() == scores.keys()
    for key, score in scores.items():
        assert found[key][:2] == score[:2]
        assert found[key].bits_per_byte == pytest.approx(score.bits_per_byte, abs=1e-5)


def test_a_model_that_is_not_there(folder):
    with pytest.raises(BaselineError) as error:
        read(folder).scores("mom-3m")
    assert "holds no mom-3m (did you mean mom-2m?)" in str(error.value)
    assert "--write" in str(error.value)


CORRUPT = {
    "columns": ("task,id", "task,name", "opens with 'task,name"),
    "short": ("nq,b1,aa11,0,2.50000", "nq,b1,aa11", "line 4 does not have 5 fields"),
    "long": ("nq,b1,aa11,0,2.50000", "nq,b1,aa11,0,2.5,9", "line 4 does not have 5 fields"),
    "task": ("fda,", "fad,", "line 2 has a 'task' that is 'fad'"),
    "contains": (",1,0.12346", ",2,0.12346", "line 3 has a 'contains' that is '2'"),
    "bits": ("2.50000", "nan", "line 4 has a 'bits_per_byte' that is 'nan'"),
    "text": ("2.50000", "two", "line 4 has a 'bits_per_byte' that is 'two'"),
    "twice": ("nq,b1,", "nq,a1,", "line 4: question a1 of nq again"),
    "id": ("fda,c1", "fda,", "line 2 has a 'id' that is ''"),
    "conflict": ("nq,a1", "<<<<<<< HEAD\nnq,a1", "line 3 does not have 5 fields"),
    "empty": (GOLDEN, GOLDEN.splitlines()[0] + "\n", "holds no question"),
}


@pytest.mark.parametrize(("old", "new", "sentence"), CORRUPT.values(), ids=CORRUPT)
def test_corrupt_scores_are_one_sentence(folder, old, new, sentence):
    path = folder / "mom-2m.csv"
    path.write_text(GOLDEN.replace(old, new))
    with pytest.raises(BaselineError) as error:
        read(folder).scores("mom-2m")
    assert sentence in str(error.value)
    assert "write a new baseline" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is no JSON"),
        ("[]", "has schema None"),
        ('{"schema": 2}', "has schema 2, this mom-eval reads 1"),
        ('{"schema": 1}', "has a 'seed' that is None"),
        (
            '{"schema": 1, "seed": 0, "questions": 1, "tokens": 1, "protocol_version": true}',
            "has a 'protocol_version' that is True",
        ),
        (
            '{"schema": 1, "seed": 0, "questions": 1, "tokens": 1, "protocol_version": 1}',
            "no objects under 'models'",
        ),
        (
            '{"schema": 1, "seed": 0, "questions": 1, "tokens": 1, "protocol_version": 1,'
            ' "models": {"../x": {}}}',
            "cannot name a file",
        ),
    ],
)
def test_a_corrupt_index_is_one_sentence(folder, content, sentence):
    (folder / "baseline.json").write_text(content)
    with pytest.raises(BaselineError) as error:
        read(folder)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_files(folder, tmp_path):
    with pytest.raises(BaselineError, match=r"holds no baseline\.json, so it is no baseline"):
        read(tmp_path / "nowhere")
    (folder / "mom-2m.csv").unlink()
    with pytest.raises(BaselineError, match=r"mom-2m\.csv is missing, though baseline\.json names"):
        read(folder).scores("mom-2m")
    (folder / "mom-2m.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(BaselineError, match="is no CSV"):
        read(folder).scores("mom-2m")


def test_other_questions_are_an_error_that_names_one():
    prompts = {key: score.prompt for key, score in SCORES.items()}
    check_questions(SCORES, prompts, "m")
    other = dict(prompts)
    other[Key("nq", "z9")] = other.pop(Key("nq", "b1"))
    with pytest.raises(BaselineError) as error:
        check_questions(SCORES, other, "m")
    assert "1 of its 3 questions are asked no more (question b1 of nq)" in str(error.value)
    assert "1 questions are not in it (question z9 of nq)" in str(error.value)


def test_another_prompt_is_an_error_that_names_the_question():
    prompts = {key: score.prompt for key, score in SCORES.items()} | {Key("nq", "a1"): "bb"}
    with pytest.raises(BaselineError, match=r"question a1 of nq has another prompt .*bb, not aa12"):
        check_questions(SCORES, prompts, "m")


@pytest.mark.parametrize("label", ["a/b", "", "..", "a b", "-x"])
def test_a_label_that_is_no_file_name(label):
    with pytest.raises(BaselineError, match="cannot name a file"):
        baseline.check_label(label)
