"""`bench train`: right gradients are timed, wrong ones refused; peers have the same weights."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from mom_eval.errors import SettingError
from mom_eval.evalsuite.bench import timing, training, verify
from mom_eval.evalsuite.bench.machine import Machine
from mom_eval.evalsuite.bench.presets import PRESETS, model
from mom_eval.evalsuite.bench.reading import loss, read
from mom_eval.evalsuite.bench.sides import Sides
from mom_eval.evalsuite.bench.training import Own, bench_training
from mom_eval.evalsuite.bench.verify import verified_gradients
from mom_eval.models.work import ModelWork, Rates
from mom_eval.results.bench import Measured

BRIEF = {"batch": (1, 2), "lengths": (20,)}


@pytest.fixture(autouse=True)
def _brief(monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    monkeypatch.setattr("mom_eval.evalsuite.bench.rates._SIZES", {"cpu": (64, 1 << 16)})


@pytest.fixture
def machine():
    return Machine.of("cpu", "auto", "auto", 0)


@pytest.fixture
def learner(machine):
    """The tiny MoM, with gradients."""
    return model("mom-tiny", machine)[1].train().requires_grad_(True)


def off(found):
    """How far the peer's loss lies from ours, as the notes say it."""
    differs = next(note for note in found.notes if "differs" in note)
    return float(differs.split(" by ")[1].rstrip("."))


@pytest.mark.parametrize("name", ["mamba2-tiny", "transformer-tiny"])
def test_beside_that_of_transformers(name):
    """With our weights it is the same function, which has the same loss."""
    found = bench_training([name], **BRIEF, against="hf")
    assert [(row.phase, row.batch, row.tokens) for row in found.rows] == [
        ("forward", 1, 20),
        ("train", 1, 20),
        ("forward", 2, 40),
        ("train", 2, 40),
    ]
    assert all(row.ours.ms > 0 and row.peer.ms > 0 for row in found.rows)
    assert off(found) < 1e-6


def test_beside_torch():
    found = bench_training(["mom-tiny"], **BRIEF, against="torch")
    assert off(found) == 0
    assert all(row.peer.ms > 0 for row in found.rows)
    assert "relative error of its gradients 0.0e+00, at most 1.0e-04" in found.notes[0]


def test_a_peer_that_there_is_not():
    found = bench_training(["mom-tiny"], **BRIEF, against="hf")
    assert "mom-tiny: transformers has no mom-gated_deltanet." in found.notes
    assert {row.peer.shown for row in found.rows} == {"none"}


class Peer:
    """Has a loss, but gradients only of what it has tried out."""

    def __init__(self, tokens: int):
        self.weight = torch.ones((), requires_grad=True)
        self.tokens = tokens

    def learning(self):
        return self

    def parameters(self):
        return iter((self.weight,))

    def loss(self, tokens):
        made = self.weight * tokens.float().mean()
        if tokens.numel() != self.tokens:
            made.register_hook(self.fail)
        return made

    def fail(self, gradient):
        raise NotImplementedError("no backward for sm_90")


def test_a_peer_that_cannot_learn_is_a_result(monkeypatch):
    monkeypatch.setattr(training, "peer_model", lambda *_: Peer(2 * 96))
    found = bench_training(["mom-tiny"], **BRIEF, against="hf")
    notes = [row.peer.note for row in found.rows]
    assert notes == ["", "fails here: no backward for sm_90"] * 2
    monkeypatch.setattr(training, "peer_model", lambda *_: Peer(0))
    found = bench_training(["mom-tiny"], **BRIEF, against="hf")
    assert "mom-tiny: transformers fails here: no backward for sm_90." in found.notes
    assert {row.peer.shown for row in found.rows} == {"none"}


