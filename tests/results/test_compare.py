"""Comparisons of run folders: what is paired, what is said, what is shown."""

import csv
import io

import pytest
from click.testing import CliRunner

from mom_eval.cli import main
from mom_eval.errors import RunError, SettingError
from mom_eval.results.compare import compare
from mom_eval.results.compare_table import compare_text
from mom_eval.results.sides import side
from mom_eval.results.statistics import mean, paired
from tests.results.folders import real_lines, write_model


def answers(share, count=120):
    return [int(n % 10 < 10 * share) for n in range(count)]


@pytest.fixture
def runs(tmp_path):
    """Where `a` is better on FDA, worse on NQ, the same on DROP, and nobody knows on SQuAD."""
    folder = tmp_path / "runs"
    first = {"fda": answers(0.6), "nq": answers(0.1), "drop": answers(0.3, 900), "squad": [1, 0]}
    second = {"fda": answers(0.2), "nq": answers(0.5), "drop": answers(0.3, 900), "squad": [1, 1]}
    write_model(folder, "a", first)
    write_model(folder, "b", second, bits=1.5)
    write_model(folder, "head", {"fda": answers(0.2)}, kind="reference")
    return folder


def of(folder, *names, **options):
    return compare(*(side(name, folder) for name in names), **options)


def test_each_task_has_the_difference_of_the_statistics_and_a_verdict(runs):
    (found,) = of(runs, "a", "b")
    rows = {row.task: row for row in found.tasks}
    assert {task: row.verdict for task, row in rows.items()} == {
        "fda": "better", "squad": "unknown", "nq": "worse", "drop": "same"
    }  # fmt: skip
    documents = [line["document"] for line in real_lines("fda", answers(0.6))]
    assert rows["fda"].difference == paired(answers(0.6), answers(0.2), documents)
    assert rows["fda"].bits == mean([-0.5] * 120, documents)
    assert rows["fda"].test == "sign flip"
    assert found.average is not None
    assert found.average.difference.questions == 120 + 120 + 900
    assert found.average.difference.value == pytest.approx(0.0)


def test_the_other_way_round_everything_is_turned(runs):
    one, other = of(runs, "a", "b")[0], of(runs, "b", "a")[0]
    for row, turned in zip(one.tasks, other.tasks, strict=True):
        assert turned.difference.value == pytest.approx(-row.difference.value)
        assert turned.p == pytest.approx(row.p)
    assert {row.task for row in other.tasks if row.verdict == "better"} == {"nq"}


def test_one_question_a_document_is_mcnemar(tmp_path):
    for name, share in (("a", 0.6), ("b", 0.2)):
        write_model(tmp_path, name, {"nq": answers(share)}, per_document=1)
    (found,) = of(tmp_path, "a", "b")
    assert found.tasks[0].test == "McNemar"
    assert found.average is None
    assert "NQ: McNemar's exact test" in compare_text([found], "md")


def test_common_questions_are_compared_and_the_others_told(tmp_path):
    write_model(tmp_path, "a", {"fda": answers(0.5), "nq": answers(0.5)})
    write_model(tmp_path, "b", {"fda": answers(0.5)[:60]}, info={"finished": None})
    (found,) = of(tmp_path, "a", "b")
    assert found.tasks[0].difference.questions == 60
    assert found.notes == (
        "FDA: 60 questions in common, of 120 that a answered and 60 of b.",
        "Only a answered NQ.",
        "Not finished, run again to continue: b.",
    )


def test_prompts_that_differ_are_counted(tmp_path):
    write_model(tmp_path, "a", {"fda": answers(0.5)})
    folder = write_model(tmp_path, "b", {"fda": answers(0.5)})
    lines = folder / "fda.jsonl"
    lines.write_text(lines.read_text().replace('"prompt_hash": "00', '"prompt_hash": "ff'))
    assert any(
        "120 of 120 prompts are not the same text" in n for n in of(tmp_path, "a", "b")[0].notes
    )


