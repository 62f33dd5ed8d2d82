"""The regression gate: a baseline is written, asked again, and tells what got worse."""

import csv
import json
import random

import pytest
from click.testing import CliRunner

from mom_eval.cli import main
from mom_eval.evalsuite.regress import Exam, asked_of
from mom_eval.evalsuite.subjects import from_memory
from mom_eval.results.baseline import scores_of
from mom_eval.results.gate import judge, retests_of

QUESTIONS = 2


def regress(*words):
    return CliRunner().invoke(main, ["regress", *map(str, words)])


@pytest.fixture(scope="module")
def written(tmp_path_factory, tiny_mom):
    """A baseline of the tiny MoM."""
    folder = tmp_path_factory.mktemp("gate") / "baseline"
    result = regress("--write", folder, "--model", tiny_mom, "--questions", QUESTIONS)
    assert result.exit_code == 0, result.output
    assert "tiny-mom: 12 questions" in result.stderr
    assert f"wrote {folder / 'baseline.json'}" in result.stderr
    return folder


@pytest.fixture
def base(written, tmp_path):
    """A copy of it to be spoilt."""
    copy = tmp_path / "baseline"
    copy.mkdir()
    for path in written.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def change(folder, spoil):
    """Rewrite the baseline's scores, line by line."""
    path = folder / "tiny-mom.csv"
    lines = list(csv.DictReader(path.open(newline="")))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*lines[0]], lineterminator="\n")
        writer.writeheader()
        writer.writerows(line | spoil(line) for line in lines)


def test_the_same_model_passes_and_writes_the_same_bytes(base, written, tiny_mom):
    result = regress("--against", base, "--model", tiny_mom, "--batch-size", 3)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("## Regression gate: nothing fell\n")
    assert "not as in the baseline" not in result.stdout
    again = regress("--write", base, "--model", tiny_mom)  # as many questions as it has
    assert again.exit_code == 0, again.output
    for path in written.iterdir():
        assert (base / path.name).read_bytes() == path.read_bytes()


def test_a_model_that_got_worse_fails(base, tiny_mom):
    change(base, lambda line: {"bits_per_byte": float(line["bits_per_byte"]) - 0.5})
    (base / "baseline.json").write_text(
        (base / "baseline.json").read_text().replace('"weights_sha256": "', '"weights_sha256": "0')
    )
    result = regress("--against", base, "--model", tiny_mom)
    assert result.exit_code == 1
    assert "## Regression gate: worse than the baseline: tiny-mom" in result.stdout
    assert "| tiny-mom | TriviaQA  | bits per byte |" in result.stdout
    assert "tiny-mom is not as in the baseline: other weights." in result.stdout


def test_order_and_batch_change_nothing(mom, tokenizer):
    exam, model = Exam(asked_of(QUESTIONS, 0)), from_memory(mom, tokenizer, "cpu")
    scores = scores_of(exam.ask(model, None, print))
    for prepared in exam.prepared(model).values():
        random.Random(1).shuffle(prepared.questions)
    found = judge(retests_of("m", scores, exam.ask(model, 2, print)))
    assert not found.fell
    assert all(abs(one.drop.value) < 1e-4 for one in found.outcomes)


def refused(base, *words):
    result = regress("--against", base, *words)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    return result.stderr


def test_another_prompt_or_question_is_named_before_anything_is_asked(base, tiny_mom):
    change(base, lambda line: {"prompt": "0" * 16} if line["task"] == "nq" else {})
    assert "of nq has another prompt than in the baseline" in refused(base, "--model", tiny_mom)
    change(base, lambda line: {"id": line["id"] + "x"})
    error = refused(base, "--model", tiny_mom)
    assert "12 of its 12 questions are asked no more" in error
    assert "12 questions are not in it" in error


def test_a_model_that_the_baseline_does_not_know(base, tiny_mom):
    error = refused(base, "--model", f"other={tiny_mom}")
    assert "holds no other (known: tiny-mom)" in error
    assert "NAME=MODEL" in error


def test_without_a_model_all_that_ship_are_asked(base, tiny_mom, monkeypatch):
    monkeypatch.setattr("mom_eval.models.zoo.FOLDER", base)
    assert "no checkpoint ships" in refused(base)
    monkeypatch.setattr("mom_eval.models.zoo.FOLDER", tiny_mom.parent)
    assert regress("--against", base).exit_code == 0
    index = base / "baseline.json"
    index.write_text(index.read_text().replace('"tiny-mom"', '"gone": {}, "tiny-mom"'))
    assert "holds gone, which do not ship" in refused(base)


def test_a_baseline_of_older_prompts_or_other_size(base, tiny_mom):
    index = base / "baseline.json"
    index.write_text(index.read_text().replace('"protocol_version": 1', '"protocol_version": 0'))
    assert "made with prompts of version 0" in refused(base, "--model", tiny_mom)
    other = regress("--write", base, "--model", tiny_mom, "--seed", 5)
    assert other.exit_code == 1
    assert "made with seed 0, not 5" in other.stderr


@pytest.mark.parametrize("change", [("questions", 0), ("questions", -3), ("tokens", 1)])
def test_a_baseline_of_no_questions(base, tiny_mom, change):
    name, value = change
    index = base / "baseline.json"
    found = json.loads(index.read_text())
    index.write_text(json.dumps(found | {name: value}))
    assert "there are none below 1 and 128" in refused(base, "--model", tiny_mom)


def test_a_label_that_cannot_be_a_file_is_refused_before_asking(tmp_path, tiny_mom):
    result = regress("--write", tmp_path / "b", "--model", f"a/b={tiny_mom}")
    assert result.exit_code == 1
    assert "cannot name a file" in result.stderr
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--against", "a", "--write", "b"],
        ["--against", "a", "--seed", 1],
        ["--write", "b", "--questions", 0],
    ],
)
def test_usage(words):
    assert regress(*words).exit_code == 2
