"""The recurrences against flash-linear-attention's own references in torch, family by family."""

import importlib

import pytest
import torch

from mom_eval.kernels import gated_delta, gated_slot, l2_norm

LENGTH, HEADS, VALUE_HEADS, K, V = 90, 2, 4, 6, 5


@pytest.fixture
def inputs():
    """Arguments by name, and the state to start from, as both of us take them for one sequence."""
    names = {"q": K, "k": K, "v": V, "g": K, "s": 3}
    tensors = {name: torch.randn(LENGTH, HEADS, size) for name, size in names.items()}
    tensors["k"], tensors["g"] = l2_norm(tensors["k"]), -torch.rand(LENGTH, HEADS, K)
    return tensors | {"beta": torch.rand(LENGTH, HEADS), "state": torch.randn(1, HEADS, K, V)}


def reference(op: str, name: str):
    return getattr(importlib.import_module(f"fla.ops.{op}.naive"), name)


def same(ours: tuple, theirs: tuple) -> None:
    """Compare reads and states; theirs have a batch of one in front."""
    torch.testing.assert_close(ours[0], theirs[0][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours[1], theirs[1], atol=1e-5, rtol=1e-5)


def test_linear_attention(inputs):
    q, k, v, state = (inputs[name] for name in ("q", "k", "v", "state"))
    naive = reference("linear_attn", "naive_recurrent_linear_attn")
    theirs = naive(q[None], k[None], v[None], initial_state=state, output_final_state=True)
    same(gated_delta(q, k, v, state=state), theirs)


def test_retnet(inputs):
    q, k, v = (inputs[name] for name in ("q", "k", "v"))
    g = torch.log1p(-(2.0 ** (-5 - torch.arange(HEADS)))).expand(LENGTH, HEADS)
    o, _ = gated_delta(q, k, v, g=g)
    theirs = reference("retention", "naive_retention")(
        *(x.transpose(0, 1)[None] for x in (q, k, v))
    )
    torch.testing.assert_close(o, theirs[0].transpose(0, 1), atol=1e-5, rtol=1e-5)


def test_mamba2(inputs):
    """Which is simple GLA with scale 1, k = B, q = C, v = dt x and g = A dt."""
    q, k, v, g, state = (inputs[name] for name in ("q", "k", "v", "g", "state"))
    naive = reference("simple_gla", "naive_recurrent_simple_gla")
    past = {"initial_state": state, "output_final_state": True, "scale": 1.0}
    theirs = naive(q[None], k[None], v[None], g[None, ..., 0], **past)
    same(gated_delta(q, k, v, g=g[..., 0], state=state, scale=1.0), theirs)


def test_gla(inputs):
    q, k, v, g, state = (inputs[name] for name in ("q", "k", "v", "g", "state"))
    naive = reference("gla", "naive_recurrent_gla")
    theirs = naive(q[None], k[None], v[None], g[None], state, output_final_state=True)
    same(gated_delta(q, k, v, g=g, state=state), theirs)


def test_delta_net(inputs):
    q, k, v, beta, state = (inputs[name] for name in ("q", "k", "v", "beta", "state"))
    naive = reference("delta_rule", "delta_rule_recurrence")
    o, last = naive(*(x.transpose(0, 1)[None] for x in (q, k, v, beta)), initial_state=state)
    same(gated_delta(q, k, v, beta=beta, state=state), (o.transpose(1, 2), last))


def test_gated_deltanet(inputs):
    q, k, v, g, beta, state = (inputs[name] for name in ("q", "k", "v", "g", "beta", "state"))
    naive = reference("gated_delta_rule", "naive_recurrent_gated_delta_rule")
    past = {"initial_state": state, "output_final_state": True}
    theirs = naive(*(x[None] for x in (q, k, v, beta, g[..., 0])), **past)
    same(gated_delta(q, k, v, g=g[..., 0], beta=beta, state=state), theirs)


def test_kda(inputs):
    """With two value heads a key head."""
    q, k = inputs["q"], inputs["k"]
    v, beta = torch.randn(LENGTH, VALUE_HEADS, V), torch.rand(LENGTH, VALUE_HEADS)
    g, state = -torch.rand(LENGTH, VALUE_HEADS, K), torch.randn(1, VALUE_HEADS, K, V)
    past = {"initial_state": state, "output_final_state": True}
    theirs = reference("kda", "naive_recurrent_kda")(*(x[None] for x in (q, k, v, g, beta)), **past)
    same(gated_delta(q, k, v, g=g, beta=beta, state=state), theirs)


def test_gsa(inputs):
    """Two passes: the slots' keys are read, and with softmax over the slots their values."""
    q, k, v, s = (inputs[name] for name in ("q", "k", "v", "s"))
    g, states = -torch.rand(s.shape), (torch.randn(1, HEADS, K, 3), torch.randn(1, HEADS, 3, V))
    naive = reference("gsa", "naive_recurrent_gsa")
    past = {"scale": 1.0, "initial_state": states, "output_final_state": True}
    o, last = naive(*(x[None] for x in (q, k, v, s, g)), **past)
    slots, first = gated_slot(q, k, s, g=g, state=states[0])
    second = gated_delta(slots.softmax(-1), s, v, g=g, scale=1.0, state=states[1])
    same(second, (o, last[1]))
    torch.testing.assert_close(first, last[0], atol=1e-5, rtol=1e-5)
