"""The loss of a model: that of its logits, in value and gradient, without its logits."""

from dataclasses import replace
from importlib import import_module

import pytest
import torch
import torch.nn.functional as F

from mom_eval.models import packed
from mom_eval.models.balance import load_balance
from tests.kernels.largest import Largest
from tests.models.shapes import CASES, new_model, sequences

OP = import_module("mom_eval.kernels.linear_cross_entropy")
VOCAB = 50


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """Eight rows a chunk."""
    monkeypatch.setattr(OP, "LOGITS", 8 * VOCAB)


def asked():
    """Three sequences, and a label at most of their tokens."""
    tokens, cu_seqlens = packed(sequences(9, 30, 1), "cpu")
    at = torch.tensor([0, *range(5, 39)])
    return tokens, cu_seqlens, at, torch.randint(VOCAB, at.shape)


def gradients(model, loss):
    return dict(
        zip(
            (name for name, _ in model.named_parameters()),
            torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True),
            strict=True,
        )
    )


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("case", ["gated_deltanet-1", "gla-4+shared", "hybrid", "transformer"])
def test_it_is_the_loss_of_the_logits(case, tied):
    model = new_model(replace(CASES[case], tie_embeddings=tied)).double()
    tokens, cu_seqlens, at, labels = asked()
    out = model(tokens, cu_seqlens, at=at)
    whole = F.cross_entropy(out.logits, labels, reduction="sum")
    nats, routing = model.nats(tokens, cu_seqlens, at=at, labels=labels)
    torch.testing.assert_close(nats, whole)
    assert routing.keys() == out.routing.keys()
    if routing:
        whole, nats = whole + load_balance(out.routing), nats + load_balance(routing)
    want, got = gradients(model, whole), gradients(model, nats)
    assert all(bool(part.any()) for part in got.values())
    torch.testing.assert_close(got, want)


def test_scores_are_those_of_the_logits():
    model = new_model(CASES["gla-4+shared"])
    tokens, cu_seqlens, at, labels = asked()
    logits = model(tokens, cu_seqlens, at=at).logits
    nats, first = model.label_scores(tokens, cu_seqlens, at=at, labels=labels)
    torch.testing.assert_close(nats, F.cross_entropy(logits, labels, reduction="none").detach())
    assert first.tolist() == (logits.argmax(-1) == labels).tolist()


def test_routes_can_be_forced():
    model = new_model(CASES["gla-4"])
    tokens, cu_seqlens, at, labels = asked()
    free, routing = model.nats(tokens, cu_seqlens, at=at, labels=labels)
    own = {layer: routes.memories for layer, routes in routing.items()}
    again, _ = model.nats(tokens, cu_seqlens, at=at, labels=labels, routes=own)
    other = {layer: (routes + 1) % 4 for layer, routes in own.items()}
    turned, found = model.nats(tokens, cu_seqlens, at=at, labels=labels, routes=other)
    assert torch.equal(free, again)
    assert not torch.equal(free, turned)
    assert torch.equal(found[0].memories, other[0])


def test_logits_never_stand_whole():
    model = new_model(replace(CASES["gla-1"], vocab_size=1000))
    tokens, cu_seqlens, at, labels = asked()
    with Largest() as seen:
        model.nats(tokens, cu_seqlens, at=at, labels=labels)[0].backward()
        model.label_scores(tokens, cu_seqlens, at=at, labels=labels)
    # The head's own gradient is larger than what is made of its logits.
    assert seen.elements == 1000 * model.config.hidden_size < len(at) * 1000
