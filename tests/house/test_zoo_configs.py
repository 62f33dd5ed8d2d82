"""The configurations of the checkpoints that ship: all learn from the same, and are as large."""

from pathlib import Path

import pytest

from mom_eval.evalsuite.train import read
from mom_eval.models.cost import cost

ZOO = Path(__file__).resolve().parents[2] / "configs" / "zoo"
SIZES = {"small": 1.75e6, "medium": 8.0e6}


@pytest.mark.parametrize("size", SIZES)
def test_models_differ_and_nothing_else_does(size, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO", str(tmp_path))
    paths = sorted((ZOO / size).glob("*.toml"))
    assert len(paths) == 11
    assert len({path.read_text("utf-8").split("[train]")[1] for path in paths}) == 1
    for path in paths:
        assert cost(read(path).model).parameters == pytest.approx(SIZES[size], rel=5e-3), path.name


def test_sizes_learn_alike():
    texts = {path.read_text("utf-8").split("[train]")[1] for path in ZOO.glob("*/*.toml")}
    assert len(texts) == 1
