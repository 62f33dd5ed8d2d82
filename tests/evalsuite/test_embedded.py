"""`mom-eval run` without a model: the checkpoints that ship, on the embedded sample."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from mom_eval.cli import main
from mom_eval.errors import ModelError
from mom_eval.evalsuite import checkpoints
from mom_eval.evalsuite.embedded import CONTEXT_LENGTH, ties, with_defaults
from mom_eval.evalsuite.evaluate import source_of
from mom_eval.models.zoo import shipped
from mom_eval.results import AVERAGE_QUESTIONS
from mom_eval.results.store import read_runs
from mom_eval.tasks.data import Source

NOTHING = dict.fromkeys(("data", "data_dir", "limit", "context_length", "haystack"))


@pytest.fixture
def zoo(tiny_mom, monkeypatch):
    monkeypatch.setattr("mom_eval.models.zoo.FOLDER", tiny_mom.parent)


def test_the_sample_is_asked_though_data_are_prepared(zoo, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "nq.jsonl").write_text("no JSON\n")
    monkeypatch.setenv("MOM_EVAL_DATA", str(tmp_path / "data"))
    words = ["run", "--tasks", "nq", "--limit", 2, "--out", tmp_path / "runs"]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert "tiny-mom" in result.stdout
    assert "head (reference)" in result.stdout
    assert result.stderr.splitlines()[-1].startswith("Next: `mom-eval data prepare`")
    [run] = [run for run in read_runs([tmp_path / "runs"]) if run.info["kind"] == "model"]
    assert run.info["command"] == (
        "mom-eval run --model tiny-mom --tasks nq --data sample --context-length 1024 --limit 2"
        " --out runs"
    )
    assert json.loads((tmp_path / "runs" / "leaderboard.json").read_text())["boards"]


def test_models_whose_intervals_overlap_are_shown_as_ties():
    """Of three models: the second overlaps the first, the third is apart."""

    def row(name, low, high, kind="model"):
        scores = {"contains": SimpleNamespace(low=low, high=high)}
        return SimpleNamespace(name=name, kind=kind, average=SimpleNamespace(scores=scores))

    rows = [row("a", 80, 90), row("b", 70, 80), row("head", 60, 95, "reference"), row("c", 1, 9)]
    assert "overlaps the one before: a = b > c. `mom-eval" in ties(SimpleNamespace(rows=rows))


def test_no_bars_of_lm_eval_run_through_ours():
    code = "from mom_eval.evalsuite import embedded\nfrom tqdm import tqdm\nprint(tqdm([]).disable)"
    free = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    shown = subprocess.run([sys.executable, "-c", code], env=free, capture_output=True, check=True)
    assert shown.stdout == b"True\n"


def test_what_is_meant_without_a_model(zoo):
    assert Source(kind="sample").questions >= AVERAGE_QUESTIONS
    found = with_defaults([], NOTHING)
    assert found.models == ["tiny-mom"]
    assert found.options == NOTHING | {"data": "sample", "context_length": CONTEXT_LENGTH}
    hidden = with_defaults([], NOTHING | {"haystack": (512,), "limit": 3}).options
    assert hidden == NOTHING | {"data": "sample", "limit": 3, "haystack": (512,)}
    assert found.next
    own = with_defaults([], NOTHING | {"data": "here"})
    assert own.options == NOTHING | {"data": "here"}
    assert own.next is None
    assert with_defaults(["m"], NOTHING) == (["m"], NOTHING, None)


def test_names_of_checkpoints_that_ship(zoo, tiny_mom, tmp_path, monkeypatch):
    assert shipped() == {"tiny-mom": tiny_mom}
    [found] = checkpoints.find("a=tiny-mom")
    assert (found.label, found.id, found.folder) == ("a", "tiny-mom", tiny_mom)
    with pytest.raises(ModelError, match="did you mean tiny-mom"):
        checkpoints.find("tiny-mum")
    monkeypatch.chdir(tmp_path)  # a folder of that name goes first
    (tmp_path / "tiny-mom").mkdir()
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        checkpoints.find("tiny-mom")


def test_where_none_ships(tmp_path, monkeypatch):
    monkeypatch.setattr("mom_eval.models.zoo.FOLDER", tmp_path)
    result = CliRunner().invoke(main, ["run"])
    assert result.exit_code == 1
    assert "no checkpoint ships with this mom-eval; name a model with --model" in result.stderr


def test_the_sample_is_as_long_as_asked():
    assert source_of("sample", None, 0, None, print).questions == 40
    assert source_of("sample", None, 0, 2, print).questions == 40  # the first two of these
    assert source_of("sample", None, 0, 2_000, print).questions == 2_000
