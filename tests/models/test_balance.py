"""Balancing losses and routing statistics, against cases counted by hand."""

import math

import pytest
import torch

from mom_eval.kernels import route
from mom_eval.models.balance import load_balance, routing_statistics, z_loss
from tests.models.shapes import CASES, new_model


def routed(rows: list[list[float]], top_k: int):
    return route(torch.tensor(rows).log(), top_k)


EVEN = [[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]]
ONE = [[0.7, 0.1, 0.1, 0.1]] * 2


def test_balanced_is_top_k():
    # Every memory once in two tokens, and every mean probability a quarter.
    assert float(load_balance({0: routed(EVEN, 2)})) == pytest.approx(2)


def test_collapsed_is_more():
    # f = (1, 0, 0, 0), P = (.7, .1, .1, .1): 4 * .7
    assert float(load_balance({0: routed(ONE, 1)})) == pytest.approx(2.8)


def test_layers_make_up_for_each_other_unless_taken_one_by_one():
    other = [[0.1, 0.7, 0.1, 0.1]] * 2
    layers = {0: routed(ONE, 1), 3: routed(other, 1)}
    # Pooled: f = (.5, .5, 0, 0), P = (.4, .4, .1, .1): 4 * (.2 + .2)
    assert float(load_balance(layers)) == pytest.approx(1.6)
    assert float(load_balance(layers, by_layer=True)) == pytest.approx(2.8)


def test_the_loss_is_the_mixture_of_experts_of_transformers():
    """Over all layers' tokens, as Mixtral computes it: the form the published MoM took over."""
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    torch.manual_seed(0)
    logits = [torch.randn(30, 4) for _ in range(3)]
    want = load_balancing_loss_func(tuple(logits), num_experts=4, top_k=2)
    got = load_balance({layer: route(x, 2) for layer, x in enumerate(logits)})
    assert float(got) == pytest.approx(float(want), rel=1e-6)


def test_the_loss_pushes_the_crowded_memory_down():
    logits = torch.tensor([[2.0, 0.0, 0.0, 0.0]] * 5, requires_grad=True)
    load_balance({0: route(logits, 1)}).backward()
    assert logits.grad is not None
    assert bool((logits.grad[:, 0] > 0).all())
    assert bool((logits.grad[:, 1:] < 0).all())


def test_the_loss_of_a_model():
    """Layers with a router only, and gradients that reach each of them."""
    model = new_model(CASES["hybrid"])
    out = model(torch.arange(30))
    assert out.routing.keys() == {0}
    (load_balance(out.routing) + z_loss(out.routing)).backward()
    gradient = model.layers[0].mixer.router.weight.grad
    assert gradient is not None
    assert bool((gradient.abs().sum(1) > 0).all())


def test_z_loss():
    # logsumexp of log probabilities is 0; of four zeros log 4.
    assert float(z_loss({0: routed(EVEN, 2)})) == pytest.approx(0, abs=1e-12)
    even = {0: route(torch.zeros(3, 4), 2), 1: routed(EVEN, 2)}
    zeros = {layer: routes for layer, routes in even.items() if layer == 0}
    assert float(z_loss(zeros)) == pytest.approx(math.log(4) ** 2)


def test_statistics():
    tied = [[0.4, 0.301, 0.299, 0.0001]]
    found = routing_statistics({2: routed(EVEN, 2), 5: routed(ONE, 1), 6: routed(tied, 2)})
    assert found[2].share == pytest.approx([0.25] * 4)
    assert found[2].entropy == pytest.approx(2)
    assert found[2].weight == pytest.approx(0.4 / 0.7)
    assert found[2].probability == pytest.approx((0.4 + 0.3) / 2)
    assert found[5].probability == pytest.approx(0.7)
    assert found[2].near_ties == 0
    assert found[5].share == pytest.approx([1, 0, 0, 0])
    assert found[5].entropy == pytest.approx(0)
    assert found[6].near_ties == 1


def test_uneven_statistics():
    # Of 8 choices: 4, 2, 1, 1.
    rows = [[4.0, 3, 1, 2], [4, 3, 2, 1], [4, 1, 3, 2], [3, 2, 1, 4]]
    found = routing_statistics({0: route(torch.tensor(rows), 2)})[0]
    assert found.share == pytest.approx([1 / 2, 1 / 4, 1 / 8, 1 / 8])
    assert found.entropy == pytest.approx(1.75)


def test_one_memory_is_no_tie():
    found = routing_statistics({0: route(torch.zeros(5, 1), 1)})[0]
    assert (found.share, found.entropy, found.probability) == ([1], 0, 1)
    assert (found.weight, found.near_ties) == (1, 0)


@pytest.mark.parametrize("of", [load_balance, z_loss, routing_statistics])
def test_nothing_routed(of):
    for nothing in ({}, {0: route(torch.zeros(0, 4), 2)}):
        with pytest.raises(ValueError, match="nothing was routed"):
            of(nothing)