def test_wrong_gradients_are_refused(monkeypatch, machine, learner):
    learner.embeddings.weight.register_hook(lambda gradient: 1.01 * gradient)
    sentence = r"mom-tiny in float32 is wrong .* its gradients are off by \d\.\de-03 .* 1\.0e-04 is"
    with pytest.raises(SettingError, match=sentence):
        verified_gradients("mom-tiny", learner, machine)


def test_a_gradient_that_is_missing_or_no_number_is_wrong(machine, learner):
    learner.norm.weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(SettingError, match="its gradients are off by nan"):
        verified_gradients("mom-tiny", learner, machine)
    other = model("mom-tiny", machine)[1].train().requires_grad_(True)
    other.norm.weight.requires_grad_(False)
    reference = verify._reference(other).requires_grad_(True)
    tokens = torch.randint(1000, (2, 20))
    for one in (other, reference):
        loss(one, tokens)[0].backward()
    assert verify._gradient_error(other, reference) > 1e-3


def test_half_precision_is_held_to_what_it_costs(monkeypatch):
    machine = Machine.of("cpu", "bfloat16", "torch", 0)
    lm = model("mom-tiny", machine)[1].train().requires_grad_(True)
    seen = verified_gradients("mom-tiny", lm, machine)
    assert 1e-3 < seen.error < seen.most == 3e-2
    monkeypatch.setattr(verify, "GRADIENTS_HALF", 1e-3)
    seen = verified_gradients("mom-tiny", lm, machine)
    assert seen.most == pytest.approx(1.5 * seen.error)


def test_the_loss_is_that_of_each_token_but_the_first(learner):
    tokens = torch.randint(1000, (3, 20))
    logits = read(learner, tokens, every=True).logits.view(3, 20, -1)
    want = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    torch.testing.assert_close(loss(learner, tokens)[0], want)


def test_no_gradient_outlives_a_step(learner):
    own, seen = Own(learner, "auto"), []
    weight = learner.embeddings.weight
    weight.register_post_accumulate_grad_hook(lambda part: seen.append(part.grad.clone()))
    step = training._step(own, torch.randint(1000, (1, 20)))
    step()
    step()
    assert torch.equal(*seen)
    assert seen[0].any()
    assert all(part.grad is None for part in learner.parameters())


def test_kernels_are_those_of_the_side(learner):
    by_torch, by_triton = Own(learner, "torch"), Own(learner, "triton")
    tokens = torch.zeros(1, 9, dtype=torch.int64)
    with pytest.raises(SettingError, match="the tensors are on the CPU"):
        by_triton.loss(tokens)
    assert by_torch.loss(tokens).isfinite()
    assert learner.kernels == "auto"


def test_a_peak_is_without_the_weights_of_the_other_side_alone(learner):
    machine, found = SimpleNamespace(gpu=True), Measured(ms=1.0, peak_bytes=10**9)
    sides = Sides("mom-tiny", learner, machine, Rates(1.0, 1.0), [], Own(learner, "torch"))
    assert sides._without(sides.lm, sides.peer, found) == found
    other = torch.nn.Linear(5, 5)
    assert sides._without(other, sides.peer, found).peak_bytes == 10**9 - 4 * 30
    assert sides._without(sides.lm, None, found) == found


def test_a_step_is_three_times_forward():
    work = ModelWork(PRESETS["mom-8m"], torch.bfloat16)
    forward, step = work.forward(8, 512), work.step(8, 512)
    assert step.flops == 3 * forward.flops
    assert (forward.bytes, step.bytes) == (2 * 8_019_632, 4 * 8_019_632)
    head = 2 * 4096 * 256
    assert forward.flops == work.prefill(8, 512).flops + 8 * 510 * head


def test_presets_of_a_size_differ_in_their_memories_alone():
    for size in ("1m", "8m"):
        mom, plain = PRESETS[f"mom-{size}"], PRESETS[f"gated-deltanet-{size}"]
        same = {"memories": None, "intermediate_size": plain.intermediate_size}
        assert replace(mom, **same) == plain
