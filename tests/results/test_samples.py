"""Single questions of runs: which are shown, and how."""

import pytest

from mom_eval.errors import RunError, SettingError
from mom_eval.results.samples import samples, text
from tests.results.conftest import make_run


def lines(task, outputs):
    """A question each, whose answer is its number."""
    return [
        {
            "id": f"{task}-{n}",
            "document": f"d{n}",
            "question": f"What is {n}?",
            "answers": [f"<{n}>", "x|y"],
            "output": output,
            "contains": float(f"<{n}>" in output),
        }
        for n, output in enumerate(outputs)
    ]


@pytest.fixture
def runs():
    return [
        make_run("head", {"fda": lines("fda", ["<0>", "no", "no"])}, kind="reference"),
        make_run("a", {"fda": lines("fda", ["<0>", "<1>", "No\n"]), "nq": lines("nq", ["<0>"])}),
        make_run("b", {"fda": lines("fda", ["<0>", "", "<2>"])}),
    ]


def ids(found):
    return [sample.id for sample in found]


def test_a_question_stands_once_with_what_every_run_wrote(runs):
    found = samples(runs)
    assert ids(found) == ["fda-0", "fda-1", "fda-2", "nq-0"]
    assert {name: one.text for name, one in found[2].said.items()} == {
        "a": "No\n", "b": "<2>", "head": "no"
    }  # fmt: skip
    assert ids(samples(runs, tasks=["nq"])) == ["nq-0"]


def test_right_and_wrong_are_those_of_models(runs):
    assert ids(samples(runs, right=True)) == ["fda-0", "nq-0"]
    assert ids(samples(runs, right=False)) == ["fda-1", "fda-2"]
    assert ids(samples(runs[:1], right=False)) == ["fda-1", "fda-2"]


def test_a_pattern_is_looked_for_in_all_texts(runs):
    assert ids(samples(runs, grep="^no$")) == ["fda-1", "fda-2"]
    assert ids(samples(runs, grep="is 2")) == ["fda-2"]
    assert ids(samples(runs, grep="X.Y", tasks=["nq"])) == ["nq-0"]
    assert ids(samples(runs, grep="NQ-")) == ["nq-0"]


def test_what_is_shown_is_printable_and_counted(runs):
    runs[1].questions["fda"][0]["output"] = "\x1b[31mred\n<0>"
    shown = text(samples(runs, tasks=["fda"]), 2)
    assert shown.splitlines()[:4] == [
        "fda  fda-0  (document d0)",
        "  question         What is 0?",
        "  answer           <0> | x|y",
        "  a         right  [31mred <0>",
    ]
    assert "  b         wrong  -" in shown
    assert shown.endswith("2 of 3 questions; --limit shows more")
    assert text([], 2) == "0 questions"
    assert text(samples(runs, tasks=["nq"]), 2).endswith("\n\n1 question")


def test_runs_of_one_label_are_told_apart(runs):
    twin = make_run("a", {"fda": lines("fda", ["no"])})
    found = samples([runs[1], twin])
    assert list(found[0].said) == ["a (a)"]
    twin = type(twin)(twin.folder.with_name("other"), twin.info, twin.questions)
    assert list(samples([runs[1], twin])[0].said) == ["a (a)", "a (other)"]


def test_what_cannot_be_shown_is_one_sentence(runs):
    with pytest.raises(SettingError, match=r"--grep '\(' is no regular expression"):
        samples(runs, grep="(")
    with pytest.raises(SettingError, match="no run there asked 'fdb'; did you mean fda"):
        samples(runs, tasks=["fdb"])
    with pytest.raises(RunError, match="of lm-eval's own tasks"):
        samples([make_run("l", {"triviaqa": []}, kind="lm-eval")])
    del runs[0].questions["fda"][1]["output"]
    with pytest.raises(RunError, match=r"head/fda.jsonl, line 2 has no field 'output'"):
        samples(runs)
