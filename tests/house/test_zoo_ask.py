"""The script that asks the zoo: who is asked what, kept once, and not again."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from mom_eval.models import LM, AttentionOptions, Memories, ModelConfig, save
from mom_eval.models.families.gla import GLA
from tests.house.scripts import script

zoo_ask = script("zoo_ask")
SHAPE = {"vocab_size": 32, "hidden_size": 16, "num_layers": 1, "max_positions": 2048}
GATED = SHAPE | {"family": "gla", "options": GLA.Options(num_heads=1)}
HEADS = AttentionOptions(num_heads=1, num_kv_heads=1, head_dim=16)
MODELS = {
    "small-gla": ModelConfig(**GATED),
    "ablations-mom": ModelConfig(**GATED, memories=Memories(num_memories=2, top_k=1)),
    "small-transformer": ModelConfig(**SHAPE, attention=HEADS, attention_layers=(0,)),
}


@pytest.fixture
def models(tmp_path):
    """Their folders; what attends is made for 2,048 tokens."""
    torch.manual_seed(0)
    return [str(save(LM(config), tmp_path / name)) for name, config in MODELS.items()]


@pytest.fixture
def asked(monkeypatch):
    """(way, model) -> options of commands; each leaves a run, and one of a row made by code, or a
    table. One whose folder is in `refused` fails."""

    def run(words, stdout, **_):
        folder = Path(words[words.index("--out") + 1])
        run.asked[folder.parent.name, folder.name] = " ".join(words)
        if "--data" in words and "sample" not in words:
            assert Path(words[words.index("--data") + 1]).is_dir()
        if folder.name in run.refused:
            stdout.write("no")
            return zoo_ask.subprocess.CompletedProcess(words, 1)
        labels = [""] if words[3] in zoo_ask.TABLES else [folder.name, "head"]
        for label in labels:
            (folder / label).mkdir(parents=True)
            (folder / label / "run.json").write_text(json.dumps({"label": label}))
        return zoo_ask.subprocess.CompletedProcess(words, 0)

    run.asked, run.refused = {}, set()
    monkeypatch.setattr(zoo_ask.subprocess, "run", run)
    return run


def ask(models, tmp_path, *words):
    data = tmp_path / "local data"
    data.mkdir(exist_ok=True)
    command = [*models, "--data", str(data), "--out", str(tmp_path / "runs"), *words]
    return CliRunner().invoke(zoo_ask.main, command)


def test_each_is_asked_what_it_can_be_and_once(models, asked, tmp_path):
    assert ask(models, tmp_path).exit_code == 0
    ways = {name: {way for way, model in asked.asked if model == name} for name in MODELS}
    assert ways["small-gla"] == {"paper", "full", "sample", "sample-full", "haystack", "mqar"}
    assert ways["small-transformer"] == ways["small-gla"]
    assert "routing" in ways["ablations-mom"]
    assert "ablations" in ways["ablations-mom"]
    assert "paper" not in ways["ablations-mom"]
    assert f"--data {tmp_path / 'local data'} " in asked.asked["paper", "small-gla"]
    assert "--context-length 2048,8192 " in asked.asked["full", "small-gla"]
    assert "--context-length 2048 " in asked.asked["full", "small-transformer"]
    assert "--haystack 512,1024 " in asked.asked["haystack", "small-transformer"]
    found = {path.name for path in (tmp_path / "runs" / "paper").iterdir()}
    assert found == {"small-gla", "small-transformer", "head"}
    assert (tmp_path / "runs" / "mqar" / "small-gla").is_dir()
    asked.asked.clear()
    assert ask(models, tmp_path).exit_code == 0
    assert not asked.asked


def test_what_failed_is_told_and_asked_again(models, asked, tmp_path):
    asked.refused.add("small-gla")
    done = ask(models, tmp_path, "--ways", "paper")
    assert done.exit_code == 1
    assert "not asked: paper of small-gla; see their .log in" in done.output
    log = tmp_path / "runs" / ".asking" / "paper" / "small-gla.log"
    assert log.read_text() == "no"
    asked.refused.clear()
    asked.asked.clear()
    assert ask(models, tmp_path, "--ways", "paper").exit_code == 0
    assert [*asked.asked] == [("paper", "small-gla")]


def test_what_is_no_checkpoint_is_one_sentence(asked, tmp_path):
    (tmp_path / "empty").mkdir()
    done = ask([str(tmp_path / "empty")], tmp_path)
    assert done.exit_code == 1
    assert done.output.startswith("Error: config.json in empty cannot be read")
    assert not asked.asked


def test_an_unknown_way_is_refused(models, tmp_path):
    done = ask(models, tmp_path, "--ways", "papers")
    assert done.exit_code == 1
    assert "no way 'papers'; known: paper, ablations, full" in done.output