def test_settings_are_compared_apart_and_what_is_alone_is_told(tmp_path):
    for name in ("a", "b"):
        for length in (512, 1024):
            write_model(tmp_path / name, f"{name}", {"fda": answers(0.5)}, context_length=length)
            (tmp_path / name / name).rename(tmp_path / name / f"{length}")
    first, second = (side(str(tmp_path / name), tmp_path) for name in ("a", "b"))
    found = compare(first, second)
    assert [one.gathered.group.context_length for one in found] == [512, 1024]
    (tmp_path / "b" / "512" / "run.json").unlink()
    (found,) = compare(first, side(str(tmp_path / "b"), tmp_path))
    assert found.gathered.group.context_length == 1024
    assert found.notes[-1].startswith(
        "Not compared, for want of a question in common: a on Recall, protocol paper, context"
    )


def test_two_models_of_one_label_are_told_apart_and_one_model_is_a_and_b(tmp_path):
    for dtype in ("float32", "bfloat16"):
        write_model(tmp_path, "a", {"fda": answers(0.5)}, dtype=dtype).rename(tmp_path / dtype)
    (found,) = of(tmp_path, "a (float32)", "a (bfloat16)")
    assert found.names == ("a (float32)", "a (bfloat16)")
    (found,) = compare(*(side(str(tmp_path / dtype), tmp_path) for dtype in ("float32",) * 2))
    assert found.names == ("a (A)", "a (B)")


def test_what_was_not_asked_for_is_not_missed(tmp_path):
    write_model(tmp_path, "a", {"fda": answers(0.5), "nq": answers(0.5)})
    write_model(tmp_path, "b", {"fda": answers(0.5)})
    assert of(tmp_path, "a", "b")[0].notes == ("Only a answered NQ.",)
    assert of(tmp_path, "a", "b", tasks=["fda"])[0].notes == ()
    with pytest.raises(RunError, match=r"in common \(a: Recall.*; b: nothing\)"):
        of(tmp_path, "a", "b", tasks=["nq"])


def test_comparisons_that_differ_by_their_data_alone_name_it(tmp_path):
    for name in ("a", "b"):
        for data in ("one", "two"):
            folder = write_model(tmp_path, name, {"fda": answers(0.5)}, files={"fda": data})
            folder.rename(tmp_path / f"{name}-{data}")
    first, second = of(tmp_path, "a", "b")
    assert first.title != second.title
    assert ", data files " in compare_text([first], "md")


def test_nothing_in_common_is_an_error_that_says_what_was_asked(tmp_path):
    write_model(tmp_path, "a", {"fda": answers(0.5)})
    write_model(tmp_path, "b", {"fda": answers(0.5)}, context_length=512)
    with pytest.raises(
        RunError, match=r"a and b have no question in common \(a: .*2,048.* b: .*512"
    ):
        of(tmp_path, "a", "b")
    write_model(tmp_path, "c", {"fda": answers(0.5)}, files={"fda": "other data"})
    with pytest.raises(RunError, match="no question in common"):
        of(tmp_path, "a", "c")
    write_model(tmp_path, "d", {"nq": answers(0.5)})
    with pytest.raises(RunError, match="no question in common"):
        of(tmp_path, "a", "d")


def test_a_model_is_compared_with_a_row_made_by_code(runs):
    (found,) = of(runs, "a", "head")
    assert found.names == ("a", "head")
    assert [row.task for row in found.tasks] == ["fda"]


def test_a_label_is_the_one_row_that_each_board_has(tmp_path):
    for length, tokenizer in ((512, "one"), (1024, "two")):
        more = {"context_length": length, "tokenizer": tokenizer}
        for label, kind in (("a", "model"), ("head", "reference")):
            folder = write_model(tmp_path, label, {"fda": answers(0.4)}, kind=kind, **more)
            folder.rename(tmp_path / f"{label}-{length}")
    found = of(tmp_path, "a (one)", "head")
    assert [one.names for one in found] == [("a", "head")]
    assert [one.gathered.group.context_length for one in of(tmp_path, "a", "head")] == [512, 1024]
    write_model(tmp_path, "a", {"fda": answers(0.4)}, weights="other", context_length=512)
    with pytest.raises(RunError, match=r"a is more than one model on .* 512.* a \(a, one\)"):
        of(tmp_path, "a", "head")


