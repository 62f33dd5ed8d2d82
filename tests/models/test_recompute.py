"""Blocks that are run anew in the backward pass: the same bits, and less that is kept."""

from importlib import import_module

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from mom_eval.models import packed
from mom_eval.models.balance import load_balance, z_loss
from tests.models.shapes import CASES, new_model, sequences

CHOOSE = import_module("mom_eval.kernels.choose")
SOME = ["gated_deltanet-1", "gated_deltanet-4+shared", "hgrn2-4", "hybrid", "transformer"]


def loss_of(model):
    """A loss that routers have a part in."""
    tokens, cu_seqlens = packed(sequences(70, 9), "cpu")
    at = torch.arange(len(tokens) - 1)
    nats, routing = model.nats(tokens, cu_seqlens, at=at, labels=tokens[1:])
    return nats / len(at) + (load_balance(routing) + z_loss(routing) if routing else 0)


def step(model):
    """The loss, and all gradients by name."""
    model.zero_grad()
    loss = loss_of(model)
    loss.backward()
    return loss.detach(), {name: part.grad for name, part in model.named_parameters()}


def kept_bytes(model):
    """Of what a forward pass keeps for the backward one, each memory once; no weights."""
    weights = {part.untyped_storage().data_ptr() for part in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = loss_of(model)
    assert loss.requires_grad
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("case", SOME)
def test_losses_and_gradients_are_the_same_bits(case):
    model = new_model(CASES[case]).train()
    want = step(model)
    model.recompute = True
    got = step(model)
    assert torch.equal(got[0], want[0])
    for name, gradient in want[1].items():
        assert gradient.any(), name
        assert torch.equal(got[1][name], gradient), name


@pytest.mark.parametrize("case", SOME)
def test_less_is_kept(case):
    model = new_model(CASES[case]).train()
    whole = kept_bytes(model)
    model.recompute = True
    assert kept_bytes(model) < whole / 2
    assert kept_bytes(model.eval()) == whole


def test_blocks_run_twice_on_the_same_kernels():
    model = new_model(CASES["gated_deltanet-4"]).train()
    model.recompute, model.kernels, seen = True, "torch", []
    model.layers[0].mlp.register_forward_pre_hook(lambda *_: seen.append(CHOOSE._preferred.get()))
    step(model)
    assert seen == ["torch", "torch"]
    with torch.no_grad():
        loss_of(model)
    assert len(seen) == 3
