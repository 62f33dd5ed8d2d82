"""The command line as a user meets it: listings, errors, exit codes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from mom_eval.cli import main
from mom_eval.evalsuite.doctor import triton_line
from mom_eval.tasks import TASKS, lm_eval_path


@pytest.fixture
def cli(monkeypatch, tmp_path):
    """Run a command with an empty data folder; returns click's result."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*words):
        return CliRunner().invoke(main, [str(word) for word in words])

    return run


@pytest.fixture
def done(cli, tiny_llama, tmp_path):
    """A small finished run."""
    result = cli(
        "run",
        "--tasks",
        "nq,fda",
        "--data",
        "sample",
        "--model",
        tiny_llama,
        "--limit",
        2,
        "--out",
        tmp_path / "runs",
    )
    assert result.exit_code == 0, result.output
    return result


def test_a_run_prints_its_table_and_names_its_files(done, tmp_path):
    assert "tiny-llama" in done.stdout
    assert "synthetic sample, not the real tasks" in done.stdout
    assert "head (reference)" in done.stdout
    written = [line for line in done.stderr.splitlines() if line.startswith("wrote ")]
    assert {path.rsplit(".", 1)[1] for path in written} == {"md", "csv", "json", "png", "svg"}
    assert (tmp_path / "runs" / "leaderboard.csv").read_text().startswith("board")


def test_single_questions_of_finished_runs(cli, done, tmp_path):
    shown = cli("samples", tmp_path / "runs", "--task", "fda", "--wrong", "--limit", 1)
    assert shown.exit_code == 0, shown.output
    assert "tiny-llama  wrong" in shown.stdout
    assert "1 of 2 questions; --limit shows more" in shown.stdout
    assert cli("samples", tmp_path / "runs", "--right").stdout == "0 questions\n"


def test_finished_runs_are_listed_and_compared(cli, done, tmp_path):
    listed = cli("runs", tmp_path / "runs", "--model", "tiny-*")
    assert listed.exit_code == 0, listed.output
    folder = listed.stdout.splitlines()[1].split()[0]
    compared = cli(
        "compare", tmp_path / "runs" / folder, "head", "--runs", tmp_path / "runs",
        "--by", "position",
    )  # fmt: skip
    assert compared.exit_code == 0, compared.output
    assert "## tiny-llama against head" in compared.stdout
    assert compared.stdout.count("too few questions to tell") == 3
    assert "in what tiny-llama is shown" in compared.stdout


@pytest.mark.parametrize("form", ["md", "csv", "json"])
def test_leaderboard_of_finished_runs(cli, done, tmp_path, form):
    result = cli("leaderboard", tmp_path / "runs", "--format", form, "--out", tmp_path / "board")
    assert result.exit_code == 0, result.output
    assert "tiny-llama" in result.stdout
    if form == "json":
        assert json.loads(result.stdout)["boards"]
    assert sorted(p.name for p in (tmp_path / "board").glob("*.*")) == [
        "leaderboard.csv",
        "leaderboard.json",
        "leaderboard.md",
    ]
    assert list((tmp_path / "board" / "plots").glob("*.png"))


def test_published_rows_stay_apart_from_synthetic_scores(cli, done, tmp_path):
    result = cli("leaderboard", tmp_path / "runs", "--reference", "mom-paper")
    assert result.exit_code == 0
    assert "are left out: they are contains scores of real documents" in result.stdout
    assert "Gated DeltaNet" not in result.stdout


def test_tasks(cli):
    assert cli("tasks", "--path").stdout.strip() == str(lm_eval_path())
    rows = json.loads(cli("tasks", "--json").stdout)
    assert [row["name"] for row in rows] == list(TASKS)
    assert len(cli("tasks").stdout.splitlines()) == 6


def test_models(cli):
    listed = json.loads(cli("models", "--json").stdout)
    lines = cli("models").stdout.splitlines()
    assert len(lines) == len(listed["families"]) + 1 + len(listed["checkpoints"])
    assert any(re.search(r"MoM-Gated-Deltanet-340M .* 512 M  state 122.8 MiB", x) for x in lines)


