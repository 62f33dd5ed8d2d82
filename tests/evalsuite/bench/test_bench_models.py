"""`bench model` and `bench suite`: right models are timed, wrong ones refused, floors add up."""

import numpy as np
import pytest
import torch

from mom_eval.errors import SettingError
from mom_eval.evalsuite.bench import models, suite, timing
from mom_eval.evalsuite.bench.machine import Machine
from mom_eval.evalsuite.bench.models import bench_models
from mom_eval.evalsuite.bench.presets import PRESETS, model
from mom_eval.evalsuite.bench.reading import prefill
from mom_eval.evalsuite.bench.verify import verified
from mom_eval.models import LM, cost
from mom_eval.models.decoder import Decoder
from mom_eval.models.work import ModelWork, Rates, Work

BRIEF = {"batch": (1, 2), "lengths": (20,), "context": (8,)}


@pytest.fixture(autouse=True)
def _brief(monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    monkeypatch.setattr("mom_eval.evalsuite.bench.rates._SIZES", {"cpu": (64, 1 << 16)})


@pytest.fixture
def machine():
    return Machine.of("cpu", "auto", "auto", 0)


def test_mamba2_beside_that_of_transformers():
    """With our weights it is the same function: its logits differ by rounding."""
    found = bench_models(["mamba2-tiny"], **BRIEF, against="hf")
    assert [(row.phase, row.batch, row.length) for row in found.rows] == [
        ("prefill", 1, 20),
        ("prefill", 2, 20),
        ("decode", 1, 8),
        ("decode", 2, 8),
    ]
    assert all(row.ours.ms > 0 and row.peer.ms > 0 for row in found.rows)
    assert [row.tokens for row in found.rows] == [20, 40, 1, 2]
    differs = next(note for note in found.notes if "differ" in note)
    assert float(differs.split(" by ")[1].rstrip(".")) < 1e-5


def test_a_transformer_beside_llama():
    found = bench_models(["transformer-tiny"], **BRIEF, against="hf")
    differs = next(note for note in found.notes if "differ" in note)
    assert float(differs.split(" by ")[1].rstrip(".")) < 1e-5
    assert all(row.peer.ms > 0 for row in found.rows)


def test_a_peer_that_there_is_not():
    found = bench_models(["mom-tiny"], **BRIEF, against="hf")
    assert "mom-tiny: transformers has no mom-gated_deltanet." in found.notes
    assert {row.peer.shown for row in found.rows} == {"none"}
    assert all(row.ours.ms > 0 for row in found.rows)


def test_a_peer_that_fails_is_a_result(monkeypatch):
    class Peer:
        def logits(self, tokens):
            return torch.zeros(2, 96, 1000)

        def parameters(self):
            return iter(())

        def prefill(self, tokens):
            raise RuntimeError("CUDA out of memory. Tried to allocate 9 GiB")

        def decoding(self, tokens):
            raise NotImplementedError("no cache")

    monkeypatch.setattr(models, "peer_model", lambda *_: Peer())
    found = bench_models(["mom-tiny"], **BRIEF, against="hf")
    assert [row.peer.note for row in found.rows] == [
        "out of memory",
        "out of memory",
        "fails here: no cache",
        "fails here: no cache",
    ]


def test_a_wrong_model_is_refused(monkeypatch, machine):
    label, lm = model("mom-tiny", machine)
    assert verified(label, lm, machine).error == 0.0
    right = LM.forward

    def forward(self, *given, **options):
        out = right(self, *given, **options)
        return out if self is not lm else out._replace(logits=out.logits * 1.01)

    monkeypatch.setattr(LM, "forward", forward)
    with pytest.raises(SettingError, match=r"mom-tiny in float32 is wrong .* off by 1\.0e-02"):
        verified(label, lm, machine)


def test_a_wrong_step_of_decoding_is_refused(monkeypatch, machine):
    right = Decoder.step

    def step(self, tokens):
        return {slot: (token + 1) % 1000 for slot, token in right(self, tokens).items()}

    monkeypatch.setattr(Decoder, "step", step)
    with pytest.raises(SettingError, match="a decoded token is off by"):
        bench_models(["transformer-tiny"], **BRIEF)


def test_half_precision_is_held_to_what_it_costs():
    machine = Machine.of("cpu", "bfloat16", "torch", 0)
    seen = verified("mom-tiny", model("mom-tiny", machine)[1], machine)
    assert 0 < seen.error < 0.1
    assert seen.most == pytest.approx(1.5 * seen.error)


def test_reading_in_parts_is_reading_at_once(machine):
    _, lm = model("mom-tiny", machine)
    tokens = torch.randint(1000, (3, 20))
    with torch.inference_mode():
        whole, parts = (
            torch.cat([one.logits for one in prefill(lm, tokens, room)]) for room in (1000, 7)
        )
        pairs = prefill(lm, tokens, 40)
    assert [len(one.logits) for one in pairs] == [2, 1]
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-5)


