"""The gate's proof: every damage damages and leaves nothing behind; tables are written."""

import pytest
import torch
from click.testing import CliRunner

from tests.house.scripts import script

gate_proof = script("gate_proof")


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


def proof(*words):
    return CliRunner().invoke(gate_proof.main, [str(word) for word in (*words, "--device", "cpu")])


def test_tables_are_written_and_a_second_call_goes_on(tiny_mom, tmp_path, monkeypatch):
    two = dict(list(gate_proof.DAMAGES.items())[:2])
    monkeypatch.setattr(gate_proof, "DAMAGES", two)
    words, threads = [tiny_mom, "--questions", 1, "--out", tmp_path], torch.get_num_threads()
    result = proof(*words, "--repeats", 1)
    assert result.exit_code == 0, result.output
    text = (tmp_path / "proof.md").read_text()
    assert text.count("| tiny-mom |") == 2
    assert "1 clean repeats: 0 alarms. Of 6 answers" in text

    damages, repeats = (tmp_path / f"{name}.csv" for name in ("damages", "repeats"))
    first = repeats.read_text().splitlines()
    lines = damages.read_text().splitlines()
    damages.write_text("\n".join(lines[:2]) + "\n")  # stopped behind the first damage
    result = proof(*words, "--repeats", 2)
    assert result.exit_code == 0, result.output
    assert torch.get_num_threads() == threads
    assert len(result.stderr.splitlines()) == 2, "a damage and a repeat were left"
    assert damages.read_text().splitlines()[:2] == lines[:2]
    assert (tmp_path / "proof.md").read_text().count("| tiny-mom |") == 2
    assert repeats.read_text().splitlines()[:2] == first
    assert "2 clean repeats: 0 alarms. Of 12 answers" in (tmp_path / "proof.md").read_text()


def test_results_of_others_are_not_mixed(tiny_mom, tmp_path):
    (tmp_path / "repeats.csv").write_text("repeat,alarms,asked\n0,0,40 of others\n")
    result = proof(tiny_mom, "--questions", 1, "--repeats", 1, "--out", tmp_path)
    assert result.exit_code == 1
    assert "is of other models or another number of questions" in result.stderr
