"""A real pretrained model, SmolLM2-135M of scripts/fetch_smollm2.py. Slow: minutes on two cores."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mom_eval import evaluate
from mom_eval.results.store import read_run, read_runs

GGUF = Path(__file__).parents[2] / ".cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not GGUF.exists(), reason="python scripts/fetch_smollm2.py fetches the model"
    ),
]


def model_run(out):
    (run,) = [run for run in read_runs([out]) if run.info["kind"] == "model"]
    return run


def outputs(run):
    return {line["id"]: line["output"] for lines in run.questions.values() for line in lines}


def test_batch_sizes_1_and_8_give_the_same_50_answers(tmp_path):
    asked = {"tasks": "squad,nq,drop,swde,fda", "data": "sample", "limit": 10, "dtype": "float32"}
    one, eight = (
        evaluate(f"m={GGUF}", batch_size=size, out=tmp_path / str(size), **asked).attrs["runs"]
        for size in (1, 8)
    )
    a, b = (outputs(read_run(folders[-1])) for folders in (one, eight))
    assert len(a) == 50
    assert a == b


def test_killed_twenty_times(tmp_path):
    command = [
        *(sys.executable, "-m", "mom_eval", "run", "--tasks", "squad,nq,drop", "--data", "sample"),
        *("--model", f"m={GGUF}", "--limit", "40", "--batch-size", "2", "--out"),
    ]
    whole = subprocess.run([*command, str(tmp_path / "whole")], capture_output=True, check=True)
    assert whole.returncode == 0
    draw = random.Random(0)
    out = tmp_path / "killed"
    for kill in range(20):
        process = subprocess.Popen(
            [*command, str(out)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        have, deadline = lines_in(out), time.monotonic() + 300
        # The first answers of a start take long to come; then the kill falls at a random moment.
        while lines_in(out) <= have + (6 if kill == 0 else 0) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(draw.random())
        process.kill()
        process.communicate()
    subprocess.run([*command, str(out)], capture_output=True, check=True)
    run = model_run(out)
    assert run.info["finished"]
    ids = [line["id"] for lines in run.questions.values() for line in lines]
    assert len(ids) == len(set(ids)) == 120
    assert outputs(run) == outputs(model_run(tmp_path / "whole"))


def lines_in(out):
    return sum(path.read_bytes().count(b"\n") for path in out.glob("*/*.jsonl"))
