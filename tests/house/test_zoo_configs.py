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


def test_all_learn_alike():
    folders = (*SIZES, "budgets")
    texts = {
        path.read_text("utf-8").split("[train]")[1]
        for folder in folders
        for path in (ZOO / folder).glob("*.toml")
    }
    assert len(texts) == 1


def test_an_ablation_changes_what_it_is_named_after(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO", str(tmp_path))
    base = (ZOO / "small" / "mom-gated-deltanet.toml").read_text("utf-8").splitlines()[1:]
    changed = {}
    for path in (ZOO / "ablations").glob("*.toml"):
        read(path)
        lines = path.read_text("utf-8").splitlines()[1:]
        changed[path.stem] = sorted(set(lines) - set(base))
    assert changed == {
        "memories-1": ["num_memories = 1", "top_k = 1"],
        "memories-2": ["num_memories = 2"],
        "memories-8": ["num_memories = 8"],
        "top-1": ["top_k = 1"],
        "unshared": ["shared = false"],
        "common-kv": ["common_kv = true"],
        "balance-0": ["balance = 0.0"],
        "balance-0.001": ["balance = 0.001"],
    }


@pytest.mark.parametrize("size", SIZES)
def test_budgets_are_those_of_the_mixture(size, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO", str(tmp_path))
    mixture = cost(read(ZOO / size / "mom-gated-deltanet.toml").model)
    activated, state = (
        cost(read(ZOO / "budgets" / f"gated-deltanet-{of}-{size}.toml").model)
        for of in ("activated", "state")
    )
    assert activated.parameters == pytest.approx(mixture.activated, rel=5e-3)
    assert state.parameters == pytest.approx(mixture.parameters, rel=5e-3)
    assert state.state_bytes == pytest.approx(mixture.state_bytes, rel=0.05)
