"""Every family learns MQAR on a CPU in minutes, or is listed with the reason why not."""

import csv
from pathlib import Path

import pytest

from mom_eval.evalsuite.train import read, train

CONFIGS = sorted((Path(__file__).resolve().parents[3] / "configs" / "mqar").glob("*.toml"))
CANNOT = {
    "linear_attn": "no short convolution and no positions: what follows a key is not to be known",
}


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_answers_over_95_percent_of_the_queries(path, tmp_path):
    train(read(path), tmp_path / "out", path, say=lambda text: None)
    with (tmp_path / "out" / "heldout.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert last["source"] == "mqar 64/4"
    assert (float(last["accuracy"]) > 0.95) == (path.stem not in CANNOT)
