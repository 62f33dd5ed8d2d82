"""Which rows a leaderboard shows, in what order, and what they cost."""

import csv
import io

import pytest
from click.testing import CliRunner

from mom_eval.cli import main
from mom_eval.errors import SettingError
from mom_eval.results.cost_table import size
from mom_eval.results.leaderboard import build
from mom_eval.results.select import selected, sorted_by
from mom_eval.results.show import leaderboard_text
from tests.results.conftest import make_lines, make_run
from tests.results.folders import write_run


def model(label, share, state=None, **options):
    questions = {"fda": make_lines("fda", [1] * share + [0] * (100 - share), 9 - share / 20)}
    questions["nq"] = make_lines("nq", [0] * share + [1] * (100 - share), 1)
    tokens = {"read": 100 * share, "unshared": 1, "written": 10, "scored": 10}
    run = make_run(label, questions, info={"seconds": 10.0, "tokens": tokens}, **options)
    if state is not None:
        costs = {"state_bytes": state, "state_bytes_per_token": 2, "decode_bytes": 3 * state}
        run.info["model"] |= costs | {"activated": 7 * state, "parameters": 1, "ran_on": "cpu"}
    return run


@pytest.fixture
def runs():
    head = make_run("head", {"fda": make_lines("fda", [1, 0] * 50)}, kind="reference")
    return [model("mom", 60, 100), model("gdn", 20, 50), model("hf", 40), head]


@pytest.mark.parametrize(
    ("key", "order"),
    [
        ("fda", ["mom", "hf", "gdn"]),
        ("nq", ["gdn", "hf", "mom"]),
        ("bits_per_byte", ["mom", "hf", "gdn"]),
        ("name", ["gdn", "hf", "mom"]),
        ("state", ["gdn", "mom", "hf"]),
        ("activated", ["gdn", "mom", "hf"]),
        ("decode", ["gdn", "mom", "hf"]),
        ("speed", ["mom", "hf", "gdn"]),
    ],
)
def test_rows_are_sorted_and_references_stay_behind(runs, key, order):
    (board,) = sorted_by(build(runs), key)
    assert [row.name for row in board.rows] == [*order, "head"]


def test_an_unknown_key_is_refused(runs):
    with pytest.raises(SettingError, match=r"cannot be sorted by 'sate'; did you mean state"):
        sorted_by(build(runs), "sate")


def test_models_and_tasks_are_selected_and_references_kept(runs):
    (board,) = build(selected(runs, models=["g*", "hf"], tasks=["nq"]))
    assert [row.name for row in board.rows] == ["gdn", "hf"]
    (board,) = build(selected(runs, models=["mom"], tasks=["fda"]))
    assert [row.name for row in board.rows] == ["mom", "head"]
    assert [column.key for column in board.columns] == ["fda"]
    with pytest.raises(SettingError, match=r"no model there is called 'mo'; did you mean mom"):
        selected(runs, models=["mo"])
    with pytest.raises(SettingError, match=r"asked 'nqq'; did you mean nq"):
        selected(runs, tasks=["nqq"])


def test_boards_on_which_no_chosen_model_stands_are_left_out(runs):
    runs.append(model("other", 10, context_length=512))
    runs.append(make_run("echo", {"fda": make_lines("fda", [1])}, kind="reference",
                         context_length=512))  # fmt: skip
    assert len(build(selected(runs))) == 2
    (board,) = build(selected(runs, models=["other"]))
    assert [row.name for row in board.rows] == ["other", "echo"]


def test_a_label_is_chosen_as_it_is_written(runs):
    runs.append(model("mom [old]", 60, 100))
    kept = selected(runs, models=["mom [old]"])
    assert sorted(run.info["label"] for run in kept) == ["head", "mom [old]"]


def test_costs_are_those_at_the_boards_context(runs):
    costs = {row.name: row.costs for row in build(runs)[0].rows}
    assert (costs["mom"].state_bytes, costs["mom"].decode_bytes) == (100 + 4096, 300 + 4096)
    assert costs["mom"].tokens_per_second == 602.0
    assert costs["hf"].state_bytes is None
    assert costs["head"].tokens_per_second is None


def test_costs_stand_in_every_form(runs):
    boards = build(runs)
    text = leaderboard_text(boards, "md")
    assert (
        "| mom   | 1          | 700       | 4.1 KiB             | 4.29 KiB | 602      | cpu |"
        in text
    )
    lines = list(csv.DictReader(io.StringIO(leaderboard_text(boards, "csv"))))
    assert {line["state_bytes"] for line in lines if line["row"] == "gdn"} == {"4146"}
    assert '"activated": 700' in leaderboard_text(boards, "json")


def test_costs_that_no_model_has_have_no_column():
    table = leaderboard_text(build([model("hf", 40)]), "md").partition("Cost: ")[2]
    assert table.startswith("tokens a second, measured: ")
    assert "| Model | Tokens/s | On |" in table


def test_without_costs_there_is_no_table_of_them(make):
    assert "Cost:" not in leaderboard_text(build([make("a")]), "md")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.977 KiB"),
        (3 << 20, "3 MiB"),
        (5 << 40, "5 TiB"),
    ],
)
def test_sizes(value, text):
    assert size(value) == text


def test_the_command_sorts_and_selects(runs, tmp_path):
    for run in runs:
        write_run(tmp_path, run, run.info["label"])
    words = ["leaderboard", str(tmp_path), "--sort", "speed", "--task", "fda", "--model", "[mg]*"]
    shown = CliRunner().invoke(main, words)
    assert shown.exit_code == 0, shown.output
    names = [line.split()[1] for line in shown.stdout.splitlines() if line.startswith("| ")]
    assert names[2:5] == ["mom", "gdn", "head"]
    assert "NQ (" not in shown.stdout