def test_models_show(cli, tiny_llama, tmp_path):
    golden = Path(__file__).parent / "models" / "golden"
    shown = cli("models", "show", golden / "mom").stdout
    assert "mom: mom-gated_deltanet, 2 layers of 32, 64 tokens, float32" in shown
    assert "parameters  37,832, of which a token uses 29,128" in shown
    rows = json.loads(cli("models", "show", golden / "g[sl]a", "--json").stdout)
    assert [row["label"] for row in rows] == ["gla", "gsa"]
    other = cli("models", "show", tiny_llama)
    assert other.exit_code == 1
    assert "is of no layout that our own models know" in other.stderr
    pickle = tmp_path / "pickle"
    pickle.mkdir()
    (pickle / "config.json").write_text((golden / "gla" / "config.json").read_text())
    torch.save(load_file(golden / "gla" / "model.safetensors"), pickle / "pytorch_model.bin")
    refused = cli("models", "show", pickle)
    assert refused.exit_code == 1
    assert "--allow-pickle reads it" in refused.stderr
    assert "pickle: gla, 2 layers" in cli("models", "show", pickle, "--allow-pickle").stdout


def test_without_data_the_sample_is_announced(cli, tiny_llama, tmp_path):
    result = cli(
        "run", "--tasks", "nq", "--model", tiny_llama, "--limit", 1, "--out", tmp_path / "runs"
    )
    assert result.exit_code == 0
    assert "the questions are the embedded synthetic sample" in result.stderr


ERRORS = {
    "task": (["--tasks", "fdaa"], "did you mean fda"),
    "model": (["--model", "./no/such"], "there is no model at ./no/such"),
    "hub": (["--model", "owner/none"], "the hub cannot be reached"),
    "data": (["--data", "/no/such/folder"], "there is no folder /no/such/folder"),
    "prepared": (["--data", "hub"], "mom-eval data prepare"),
    "context": (["--context-length", "60"], "leaves no room beside an answer of 48"),
    "limit": (["--context-length", "9000"], "was made for 4096 tokens"),
    "depth": (["--haystack", "500"], "belong together"),
    "haystack": (["--tasks", "fda", "--haystack", "500", "--depth", "0"], "no haystack holds"),
    "lm-eval": (["--tasks", "lm-eval:no_such.yaml"], "no such YAML file"),
    "device": (["--device", "abacus"], "do not run on a device 'abacus'"),
    "meta": (["--device", "meta"], "do not run on a device 'meta'"),
    "vulkan": (["--device", "vulkan"], "do not run on a device 'vulkan'"),
    "length": (
        ["--haystack", "500", "--depth", "0", "--context-length", "2048"],
        "leave --context-length out",
    ),
    "data-dir": (["--data-dir", "."], "give one of them"),
    "out": (["--out", "/dev/null"], "a file stands where a folder is needed"),
    "below": (["--out", "/dev/null/runs"], "a file stands where a folder is needed"),
    "name": (["--out", "x" * 300], "cannot be used"),
    "gpu": (["--device", "cuda:7"], "torch sees no GPU here"),
    "tokenizer": (["--tokenizer", "/no/tokenizer"], "no tokenizer could be loaded"),
}


@pytest.mark.parametrize(("words", "sentence"), ERRORS.values(), ids=ERRORS)
def test_bad_input_is_one_sentence_and_exit_1(cli, tiny_llama, tmp_path, words, sentence):
    base = {
        "--tasks": "nq",
        "--model": tiny_llama,
        "--data": "sample",
        "--limit": 1,
        "--out": tmp_path / "runs",
    }
    for name, value in zip(words[::2], words[1::2], strict=True):
        base[name] = value
    result = cli("run", *(word for pair in base.items() for word in pair))
    assert result.exit_code == 1, result.output
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert sentence in last
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--batch-size", "none"],
        ["run", "--batch-size", "²"],
        ["run", "--context-length", "a,b"],
        ["run", "--nonsense"],
        ["leaderboard"],
        ["ppl", "M"],
        ["ppl", "M", "--text", "t", "--lengths", "a"],
        ["routing"],
    ],
)
def test_usage_errors_exit_2(cli, words):
    assert cli(*words).exit_code == 2