def test_weights_and_inputs_follow_the_seed(machine):
    one, again = (model("mom-tiny", machine)[1].embeddings.weight for _ in "ab")
    other = model("mom-tiny", Machine.of("cpu", "auto", "auto", 1))[1].embeddings.weight
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("mom-340m", 512_351_424),
        ("gated-deltanet-340m", 366_763_200),
        ("transformer-340m", 341_099_520),
        ("mom-8m", 8_019_632),
        ("gated-deltanet-8m", 8_062_640),
        ("mom-1m", 1_003_756),
        ("gated-deltanet-1m", 1_020_652),
    ],
)
def test_presets_have_the_sizes_they_are_named_after(name, parameters):
    assert cost(PRESETS[name]).parameters == pytest.approx(parameters, rel=1e-3)


def test_a_floor_is_the_larger_of_two_times():
    rates = Rates(flops=1e12, bytes=1e9)
    assert Work(flops=2e9, bytes=1e6).floor_ms(rates) == 2.0
    assert Work(flops=1e9, bytes=3e6).floor_ms(rates) == 3.0


def test_the_floors_of_the_mom_are_those_of_the_design():
    """4.83 GB of states and 1.02 GB of weights a step at batch 32; 0.97 GB in all at batch 1.

    Of states 2.72 GB where one in eight is written. The rings of the convolutions, which are not in
    these numbers, add 2 %.
    """
    work = ModelWork(PRESETS["mom-340m"], torch.bfloat16)
    assert work.decode(32, 1024).bytes == pytest.approx(5.85e9, rel=0.03)
    assert work.decode(1, 1024).bytes == pytest.approx(0.97e9, rel=0.03)
    assert work.decode(32, 1024, every=8).bytes == pytest.approx(3.74e9, rel=0.03)
    # 756 MFLOP a token in products, and the plain loop over three memories of four heads a layer.
    loop = 24 * 3 * 4 * 6 * 256**2
    each = work.prefill(32, 2048).flops / (32 * 2048)
    assert each == pytest.approx(756e6 + loop, rel=0.01)


def test_attention_costs_what_it_reads():
    """Of two more tokens than one: keys and values in decoding, their square in prefill."""
    work = ModelWork(PRESETS["transformer-340m"], torch.bfloat16)
    grows = work.decode(1, 3).bytes - work.decode(1, 1).bytes
    assert grows == 2 * 24 * 2 * 1024 * 2
    whole, half = work.prefill(1, 2000).flops, work.prefill(1, 1000).flops
    assert whole - 2 * half == pytest.approx(2 * 24 * 1024 * 2e6, rel=0.05)


def test_a_suite_reads_and_writes_all_it_should(machine):
    found = suite.bench_suite("mom-tiny", questions=11, prompt=40, tokens=3, shared=24)
    # Two groups share 24 tokens each, and everybody has 16 of their own.
    assert found.read == 2 * 24 + 11 * 16
    assert found.written == 11 * 3
    assert 0 < found.reading_s < found.seconds
    assert found.scaled_s == found.seconds * 12_000 / 11


def test_prompts_share_what_they_should():
    drawn = list(suite.prompts(np.random.default_rng(0), 1000, 17, 30, 20))
    assert {len(prompt) for prompt in drawn} == {30}
    assert len({tuple(prompt[:20]) for prompt in drawn}) == 3
    assert len({tuple(prompt[20:]) for prompt in drawn}) == 17
    assert tuple(drawn[0][:20]) == tuple(drawn[7][:20]) != tuple(drawn[8][:20])
