"""MQAR as a task: what counts as right, on the same examples for every model."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from mom_eval.cli import main
from mom_eval.errors import ModelError, SettingError
from mom_eval.evalsuite import mqar as module
from mom_eval.evalsuite.engine import limits
from mom_eval.evalsuite.mqar import answered, drawn, mqar
from mom_eval.evalsuite.train.sources import MqarSource
from mom_eval.models import save
from mom_eval.results.mqar import Shape, accuracy, difference, markdown, record
from mom_eval.tasks.mqar import IGNORE
from tests.models.shapes import CASES, new_model

SHAPE = Shape(24, 3)


class Oracle(nn.Module):
    """Looks up the value behind the key's first place; knows `known` pairs of each example."""

    def __init__(self, known=99):
        super().__init__()
        self.embeddings, self.known = nn.Embedding(50, 1), known
        self.config = SimpleNamespace(vocab_size=50)

    def forward(self, tokens, cu_seqlens, *, at):
        logits = torch.zeros(len(at), 50)
        for row, place in enumerate(at.tolist()):
            first = cu_seqlens[cu_seqlens <= place].max().item()
            example = tokens[first : first + 2 * self.known].tolist()
            key = tokens[place].item()
            if key in example[::2]:
                logits[row, example[2 * example[::2].index(key) + 1]] = 1.0
        return SimpleNamespace(logits=logits)


@pytest.mark.parametrize(("known", "expected"), [(3, 1.0), (1, 1 / 3)])
def test_a_query_is_right_when_its_value_comes_first(known, expected):
    found = answered(Oracle(known), drawn(SHAPE, 50, 40, 0))
    assert found.shape == (40, 3)
    assert found.mean() == pytest.approx(expected)


@pytest.fixture
def folder(tmp_path):
    def write(case, seed=0):
        return str(save(new_model(CASES[case], seed), tmp_path / f"{case}-{seed}"))

    return write


def test_packed_examples_are_answered_as_one_by_one(folder, monkeypatch):
    """In whatever portions, and on the examples that `drawn` gives."""
    lm = new_model(CASES["gated_deltanet-4+shared"])
    examples = drawn(SHAPE, 50, 17, 5)
    slow = []
    for tokens, labels in zip(examples.tokens, examples.labels, strict=True):
        with torch.inference_mode():
            logits = lm(torch.from_numpy(tokens), at=torch.arange(24)).logits
        asked = labels != IGNORE
        slow.append(logits.argmax(-1).numpy()[asked] == labels[asked])
    room = limits.ROOM["cpu"]._replace(tokens=60)
    monkeypatch.setitem(limits.ROOM, "cpu", room)
    board = mqar([folder("gated_deltanet-4+shared")], lengths=[24], pairs=[3], examples=17, seed=5)
    assert np.array_equal(board.rows[0].right[SHAPE], slow)


def test_models_are_asked_the_same_and_compared_query_by_query(folder):
    board = mqar(
        [folder("gla-1"), f"again={folder('gla-1')}", folder("gla-1", 1)],
        lengths=[24, 12],
        pairs=[3, 5],
        examples=50,
    )
    assert board.shapes == [Shape(12, 3), Shape(24, 3), Shape(24, 5)]
    assert board.left_out == [Shape(12, 5)]
    first, same, other = board.rows
    assert difference(same, first, SHAPE).value == 0
    assert accuracy(other, SHAPE).questions == 150
    assert accuracy(other, SHAPE).documents == 50
    assert accuracy(other, SHAPE).value == pytest.approx(board.chance, abs=0.1)
    text = markdown(board)
    assert "| again " in text
    assert "Against gla-1-0, in points:" in text
    assert "Left out (length/pairs), since pairs and queries do not fit: 12/5." in text
    cells = record(board)["models"][2]["cells"]
    assert cells[1]["accuracy"] == accuracy(other, SHAPE).value
    assert cells[1]["against_first"] == difference(other, first, SHAPE).value


def test_examples_are_those_of_no_training():
    asked = {tuple(tokens) for tokens in drawn(Shape(16, 2), 50, 256, 0).tokens.tolist()}
    for heldout in (False, True):
        reader = MqarSource(length=16, pairs=2).reader(None, 50, 0, heldout=heldout)
        read = {tuple(reader.document(number).tokens.tolist()) for number in range(256)}
        assert not asked & read


