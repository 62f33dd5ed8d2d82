"""MQAR as a task: what counts as right, on the same examples for every model."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mom_eval.errors import ModelError, SettingError
from mom_eval.evalsuite import mqar as module
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
    room = module.ROOM["cpu"]._replace(tokens=60)
    monkeypatch.setitem(module.ROOM, "cpu", room)
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
    assert "Left out, since pairs and queries do not fit: 12/5." in text
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
    with pytest.raises(SettingError, match="no --lengths and --pairs fit together: 9 pairs"):
        mqar([gla], lengths=[24], pairs=[9])
    with pytest.raises(SettingError, match="--examples 0 asks nothing"):
        mqar([gla], lengths=[24], pairs=[3], examples=0)
    with pytest.raises(SettingError, match="--seed -1 draws nothing; it must be 0 or more"):
        mqar([gla], lengths=[24], pairs=[3], seed=-1)
    wide = save(new_model(replace(CASES["gla-1"], vocab_size=60)), tmp_path / "wide")
    with pytest.raises(SettingError, match="gla-1-0 knows 50 tokens and wide 60, so they cannot"):
        mqar([gla, str(wide)], lengths=[24], pairs=[3])
    message = "two models are called gla-1-0; tell them apart with NAME=gla-1-0"
    with pytest.raises(ModelError, match=message):
        mqar([gla, gla], lengths=[24], pairs=[3])


def test_a_model_of_another_layout_is_one_sentence(tiny_llama):
    with pytest.raises(ModelError, match=r"tiny-llama is of no layout that mom-eval.s own models"):
        mqar([str(tiny_llama)], lengths=[24], pairs=[3])
