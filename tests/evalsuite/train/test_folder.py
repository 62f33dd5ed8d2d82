"""What a kill, a full disk or a broken file leaves of a training's folder."""

import csv
from functools import partial

import pytest
import torch
from safetensors import SafetensorError

from mom_eval.errors import RunError
from mom_eval.evalsuite.train import folder as module
from mom_eval.evalsuite.train import read, train
from mom_eval.evalsuite.train.folder import Folder
from mom_eval.evalsuite.train.heldout import Heldout
from mom_eval.evalsuite.train.loop import Trainer
from mom_eval.models import load


class Killed(BaseException):
    """Nothing is tidied up behind it."""


def run(path, out, **options):
    return train(read(path), out, path, say=lambda text: None, **options)


def killed(*args, **options):
    raise Killed


def killed_behind(call, *args, **options):
    call(*args, **options)
    raise Killed


@pytest.mark.parametrize("name", ["checkpoint", "save"])
def test_a_kill_while_a_checkpoint_is_written_is_gone_on_from(small, tmp_path, name, monkeypatch):
    path, out = small(), tmp_path / "out"
    if name == "checkpoint":
        monkeypatch.setattr(module, "save", partial(killed_behind, module.save))
    else:
        monkeypatch.setattr(Folder, "save", killed)
    with pytest.raises(Killed):
        run(path, out)
    assert (out / "step-000004").exists() == (name == "save")
    monkeypatch.undo()
    run(path, out, resume=True)
    run(path, tmp_path / "whole")
    first, whole = (load(one / "step-000004").state_dict() for one in (out, tmp_path / "whole"))
    assert all(torch.equal(first[key], whole[key]) for key in whole)
    assert not list(out.glob(".*")) + list(out.glob("*.new"))


def test_a_kill_while_curves_are_cut_loses_none(small, tmp_path, monkeypatch):
    path, out = small(), tmp_path / "out"
    run(path, out)
    before = (out / "loss.csv").read_bytes()
    monkeypatch.setattr(csv.DictWriter, "writerows", killed)
    with pytest.raises(Killed):
        run(path, out, resume=True)
    assert (out / "loss.csv").read_bytes() == before


def test_half_a_line_is_forgotten(tmp_path):
    folder = Folder(tmp_path)
    folder.cut(0)
    for step in (1, 2, 3):
        folder.add("heldout.csv", {"step": step, "source": "a"})
    with (tmp_path / "heldout.csv").open("a") as file:
        file.write("1")
    folder.cut(2)
    assert [row["step"] for row in folder.rows("heldout.csv")] == ["1", "2"]
    folder.add("heldout.csv", {"step": 3, "source": "b"})
    assert (tmp_path / "heldout.csv").read_text().endswith("2,,a,,\n3,,b,,\n")


def test_the_folder_s_own_configuration_goes_on_with_it(small, tmp_path):
    out = tmp_path / "out"
    result = run(small(), out)
    assert run(out / "config.toml", out, resume=True) == result


def test_a_full_disk_is_one_sentence_and_the_state_stays(small, tmp_path, monkeypatch):
    path, out = small(), tmp_path / "out"
    run(path, out)
    state = (out / "resume.safetensors").read_bytes()

    def full(*args):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(RunError, match="out: the disk is full; free some room"):
        Folder(out).save({"a": torch.zeros(1)}, {})
    assert (out / "resume.safetensors").read_bytes() == state


def test_a_broken_file_is_one_sentence(small, tmp_path):
    path, out = small(), tmp_path / "out"
    run(path, out)
    (out / "resume.safetensors").write_bytes(b"")
    with pytest.raises(RunError, match=r"resume.safetensors is broken .* name the last checkpoint"):
        run(path, out, resume=True)
    (out / "config.toml").write_text("steps =")
    with pytest.raises(RunError, match="was trained by another configuration"):
        run(path, out, resume=True)


@pytest.mark.parametrize(
    ("owner", "name", "where", "mend"),
    [
        (Trainer, "_loss", "step 1", "recompute = true, or "),
        (Heldout, "measure", "the held-out loss", ""),
    ],
)
def test_out_of_memory_is_one_sentence(small, tmp_path, owner, name, where, mend, monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore.")

    monkeypatch.setattr(owner, name, full)
    mend += "a smaller batch_tokens with a larger accumulate than 96 and 2"
    with pytest.raises(
        RunError, match=f"out of memory at {where}; take {mend}, and another --out$"
    ):
        run(small(), tmp_path / "out")