def test_a_batch_that_is_too_large_is_halved(folder, monkeypatch):
    whole = mqar([folder("gla-1")], lengths=[24], pairs=[3], examples=20)
    sizes, ask = [], module.answered

    def small(lm, examples):
        sizes.append(len(examples.tokens))
        if len(examples.tokens) > 6:
            raise RuntimeError("out of memory")
        return ask(lm, examples)

    monkeypatch.setattr(module, "answered", small)
    again = mqar([folder("gla-1")], lengths=[24], pairs=[3], examples=20)
    assert sizes == [20, 10, 5, 5, 5, 5]
    assert np.array_equal(whole.rows[0].right[SHAPE], again.rows[0].right[SHAPE])


def test_what_cannot_be_asked_is_one_sentence(folder, tmp_path):
    gla = folder("gla-1")
    message = "no --lengths and --pairs fit together: 7 pairs .* at least 28 tokens, not 24"
    with pytest.raises(SettingError, match=message):
        mqar([gla], lengths=[8, 24], pairs=[7, 9])
    for change, what in (
        ({"examples": 0}, "--examples 0 is too small; it must be 1 or more"),
        ({"pairs": [4, 0]}, "--pairs 0 is too small; it must be 1 or more"),
        ({"seed": -1}, "--seed -1 is too small; it must be 0 or more"),
    ):
        with pytest.raises(SettingError, match=what):
            mqar([gla], **{"lengths": [24], "pairs": [3], **change})
    wide = save(new_model(replace(CASES["gla-1"], vocab_size=60)), tmp_path / "wide")
    with pytest.raises(SettingError, match="gla-1-0 knows 50 tokens and wide 60, so they cannot"):
        mqar([gla, str(wide)], lengths=[24], pairs=[3])
    message = "two models are called gla-1-0; tell them apart with NAME=gla-1-0"
    with pytest.raises(ModelError, match=message):
        mqar([gla, gla], lengths=[24], pairs=[3])


def test_what_a_model_cannot_answer_is_one_sentence(tmp_path):
    short = replace(CASES["transformer"], max_positions=24)
    path = str(save(new_model(short), tmp_path / "short"))
    assert mqar([path], lengths=[24], pairs=[3], examples=2).rows[0].right[SHAPE].shape == (2, 3)
    with pytest.raises(SettingError, match="short was made for 24 tokens and 26 are asked for"):
        mqar([path], lengths=[24, 26], pairs=[3])
    broken = new_model(CASES["gla-1"])
    with torch.no_grad():
        broken.norm.weight[0] = torch.nan
    path = str(save(broken, tmp_path / "broken"))
    with pytest.raises(ModelError, match="logits that are no numbers; try --dtype float32"):
        mqar([path], lengths=[24], pairs=[3])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_record_says_which_weights_ran_and_how(folder, dtype):
    board = mqar([folder("gla-1")], lengths=[24], pairs=[3], examples=2, dtype=dtype)
    model = record(board)["models"][0]
    assert len(model["model"]["weights_sha256"]) == 64
    assert model["model"]["dtype"] == dtype
    assert model["model"]["ran_on"] == "cpu"
    lm = new_model(CASES["gla-1"]).to(getattr(torch, dtype))
    assert model["state_bytes"] == lm.empty_state(1).nbytes()


def test_the_command(folder, tmp_path):
    words = ["mqar", f"a={folder('gla-1')}", f"b={folder('gla-1', 1)}", "--lengths", "24,32"]
    words += ["--pairs", "3,99", "--examples", "5", "--out", str(tmp_path / "out")]
    table = CliRunner().invoke(main, words)
    as_json = CliRunner().invoke(main, [*words, "--json"])
    assert table.exit_code == as_json.exit_code == 0, table.output
    assert "Multi-query associative recall, synthetic" in table.stdout
    kept = json.loads(as_json.stdout)
    assert [model["label"] for model in kept["models"]] == ["a", "b"]
    assert kept == json.loads((tmp_path / "out" / "mqar.json").read_text("utf-8"))
    written = [line.rsplit("/", 1)[1] for line in table.stderr.splitlines()]
    assert written == ["mqar.md", "mqar.csv", "mqar.json", "mqar.png", "mqar.svg"]
    wrong = CliRunner().invoke(main, [*words, "--seed", "-1"])
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith("Error: --seed -1 is too small")


def test_a_model_of_another_layout_is_one_sentence(tiny_llama):
    with pytest.raises(ModelError, match=r"tiny-llama is of no layout that mom-eval.s own models"):
        mqar([str(tiny_llama)], lengths=[24], pairs=[3])