def test_the_ten_questions_that_differ_most_are_right_here_and_wrong_there(runs):
    (found,) = of(runs, "a", "b", tasks=["nq"])
    assert len(found.apart) == 10
    for sample, bits in found.apart:
        assert [one.right for one in sample.said.values()] == [False, True]
        assert bits[1] - bits[0] == pytest.approx(0.5)
    text = compare_text([found], "md")
    assert "      question         What is number 11 of nq?" in text
    assert "      a         wrong  no idea\n      b         right  " in text
    assert "      bits per byte of the answer: a 1.00, b 1.50\n" in text


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("position", ["0 to 20 % of the document", "not in the prompt"]),
        ("length", ["65 to 128 tokens", "1,025 to 2,048 tokens"]),
        (
            "answer-type",
            ["date or year", "with a digit", "begins with a capital", "other words"],
        ),
    ],
)
def test_a_task_is_broken_down_into_parts_that_are_its_questions(runs, by, names):
    (found,) = of(runs, "a", "b", tasks=["fda"], by=by)
    assert {names[0], names[-1]} <= {part.name for part in found.parts}
    assert sum(part.difference.questions for part in found.parts) == 120
    total = sum(part.difference.value * part.difference.questions for part in found.parts)
    assert total == pytest.approx(48)
    assert f"fda,{by}," in compare_text([found], "csv")


def test_by_document_shows_those_that_differ_most(runs):
    (found,) = of(runs, "a", "b", tasks=["fda"], by="document")
    assert len(found.parts) == 10
    sizes = [abs(part.difference.value) * part.difference.questions for part in found.parts]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 2


def test_old_runs_without_positions_say_so(tmp_path):
    for name in ("a", "b"):
        folder = write_model(tmp_path, name, {"fda": answers(0.5)})
        lines = folder / "fda.jsonl"
        lines.write_text(lines.read_text().replace('"position"', '"place"'))
    with pytest.raises(RunError, match="do not say 'position' of fda-0: they are older"):
        of(tmp_path, "a", "b", by="position")


def test_what_no_model_is_called_is_one_sentence(runs, tmp_path):
    with pytest.raises(RunError, match=r"hea is neither a folder nor a row .* did you mean head\?"):
        side("hea", runs)
    with pytest.raises(RunError, match="there is no folder nowhere to look the name up in"):
        side("a", tmp_path.relative_to(tmp_path) / "nowhere")
    with pytest.raises(RunError, match="holds runs of a, b; give the name of one of them"):
        side(str(runs), runs)
    with pytest.raises(SettingError, match="no run there asked 'fdb'; did you mean fda"):
        of(runs, "a", "b", tasks=["fdb"])
    with pytest.raises(SettingError, match="between 0 and 100"):
        of(runs, "a", "b", margin=0)


def test_the_command_prints_and_writes_both_forms(runs, tmp_path):
    words = ["compare", "a", "b", "--runs", str(runs), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "| FDA     | 120 " in result.stdout
    assert "no difference larger than 5" in result.stdout
    assert (tmp_path / "out" / "compare.md").read_text() + "\n" == result.stdout
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out" / "compare.csv").read_text())))
    assert [line["task"] for line in lines] == ["fda", "squad", "nq", "drop", "average"]
    assert lines[0]["difference"] == "40.0"
    assert lines[0]["verdict"] == "better"
    wider = CliRunner().invoke(main, [*words[:5], "--margin", "0.1", "--format", "csv"])
    assert wider.stdout.count(",unknown") == 3


def test_hostile_names_and_answers_stay_text(tmp_path):
    write_model(tmp_path, "=a|b*", {"fda": answers(0.5)})
    write_model(tmp_path, "b", {"fda": answers(0.2)})
    (found,) = of(tmp_path, "=a|b*", "b")
    assert "'=a|b*,b," in compare_text([found], "csv")
    assert r"## =a\|b\* against b" in compare_text([found], "md")
