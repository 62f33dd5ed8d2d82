"""The loop: what a step computes, and that a kill leaves no trace in the curves."""

import csv
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from mom_eval.errors import ModelError, RunError, SettingError
from mom_eval.evalsuite.train import Interrupted, read, train
from mom_eval.evalsuite.train.documents import Reader
from mom_eval.evalsuite.train.folder import Folder
from mom_eval.evalsuite.train.heldout import Heldout
from mom_eval.evalsuite.train.loop import Stop, Trainer
from mom_eval.evalsuite.train.optimizer import decayed
from mom_eval.models import LM, load, save
from mom_eval.models.balance import load_balance, z_loss
from tests.models.shapes import CASES, new_model


def curve(folder, name="loss.csv"):
    """The lines of a curve without their speed."""
    with (folder / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: row[key] for key in row if key != "tokens_per_second"} for row in rows]


def trained(path, out, **options):
    said = []
    result = train(read(path), out, path, say=said.append, **options)
    return result, said


def trainer(config, tmp_path, lm=None):
    lm = LM(config.model) if lm is None else lm
    torch.manual_seed(0)
    lm.reset_parameters()
    tmp_path.mkdir(exist_ok=True)
    return Trainer(config, lm, None, Folder(tmp_path), "cpu", print)


def test_a_training_writes_curves_a_plot_and_checkpoints_that_load(small, tmp_path):
    result, said = trained(small(), tmp_path / "out")
    out = tmp_path / "out"
    assert result == (12, out / "step-000012")
    assert {path.name for path in out.iterdir()} == {
        "config.toml", "loss.csv", "heldout.csv", "loss.png", "loss.svg", "resume.safetensors",
        "step-000004", "step-000008", "step-000012",
    }  # fmt: skip
    rows = curve(out)
    assert [int(row["step"]) for row in rows] == list(range(1, 13))
    assert float(rows[0]["loss"]) == pytest.approx(math.log(40), abs=0.2)
    assert [row["step"] for row in curve(out, "heldout.csv")] == ["5", "10", "12"]
    assert said[0].startswith("step 5  mqar 16/2: held-out loss 3.")
    assert load(result.checkpoint).config.memories is not None


