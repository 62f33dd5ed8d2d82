"""`load_runs`: what is in run folders, as two tables that can be joined."""

import re
from pathlib import Path

import pandas as pd
import pytest

import mom_eval
from mom_eval.errors import RunError
from mom_eval.results import bench, mqar, perplexity, routing
from mom_eval.results.frames import as_frame
from tests.results.conftest import make_run
from tests.results.folders import write_model, write_run
from tests.results.test_bench import new_bench
from tests.results.test_plot_look import perplexity as new_perplexity
from tests.results.test_plot_look import routes
from tests.results.test_plot_mqar import new_board

DOCS = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.fixture
def folder(tmp_path):
    costs = {"state_bytes": 4096, "activated": 10, "parameters": 20}
    write_model(tmp_path / "runs", "mom", {"fda": [1, 0] * 18, "nq": [1] * 9}, costs=costs)
    info = {
        "started": "2025-12-31T00:00:00",
        "finished": None,
        "seconds": 4.0,
        "tokens": {"read": 5, "written": 2, "scored": 1},
    }
    write_model(tmp_path / "runs", "gdn", {"fda": [0, 0, 1, 0] * 9, "nq": [0] * 9}, info=info)
    return tmp_path / "runs"


OTHERS = (
    (mqar, new_board()),
    (perplexity, new_perplexity(3)),
    (routing, routes(2, 4)),
    (bench, new_bench()),
)
"""What `mqar`, `ppl`, `routing` and `bench` find."""


def test_every_line_of_every_run_is_there_once(folder):
    runs, questions = mom_eval.load_runs(folder, folder / "mom")
    assert list(runs["run"]) == ["gdn", "mom"]
    assert len(questions) == 2 * 45
    joined = questions.merge(runs, on="run", validate="many_to_one")
    means = joined.groupby(["label", "task"])["contains"].mean()
    assert means.to_dict() == {
        ("gdn", "fda"): 0.25, ("gdn", "nq"): 0, ("mom", "fda"): 0.5, ("mom", "nq"): 1
    }  # fmt: skip
    first = questions[questions["run"] == "mom"].iloc[1]
    assert (first["id"], first["cut_of"], first["answers"]) == ("fda-1", 90, ["March 1884"])


def test_settings_costs_and_dates_stand_beside_a_run_and_what_is_unknown_is_missing(folder):
    runs = mom_eval.load_runs(folder).runs.set_index("label")
    mom, gdn = runs.loc["mom"], runs.loc["gdn"]
    assert (mom["protocol"], mom["context_length"], mom["source"]) == ("paper", 2048, "local")
    assert (mom["state_bytes"], mom["questions"], mom["asked"]) == (4096, 45, "fda,nq")
    assert mom["finished"] == pd.Timestamp("2026-01-01T01:00", tz="UTC")
    assert gdn["tokens_per_second"] == 2.0
    assert pd.isna([gdn["finished"], gdn["state_bytes"], mom["tokens_per_second"]]).all()


def test_of_two_folders_of_one_run_the_fuller_counts(tmp_path):
    write_model(tmp_path / "a", "mom", {"fda": [1] * 4})
    write_model(tmp_path / "b", "mom", {"fda": [1] * 6})
    for order in (("a", "b"), ("b", "a")):
        assert len(mom_eval.load_runs(*(tmp_path / name for name in order)).questions) == 6


def test_lm_evals_metrics_keep_apart_from_ours(tmp_path):
    line = {"id": "0-none", "document": "0", "filter": "none", "metrics": {"f1": 0.5}}
    info = {"results": {"drop": {"f1,none": {"value": 0.5, "mean": True}}}}
    write_run(tmp_path, make_run("l", {"drop": [line]}, kind="lm-eval", info=info), "l")
    (line,) = mom_eval.load_runs(tmp_path).questions.to_dict("records")
    assert (line["lm_eval_f1"], line["filter"]) == (0.5, "none")
    assert "f1" not in line


def test_a_run_without_answers_has_no_lines(tmp_path):
    write_run(tmp_path, make_run("a", {}), "a")
    runs, questions = mom_eval.load_runs(str(tmp_path))
    assert (len(runs), len(questions)) == (1, 0)
    assert questions.merge(runs, on="run").empty


def test_a_leaderboard_has_a_line_a_row_and_task(folder):
    board = mom_eval.load_leaderboard(folder)
    assert [*zip(board["row"], board["task"], board["value"], strict=True)] == [
        ("gdn", "fda", 25), ("gdn", "nq", 0), ("mom", "fda", 50), ("mom", "nq", 100)
    ]  # fmt: skip
    fda = board.iloc[2]
    assert fda["low"] < 50 < fda["high"]
    assert (fda["board"], fda["questions"], fda["activated"]) == (
        "Recall, protocol paper, context length 2,048, local data, 45 questions", 36, 10
    )  # fmt: skip
    assert pd.isna(board["activated"]).tolist() == [True, True, False, False]
    bits = mom_eval.load_leaderboard(folder, metric="bits_per_byte")
    assert bits["value"].equals(bits["bits_per_byte"])


def test_no_run_is_one_sentence(tmp_path):
    with pytest.raises(RunError, match=r"no run was found in .*; make one with"):
        mom_eval.load_runs(tmp_path)


def test_the_examples_of_the_documentation_run(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder.parent)
    for module, found in OTHERS:
        module.write(found, folder.parent / "out")
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    names: dict = {}
    exec("".join(blocks), names)
    assert len(names["won"]) == 9 + 9
    assert names["difference"].value == pytest.approx(0.25)
    assert "+0.250, from " in capsys.readouterr().out
    drawn = [axis.get_title(loc="left") for axis in names["figure"].axes if axis.axison]
    assert drawn == ["FDA (n = 36)"]
    assert {path.name for path in folder.parent.iterdir()} == {
        *("runs", "out", "scores.png", "f1-scores-paper-2048-local.svg", "mqar-64.png")
    }


def test_the_documentation_names_every_column(folder):
    text = DOCS.read_text("utf-8")
    tables = [*mom_eval.load_runs(folder), mom_eval.load_leaderboard(folder)]
    tables += [as_frame(module.lines(found)) for module, found in OTHERS]
    missing = [name for table in tables for name in table if f"`{name}`" not in text]
    assert missing == []
