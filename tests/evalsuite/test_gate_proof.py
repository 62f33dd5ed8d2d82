"""The gate's proof: every damage damages and leaves nothing behind; tables are written."""

import importlib.util
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

PATH = Path(__file__).resolve().parents[2] / "scripts" / "gate_proof.py"
spec = importlib.util.spec_from_file_location("gate_proof", PATH)
assert spec is not None
assert spec.loader is not None
gate_proof = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gate_proof)


@pytest.mark.parametrize("name", gate_proof.DAMAGES)
def test_a_damage_changes_the_model_for_a_while(mom, name):
    ids = torch.arange(60)
    with torch.inference_mode():
        before = mom(ids).logits
        with gate_proof.damaged(mom, gate_proof.DAMAGES[name]) as applies:
            assert applies
            assert not torch.allclose(mom(ids).logits, before, atol=1e-3)
        assert torch.equal(mom(ids).logits, before)


def test_what_a_model_has_not_cannot_be_damaged(transformer):
    applies = {}
    for name, damage in gate_proof.DAMAGES.items():
        with gate_proof.damaged(transformer, damage) as applied:
            applies[name] = applied
    assert list(applies.values()) == [True, True, False, False]


def test_tables_are_written(tiny_mom, tmp_path):
    words = [tiny_mom, "--questions", 1, "--repeats", 1, "--device", "cpu", "--out", tmp_path]
    result = CliRunner().invoke(gate_proof.main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    text = (tmp_path / "proof.md").read_text()
    assert text.count("| tiny-mom |") == len(gate_proof.DAMAGES)
    assert "1 clean repeats: 0 alarms. Of 6 answers" in text
    assert len((tmp_path / "repeats.csv").read_text().splitlines()) == 2