def test_a_step_is_the_gradient_of_the_mean_over_all_labels(config, tmp_path):
    """Against plain autograd and torch's AdamW over the same documents in one batch."""
    one = trainer(config(), tmp_path / "a")
    again = trainer(config(), tmp_path / "b")
    batches = [again.mixture.batch(96) for _ in range(2)]
    lm = again.lm
    adam = torch.optim.AdamW(
        [
            {"params": [p for p in lm.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in lm.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=1e-2 / 3,
        betas=(0.9, 0.95),
    )
    outs = [lm(batch.tokens, batch.cu_seqlens, at=batch.at) for batch in batches]
    logits = torch.cat([out.logits for out in outs])
    loss = F.cross_entropy(logits, torch.cat([batch.labels for batch in batches]))
    extra = sum(0.01 * load_balance(o.routing) + 0.001 * z_loss(o.routing) for o in outs) / 2
    (loss + extra).backward()
    norm = torch.nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
    adam.step()
    losses, found = one.step(1, Stop())
    assert losses.loss == pytest.approx(loss.item(), rel=1e-5)
    assert losses.balance == pytest.approx(extra.item(), rel=1e-5)
    assert found == pytest.approx(float(norm), rel=1e-4)
    for name, parameter in one.lm.named_parameters():
        torch.testing.assert_close(parameter, dict(lm.named_parameters())[name], atol=2e-5, rtol=0)


def test_a_training_that_recomputes_is_the_same_training(small, tmp_path):
    trained(small(), tmp_path / "kept")
    again = small(("[train]", "[train]\nrecompute = true"), name="again.toml")
    trained(again, tmp_path / "again")
    for name in ("loss.csv", "heldout.csv"):
        assert curve(tmp_path / "kept", name) == curve(tmp_path / "again", name)


def test_a_configuration_says_whether_layers_run_anew(config, tmp_path, monkeypatch):
    from mom_eval.evalsuite.train import loop

    for value in ("true", "false"):
        asked = config(("[train]", f"[train]\nrecompute = {value}"))
        lm, _ = loop._model(asked, "cpu", None)
        assert lm.recompute is (value == "true")


def test_documents_do_not_see_each_other(config, tmp_path):
    """What is asked of a packed batch is what its documents say one by one."""
    one = trainer(config(), tmp_path)
    batch = one.mixture.batch(96)
    packed = one.lm(batch.tokens, batch.cu_seqlens, at=batch.at).logits
    alone = []
    for begin, end in pairwise(batch.cu_seqlens.tolist()):
        at = batch.at[(batch.at >= begin) & (batch.at < end)] - begin
        alone.append(one.lm(batch.tokens[begin:end], at=at).logits)
    assert len(alone) > 1
    torch.testing.assert_close(packed, torch.cat(alone))


def test_what_is_held_out_is_not_trained_on_and_comes_once(config, tmp_path):
    one = trainer(config(), tmp_path)
    (batches,) = one.heldout.batches.values()
    held = [tuple(ids) for batch in batches for ids in batch.tokens.reshape(-1, 16).tolist()]
    assert len(held) == len(set(held)) == 64 // 16
    first = one.mixture.readers[0]
    read = {tuple(first.document(number).tokens.tolist()) for number in range(512)}
    assert not read & set(held)
    ended = SimpleNamespace(name="a", reader=lambda *_, **__: Reader(3, first.document))
    (batches,) = Heldout([ended], None, 40, config().train).batches.values()
    assert sum(len(batch.tokens) for batch in batches) == 3 * 16


def test_held_out_sources_of_one_name_are_told_apart(small, tmp_path):
    twice = '[[heldout]]\nkind = "mqar"\nlength = 16\npairs = 2\n'
    trained(small(("[[heldout]]", twice * 2 + "[[heldout]]")), tmp_path / "out")
    names = [row["source"] for row in curve(tmp_path / "out", "heldout.csv")]
    assert names[:3] == ["mqar 16/2", "mqar 16/2 2", "mqar 16/2 3"]


def test_bfloat16_keeps_steps_that_it_could_not_hold(config, tmp_path):
    small = config(("rate = 1e-2", "rate = 1e-5"), ('device = "cpu"', 'dtype = "bfloat16"'))
    lm = LM(small.model).to(torch.bfloat16)
    one = trainer(small, tmp_path, lm)
    before = {name: weight.clone() for name, weight in one.optimizer.weights.items()}
    for step in (1, 2, 3):
        losses, _ = one.step(step, Stop())
        assert math.isfinite(losses.loss)
    changed = [not torch.equal(before[name], w) for name, w in one.optimizer.weights.items()]
    assert all(changed)
    for name, parameter in lm.named_parameters():
        assert parameter.dtype == torch.bfloat16
        assert torch.equal(parameter, one.optimizer.weights[name].bfloat16())


def test_bfloat16_keeps_what_gates_are_made_of_in_float32_as_evaluation_does(small, tmp_path):
    result, _ = trained(small(('device = "cpu"', 'dtype = "bfloat16"')), tmp_path / "out")
    held = load_file(result.checkpoint / "model.safetensors")
    kinds = {name.rsplit(".", 1)[-1]: tensor.dtype for name, tensor in held.items()}
    assert kinds["A_log"] == kinds["dt_bias"] == torch.float32
    assert kinds["weight"] == torch.bfloat16


@pytest.mark.parametrize("case", ["gla-4", "hgrn2-1", "kda-4", "mamba2-1", "transformer"])
def test_norms_biases_and_decays_are_not_decayed(case):
    lm = new_model(CASES[case])
    kept = ("norm.weight", "A_log", "dt_bias", "D", "lower_bounds")
    names = [name for name, weight in lm.named_parameters() if not decayed(name, weight)]
    assert names == [
        name for name, _ in lm.named_parameters() if name.endswith(kept) or "bias" in name
    ]


def test_a_gradient_that_is_no_number_changes_no_weight(config, tmp_path):
    one = trainer(config(), tmp_path)
    before = {name: weight.clone() for name, weight in one.optimizer.weights.items()}
    one.lm.norm.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(RunError, match="the gradients' norm is no number at step 1; take a lower"):
        one.step(1, Stop())
    assert all(torch.equal(before[name], w) for name, w in one.optimizer.weights.items())


def test_killed_and_resumed_gives_the_same_bits(small, tmp_path):
    path = small(("steps = 12", "steps = 40"), ("hidden_size = 16", "hidden_size = 48"))
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    trained(path, whole)
    command = [sys.executable, "-m", "mom_eval", "train", str(path), "--out", str(torn)]
    for lines in (7, 18):
        process = subprocess.Popen([*command, "--resume"], stderr=subprocess.PIPE)
        wait_for_lines(torn / "loss.csv", lines, process)
        process.kill()
        process.wait()
        assert not (torn / "step-000040").exists(), "the training was over before it was killed"
    subprocess.run([*command, "--resume"], check=True, capture_output=True)
    assert curve(torn) == curve(whole)
    assert curve(torn, "heldout.csv") == curve(whole, "heldout.csv")
    for name in ("resume.safetensors", "step-000040/model.safetensors"):
        first, second = load_file(whole / name), load_file(torn / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


def wait_for_lines(path, lines, process):
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_step_and_saves(config, small, tmp_path, number, monkeypatch):
    step = Trainer.step

    def interrupted(self, place, stop):
        if place == 6:
            os.kill(os.getpid(), number)
        return step(self, place, stop)

    monkeypatch.setattr(Trainer, "step", interrupted)
    path, before = small(), signal.getsignal(number)
    with pytest.raises(Interrupted, match="stopped and saved after step 6 of 12"):
        trained(path, tmp_path / "out")
    assert signal.getsignal(number) is before
    monkeypatch.undo()
    trained(path, tmp_path / "out", resume=True)
    trained(path, tmp_path / "whole")
    assert curve(tmp_path / "out") == curve(tmp_path / "whole")


def test_a_folder_is_gone_on_with_only_by_the_same_configuration(small, tmp_path):
    path, out = small(), tmp_path / "out"
    result, _ = trained(path, out, resume=True)
    with pytest.raises(RunError, match="holds a training; --resume goes on with it"):
        trained(path, out)
    assert trained(path, out, resume=True)[0] == result
    other = small(("rate = 1e-2", "rate = 2e-2"), name="other.toml")
    with pytest.raises(RunError, match=r"by another configuration than .*other.toml"):
        trained(other, out, resume=True)
    (out / "config.toml").unlink()
    for resume in (False, True):
        with pytest.raises(RunError, match=r"holds a training without its config\.toml"):
            trained(path, out, resume=resume)


def test_a_loss_that_is_no_number_ends_the_training_and_keeps_what_was_saved(
    small, tmp_path, monkeypatch
):
    loss = Trainer._loss

    def broken(self, batch, labels):
        part, balance = loss(self, batch, labels)
        return (part * float("nan") if self.read > 96 * 12 else part), balance

    monkeypatch.setattr(Trainer, "_loss", broken)
    with pytest.raises(RunError, match=r"the loss is no number at step \d; take a lower rate"):
        trained(small(), tmp_path / "out")
    weights = load_file(tmp_path / "out" / "resume.safetensors")
    assert all(torch.isfinite(weight).all() for weight in weights.values())


def test_a_checkpoint_can_be_gone_on_from(small, config, tmp_path):
    lm = LM(config().model)
    lm.reset_parameters()
    save(lm, tmp_path / "begin")
    text = small().read_text()
    path = small()
    path.write_text('start = "begin"\n' + text[text.index("[train]") :])
    result, _ = trained(path, tmp_path / "out")
    assert load(result.checkpoint).config == load(tmp_path / "begin").config


def test_a_start_of_another_layout_is_refused(small, tmp_path, tiny_llama):
    path = small()
    text = path.read_text()
    path.write_text(f'start = "{tiny_llama}"\n' + text[text.index("[train]") :])
    with pytest.raises(ModelError, match=r"tiny-llama is of no layout .* cannot be trained on"):
        trained(path, tmp_path / "out")


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(small, tmp_path, tokenizer):
    tokenizer.save_pretrained(tmp_path / "tok")
    path = small(("[model]", 'tokenizer = "tok"\n[model]'))
    with pytest.raises(SettingError, match=r"has 384 tokens and the model's vocabulary 40; set"):
        trained(path, tmp_path / "out")


def test_text_trains_with_its_tokenizer_beside_the_checkpoint(small, tmp_path, tokenizer):
    tokenizer.save_pretrained(tmp_path / "tok")
    (tmp_path / "a.txt").write_text("The device is a blood glucose meter. " * 40)
    path = small(
        ("[model]", 'tokenizer = "tok"\n[model]'),
        ("vocab_size = 40", "vocab_size = 400"),
        ('kind = "mqar"\nlength = 16\npairs = 2', 'kind = "text"\nfile = "a.txt"\nlength = 32'),
    )
    result, _ = trained(path, tmp_path / "out")
    assert (result.checkpoint / "tokenizer.json").exists()


def test_a_profile_is_a_trace_that_a_browser_shows(small, tmp_path):
    _, said = trained(small(), tmp_path / "out", profile=True)
    assert '"traceEvents"' in (tmp_path / "out" / "trace.json").read_text()
    assert any("Self CPU" in text for text in said)
    few = replace(read(small()), train=replace(read(small()).train, steps=4))
    with pytest.raises(SettingError, match="--profile looks at the third to the fifth step; 4 are"):
        train(few, tmp_path / "few", small(), profile=True)
    assert not (tmp_path / "few").exists()
