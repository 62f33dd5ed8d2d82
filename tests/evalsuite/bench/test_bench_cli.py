"""`mom-eval bench` as a user meets it."""

import csv
import json

import pytest
from click.testing import CliRunner

from mom_eval.cli import main
from mom_eval.evalsuite.bench import timing


@pytest.fixture(autouse=True)
def _brief(monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    monkeypatch.setattr("mom_eval.evalsuite.bench.rates._SIZES", {"cpu": (64, 1 << 16)})


def cli(*words):
    return CliRunner().invoke(main, ["bench", *map(str, words)])


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_op(tmp_path):
    result = cli("op", "--shape", "1,20,1,8", "--shape", "2,9,2,4", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "| head-delta (Gated DeltaNet) | 1 x 20 x 1 x 8 " in result.stdout
    rows = rows_of(tmp_path / "bench.csv")
    assert [row["work"] for row in rows[:2]] == ["head-delta", "delta"]
    assert len(rows) == 12
    kept = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert {row["phase"] for row in kept["rows"]} == {"op"}
    assert kept["command"].endswith("--seed 0 --shape 1,20,1,8 --shape 2,9,2,4")
    assert kept["versions"]["torch"]
    assert "random weights" not in result.stdout


def test_model(tiny_mom, tmp_path):
    words = ["model", "mamba2-tiny", f"mine={tiny_mom}", "--batch", "1", "--lengths", "12,20"]
    result = cli(*words, "--context", "8", "--against", "hf", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    rows = rows_of(tmp_path / "bench.csv")
    assert [(row["work"], row["phase"], row["length"]) for row in rows] == [
        ("mamba2-tiny", "prefill", "12"),
        ("mamba2-tiny", "prefill", "20"),
        ("mamba2-tiny", "decode", "8"),
        ("mine", "prefill", "12"),
        ("mine", "prefill", "20"),
        ("mine", "decode", "8"),
    ]
    first = rows[0]
    ratio = float(first["peer_ms"]) / float(first["ms"])
    assert float(first["peer_over_ours"]) == pytest.approx(ratio)
    assert rows[3]["peer_ms"] == ""
    names = {"bench.md", "bench.csv", "bench.json", "bench.png", "bench.svg"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert "random weights" not in (tmp_path / "bench.md").read_text("utf-8")


def test_train(tiny_mom, tmp_path):
    words = ["train", "mamba2-tiny", f"mine={tiny_mom}", "--batch", "1,2", "--lengths", "12"]
    result = cli(*words, "--against", "torch", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("## Steps of training\n")
    assert "torch: our models without Triton's kernels" in result.stdout
    assert "| Tokens/s | torch, ms | torch / ours |" in " ".join(result.stdout.split())
    rows = rows_of(tmp_path / "bench.csv")
    assert [(row["work"], row["phase"], row["batch"]) for row in rows[:4]] == [
        ("mamba2-tiny", "forward", "1"),
        ("mamba2-tiny", "train", "1"),
        ("mamba2-tiny", "forward", "2"),
        ("mamba2-tiny", "train", "2"),
    ]
    assert [row["work"] for row in rows[4:]] == ["mine"] * 4
    kept = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert kept["command"].startswith("mom-eval bench train mamba2-tiny mine=")
    assert " --batch 1,2 --lengths 12 --against torch --device cpu " in kept["command"]
    names = {"bench-batch-1.png", "bench-batch-1.svg", "bench-batch-2.png", "bench-batch-2.svg"}
    assert names < {path.name for path in tmp_path.iterdir()}


def test_suite(tmp_path):
    words = ["suite", "mom-tiny", "--questions", 3, "--prompt", 20, "--tokens", 2]
    table, as_json = cli(*words, "--out", tmp_path), cli(*words, "--json")
    assert table.exit_code == as_json.exit_code == 0, table.output
    assert "scaled to 12,000, not measured" in table.stdout
    assert "3 questions were run, and not 12,000" in table.stdout
    kept = json.loads(as_json.stdout)
    assert (kept["read"], kept["written"], kept["questions"]) == (60, 6, 3)
    (row,) = rows_of(tmp_path / "suite.csv")
    assert row["prompt"] == "20"


def test_start(tiny_mom, tmp_path):
    words = ["start", f"mine={tiny_mom}", "--runs", 1, "--prompt", 9, "--device", "cpu"]
    result = cli(*words, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("## From nothing to a first token: mine\n")
    rows = rows_of(tmp_path / "start.csv")
    assert [row["compiled"] for row in rows] == ["False", "True"]
    assert float(rows[0]["imports_s"]) > float(rows[0]["step_s"]) > 0
    kept = json.loads((tmp_path / "start.json").read_text("utf-8"))
    assert " --runs 1 --prompt 9 --device cpu " in kept["command"]


def test_a_failed_check_prints_its_table_and_exits_1(monkeypatch, tmp_path):
    from mom_eval.evalsuite.bench import check

    whole = check.check_ops
    small = {"lengths": (1, 3), "long": 4, "sizes": ((4, 4),)}
    monkeypatch.setattr(check, "check_ops", lambda **given: whole(**given, **small))
    words = ["op", "--check", "--dtype", "float32", "--out", tmp_path]
    right = cli(*words)
    assert right.exit_code == 0, right.output
    monkeypatch.setattr(check, "bound", lambda *_: 1e-12)
    wrong = cli(*words)
    assert wrong.exit_code == 1
    assert "WRONG" in wrong.stdout
    assert wrong.stderr.strip().splitlines()[-1].startswith("Error: 38 of 38 cases are wrong")
    assert len(rows_of(tmp_path / "check.csv")) == 38


WRONG = {
    "shape": (["op", "--shape", "1,2,3"], "--shape 1,2,3 is not B,T,H,K"),
    "zero": (["op", "--shape", "1,2,0,4"], "--shape 1,2,0,4 is not B,T,H,K"),
    "fla": (["op", "--against", "fla", "--device", "cpu"], "--against fla needs a GPU"),
    "fla-model": (
        ["model", "mom-tiny", "--against", "fla", "--device", "cpu"],
        "--against fla needs a GPU",
    ),
    "checked": (["op", "--check", "--against", "fla"], "--check looks at our own ops"),
    "seed": (["op", "--seed", "-1"], "--seed -1 is below 0"),
    "device": (["op", "--device", "abacus"], "do not run on a device 'abacus'"),
    "name": (["model", "mom-tinny"], "did you mean mom-tiny"),
    "folder": (["model", "./no/such"], "there is no model at ./no/such"),
    "batch": (["model", "mom-tiny", "--batch", "0,1"], "--batch 0 is too small"),
    "lengths": (["model", "mom-tiny", "--lengths", "0"], "--lengths 0 is too small"),
    "context": (["model", "mom-tiny", "--context", "-1"], "--context -1 is too small"),
    "short": (["train", "mom-tiny", "--lengths", "1,9"], "--lengths 1 leaves no token to predict"),
    "no-batch": (["train", "mom-tiny", "--batch", "0"], "--batch 0 is too small"),
    "fla-train": (
        ["train", "mom-tiny", "--against", "fla", "--device", "cpu"],
        "--against fla needs a GPU",
    ),
    "questions": (["suite", "mom-tiny", "--questions", "0"], "--questions 0 is too small"),
    "start": (["start", "mom-tinny", "--runs", "1"], "did you mean mom-tiny"),
    "runs": (["start", "mom-tiny", "--runs", "0"], "--runs 0 is too small"),
    "tokens": (["suite", "mom-tiny", "--tokens", "0"], "--tokens 0 is too small"),
    "shared": (
        ["suite", "mom-tiny", "--prompt", "9", "--shared", "9"],
        "--shared 9 does not lie from 0 to below --prompt 9",
    ),
}


@pytest.mark.parametrize("what", ["model", "train"])
def test_nothing_is_timed_before_all_names_are_known(what):
    result = cli(what, "mom-tiny", "mom-tinny", "--batch", "1", "--lengths", "8")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "did you mean mom-tiny" in line


@pytest.mark.parametrize(("words", "sentence"), WRONG.values(), ids=WRONG)
def test_bad_input_is_one_sentence_and_exit_1(words, sentence):
    result = cli(*words)
    assert result.exit_code == 1, result.output
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert sentence in last