def test_an_interruption_exits_130(cli, tiny_llama, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mom_eval.evalsuite.evaluate.execute", interrupt)
    result = cli(
        "run",
        "--tasks",
        "nq",
        "--data",
        "sample",
        "--model",
        tiny_llama,
        "--out",
        tmp_path / "runs",
    )
    assert result.exit_code == 130
    assert "goes on where it stopped" in result.stderr


def test_leaderboard_of_nothing(cli, tmp_path):
    result = cli("leaderboard", tmp_path)
    assert result.exit_code == 1
    assert "no run was found" in result.stderr


def test_data_commands(cli, tmp_path):
    assert json.loads(cli("data", "list", "--json").stdout) == []
    assert "mom-eval data prepare" in cli("data", "list").stderr
    rows = json.loads(cli("data", "check", "--data", "sample", "--json").stdout)
    assert [row["ok"] for row in rows] == [True] * 6
    (tmp_path / "fda.jsonl").write_text('{"key": "panel"}\n')
    wrong = cli("data", "check", "--data", tmp_path)
    assert wrong.exit_code == 1
    assert "fda.jsonl, line 1" in wrong.stdout
    theirs = cli("data", "prepare", "--tasks", "lm-eval:triviaqa")
    assert theirs.exit_code == 1
    assert "lm-eval fetches the data of its own tasks" in theirs.stderr
    offline = cli("data", "prepare")
    assert offline.exit_code == 1
    assert len(offline.stderr.strip().splitlines()) == 1


def test_doctor_has_a_line_for_everything(cli):
    rows = json.loads(cli("doctor", "--json").stdout)
    assert {row["what"] for row in rows} >= {"mom-eval", "torch", "device", "triton", "data", "hub"}
    assert all(row["state"] in ("ok", "note", "fault") for row in rows)
    assert all(row["do"] for row in rows if row["state"] != "ok")
    assert len(cli("doctor").stdout.splitlines()) == len(rows)


@pytest.mark.parametrize(
    ("found", "hopper", "state", "said"),
    [
        ("3.6.0", None, "ok", "3.6.0"),
        ("3.6.0", True, "note", "known to compile some products wrong"),
        ("3.7.1", True, "note", "known to compile some products wrong"),
        ("3.7.2", True, "note", "checked with 3.6 on an H200"),
        ("3.6.0", False, "note", "checked with 3.6 on an H200"),
        ("3.10.0+git1", True, "note", "checked with 3.6 on an H200"),
        ("3.5.1", True, "fault", "kernels need 3.6"),
    ],
)
def test_doctor_names_a_triton_that_is_known_to_be_wrong(found, hopper, state, said):
    line = triton_line(found, hopper)
    assert (line["state"], said in line["found"]) == (state, True)
    assert ("bench op --check" in line["do"]) == (state == "note")
    assert ("our kernels do without" in line["do"]) == ("wrong" in said)


def test_doctor_finds_faults_of_the_data_folder(cli, tmp_path, monkeypatch):
    def found():
        rows = json.loads(cli("doctor", "--json").stdout)
        (row,) = [row for row in rows if row["what"] == "data"]
        return row["state"], row["found"]

    monkeypatch.setenv("MOM_EVAL_DATA", str(tmp_path / "nowhere"))
    assert found() == ("fault", f"there is no folder {tmp_path}/nowhere")
    monkeypatch.setenv("MOM_EVAL_DATA", str(tmp_path))
    assert found()[0] == "note"
    (tmp_path / "manifest.json").write_text("{")
    state, text = found()
    assert state == "fault"
    assert "manifest.json" in text


def test_help_of_every_command_and_short_form(cli):
    for words in (
        [],
        ["run"],
        ["tasks"],
        ["models"],
        ["models", "show"],
        ["data"],
        ["data", "prepare"],
        ["leaderboard"],
        ["ppl"],
        ["routing"],
        ["doctor"],
    ):
        short, long = cli(*words, "-h"), cli(*words, "--help")
        assert short.exit_code == 0
        assert short.output == long.output
    assert "Shell completion" in cli("-h").output


def test_no_progress_bar_where_stderr_is_no_terminal(tiny_llama, tmp_path):
    command = [
        sys.executable,
        "-m",
        "mom_eval",
        "run",
        "--tasks",
        "nq",
        "--data",
        "sample",
        "--limit",
        "2",
    ]
    done = subprocess.run(
        [*command, "--model", str(tiny_llama), "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line for line in done.stderr.splitlines() if not line.startswith("wrote ")] == []
    assert not re.search(r"\r|it/s", done.stderr)


@pytest.mark.parametrize(("given", "then"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_do_not_spin_while_they_wait_unless_told(given, then):
    """Set before a command loads torch, which reads it then."""
    code = (
        "import atexit, os, sys\n"
        "from mom_eval.cli import main\n"
        "atexit.register(lambda: print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules))\n"
        "main(['runs', '--help'])"
    )
    free = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    env = free if given is None else free | {"OMP_WAIT_POLICY": given}
    words = [sys.executable, "-c", code]
    shown = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == f"{then} False"
