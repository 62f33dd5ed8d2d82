"""The script that trains the zoo: the last checkpoint is kept, and what failed is told."""

import pytest
from click.testing import CliRunner

from mom_eval.evalsuite.train.sources import MqarSource
from tests.evalsuite.train.conftest import SMALL
from tests.house.scripts import script

zoo_train = script("zoo_train")


@pytest.fixture
def configs(tmp_path, monkeypatch):
    """Two, of which `bad` fails; a training leaves two checkpoints."""
    folder = tmp_path / "small"
    folder.mkdir()

    def train(config, folder, gpu, cores):
        assert cores
        for step in (5, 999_999, 1_000_000):
            (folder / f"step-{step:06d}").mkdir()
            (folder / f"step-{step:06d}" / "step").write_text(str(step))
        return int("bad" in config.name)

    monkeypatch.setattr(zoo_train, "_train", train)
    monkeypatch.setattr(zoo_train, "_make_documents", lambda asked: list(asked))
    monkeypatch.setattr(zoo_train.os, "sched_getaffinity", lambda _: {0})
    for name in ("good", "bad"):
        (folder / f"{name}.toml").write_text("rate = 1\n")
    return [str(folder / f"{name}.toml") for name in ("good", "bad")]


def run(*words):
    return CliRunner().invoke(zoo_train.main, [str(word) for word in words])


def test_the_last_checkpoint_is_kept_and_what_failed_is_told(configs, tmp_path):
    result = run(*configs, "--out", tmp_path / "out", "--gpus", "0")
    assert result.exit_code == 1
    assert "not trained: small-bad; see their .log" in result.output
    models = tmp_path / "out" / "models"
    assert [path.name for path in models.iterdir()] == ["small-good"]
    assert (models / "small-good" / "step").read_text() == "1000000"
    again = run(*configs, "--out", tmp_path / "out", "--gpus", "0")
    assert again.exit_code == 0
    assert again.output.count("so it is not trained again") == 2


def test_another_value_is_another_model(configs, tmp_path):
    words = [configs[0], "--out", tmp_path / "out", "--gpus", "0", "--set", "rate=1e-3,2e-3"]
    assert run(*words).exit_code == 0
    assert (tmp_path / "out" / "small-good-rate-2e-3.toml").read_text() == "rate = 2e-3\n"
    wrong = run(configs[0], "--out", tmp_path / "out", "--gpus", "0", "--set", "steps=2")
    assert "sets steps 0 times; once can be changed" in wrong.output


def test_without_a_gpu_that_is_said(configs, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo_train.torch.cuda, "device_count", lambda: 0)
    result = run(configs[0], "--out", tmp_path / "out")
    assert (result.exit_code, "no GPU is there" in result.output) == (1, True)


def test_what_several_read_is_made_once(tmp_path, monkeypatch, capsys):
    made = []

    def reader(source, tokens, vocab, seed, *, heldout):
        made.append((source.length, source.pairs, vocab, seed, heldout))

    monkeypatch.setattr(MqarSource, "reader", reader)
    paths = [tmp_path / f"{name}.toml" for name in "abc"]
    for path in paths[:2]:
        path.write_text(SMALL, "utf-8")
    paths[2].write_text(SMALL.replace("[train]", "[train]\nseed = 1"), "utf-8")
    zoo_train._make_documents(paths)
    once = [(16, 2, 40, 0, False), (24, 3, 40, 0, False), (16, 2, 40, 0, True)]
    assert made == once + [(length, pairs, 40, 1, held) for length, pairs, _, _, held in once]
    assert capsys.readouterr().out.startswith("6 sources read in ")


def test_a_config_that_cannot_be_read_keeps_no_other_from_training(tmp_path, capsys):
    """Nor does one that goes on with a checkpoint, whose tokenizer is not known yet."""
    (tmp_path / "bad.toml").write_text("[train]\nsteps = 0\n", "utf-8")
    begin, end = SMALL.index("[model]"), SMALL.index("[train]")
    (tmp_path / "on.toml").write_text(f'start = "ckpt"\n{SMALL[:begin]}{SMALL[end:]}', "utf-8")
    (tmp_path / "good.toml").write_text(SMALL, "utf-8")
    zoo_train._make_documents(tmp_path / f"{name}.toml" for name in ("bad", "on", "good"))
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("bad: ")
    assert last.startswith("3 sources read in ")


def test_nothing_is_made_for_what_is_trained_already(configs, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(zoo_train, "_make_documents", asked.extend)
    (tmp_path / "out" / "small-good").mkdir(parents=True)
    run(*configs, "--out", tmp_path / "out", "--gpus", "0")
    assert [path.stem for path in asked] == ["small-bad"]
