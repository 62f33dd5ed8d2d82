"""Gradients of the ops around the recurrence in Triton; `test_triton` runs this by itself."""

import pytest
import torch

from mom_eval.kernels import (
    TimeStep,
    add_norm,
    combine,
    combine_norm,
    delta_gates,
    dispatch,
    gates_triton,
    l2_norm,
    norm_backward,
    preferring,
    rms_norm,
    route,
    router,
    short_conv,
    swiglu,
    take,
)
from mom_eval.models import packed
from tests.kernels.conftest import small_enough
from tests.kernels.triton_cases import DEVICE, GPU, poison
from tests.models.shapes import CASES, new_model, sequences

LENGTHS = (0, 1, 65)
BOUND = {torch.float32: 1e-5, torch.bfloat16: 1.5e-2}
# What weighs memories is a gate: its gradient is a difference, and may be of one number.
OF_GATE = {"weights": 4 / 3}
# Attention and GSA have no Triton gradient.
MODELS = (
    [name for name in CASES if not name.startswith(("gsa", "transformer", "hybrid"))]
    if GPU
    else ["hgrn2-4+shared", "gated_deltanet-4+shared", "mamba2-4", "retnet-1"]
)
DTYPES = list(BOUND) if GPU else [torch.float32]


@pytest.fixture(autouse=True)
def _few_programs(monkeypatch):
    """So few that each goes on through what there is: two tiles at least, and not as many each."""
    for module in (norm_backward, gates_triton):
        monkeypatch.setattr(module, "PROGRAMS", 2)


def gradients(run, leaves, kernels):
    """Of a random sum of what is made of the leaves, by name."""
    leaves = {name: x.clone().requires_grad_() for name, x in leaves.items()}
    with preferring(kernels):
        made = run(**leaves)
    made = [x for x in (made if isinstance(made, tuple) else (made,)) if x.requires_grad]
    random = torch.Generator().manual_seed(9)
    # Numbers that every type has: the truth is given what the kernels are.
    drawn = (torch.randn(x.shape, generator=random, dtype=torch.float64) for x in made)
    weights = [one.bfloat16().to(x) for one, x in zip(drawn, made, strict=True)]
    poison()
    torch.autograd.backward(made, weights)
    return {name: x.grad for name, x in leaves.items()}


def check(run, relative, bound, **leaves):
    """Close to the truth, of the leaves' types, and on a GPU the same bits once more."""
    leaves = {name: x.to(DEVICE) for name, x in leaves.items()}
    truth = gradients(run, {name: x.double() for name, x in leaves.items()}, "torch")
    found = gradients(run, leaves, "triton")
    for name, x in leaves.items():
        assert found[name].dtype == x.dtype
        most = bound * (OF_GATE.get(name, 1) if x.dtype == torch.bfloat16 else 1)
        assert relative(found[name], truth[name]) < most, name
    if GPU:
        again = gradients(run, leaves, "triton")
        assert all(torch.equal(found[name], again[name]) for name in leaves)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("D", [60, 100, 1024])
@pytest.mark.parametrize("L", LENGTHS)
def test_norms(relative, L, D, dtype):
    """Of heads that are columns of a projection, and of rows; no eps beside rows that are there."""
    columns, weight = torch.randn(L, 3 * D).to(dtype), torch.randn(D)

    def heads(columns):
        return (columns[:, :-D].unflatten(1, (2, D)), columns[:, D:].unflatten(1, (2, D)))

    def gated(columns, weight, activation="silu"):
        x, gate = heads(columns)
        return rms_norm(x, weight, eps=1e-5, gate=gate, activation=activation)

    check(gated, relative, BOUND[dtype], columns=columns, weight=weight)
    check(
        lambda columns, weight: gated(columns, weight.to(columns), "sigmoid"),
        relative, BOUND[dtype], columns=columns, weight=weight.to(dtype),
    )  # fmt: skip
    for run in (
        lambda columns: gated(columns, None),
        lambda columns: rms_norm(columns, eps=1e-5),
        lambda columns: l2_norm(heads(columns)[1]),
        lambda columns: swiglu(columns[:, : 2 * D]),
        # Its gradient has strides of zero.
        lambda columns: l2_norm(columns * torch.arange(3 * D).to(columns)).sum(),
    ):
        check(run, relative, BOUND[dtype], columns=columns)
    x = columns[:, :D].contiguous()
    check(
        lambda x, weight: rms_norm(x, weight, eps=0.0), relative, BOUND[dtype], x=x, weight=weight
    )


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("kept", BOUND)
@pytest.mark.parametrize("L", LENGTHS)
def test_a_sum_and_its_norm(relative, L, kept, dtype):
    """Each part in its own type, and what is not read has no gradient."""
    columns, weight = torch.randn(L, 200).to(dtype), torch.randn(100).to(dtype)
    for some in (slice(None), slice(1), slice(1, None)):

        def run(x, columns, weight, some=some):
            return *add_norm(x, columns[:, 50:150], weight, eps=1e-5)[some], weight.sum()

        x = torch.randn(L, 100).to(kept)
        check(run, relative, max(BOUND[kept], BOUND[dtype]), x=x, columns=columns, weight=weight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("V", [60, 100])
@pytest.mark.parametrize("shared", [None, False, True])
@pytest.mark.parametrize("top_k", [1, 2])
@pytest.mark.parametrize("L", LENGTHS)
def test_the_way_there_and_back(relative, L, top_k, shared, V, dtype):
    """`shared` None: no rows, choices lie one after another and something is added."""
    memories = torch.rand(L, 5).argsort(1)[:, :top_k].to(DEVICE)
    memories[memories == 3] = 4
    order = None if shared is None else dispatch(memories, 5, shared=shared)
    y = torch.randn(L * (top_k + bool(shared)), 2, V).to(dtype)
    given = {"y": y, "weights": torch.rand(top_k, L).mT}
    if order is None:
        given["onto"] = torch.randn(L, 2, V).to(dtype)
    else:
        check(lambda x: take(x, order), relative, BOUND[dtype], x=torch.randn(L, 2, V).to(dtype))

    def summed(y, weights, onto=None):
        return combine(y, weights, order, onto)

    def normed(y, weights, onto=None, weight=None, gate=None, activation="silu"):
        gate = None if gate is None else gate[:, V:].unflatten(1, (2, V))
        # Of the norm of one row its weight has no gradient, but for eps; a small one would leave
        # the difference of two large numbers, which in bfloat16 is rounding.
        return combine_norm(
            y, weights, order, onto, weight, eps=3.0, gate=gate, activation=activation
        )

    check(summed, relative, BOUND[dtype], **given)
    check(normed, relative, BOUND[dtype], **given)
    given |= {"weight": torch.randn(V), "gate": torch.randn(L, 3 * V).to(dtype)}
    check(normed, relative, BOUND[dtype], **given)
    check(lambda **given: normed(**given, activation="sigmoid"), relative, BOUND[dtype], **given)


def test_wide_rows_are_summed_in_parts(relative):
    memories = torch.tensor([[0, 2], [2, 1], [1, 0]], device=DEVICE)
    order = dispatch(memories, 3, shared=True)
    given = {"y": torch.randn(9, 1030), "weights": torch.rand(3, 2)}
    check(lambda **given: combine(rows=order, **given), relative, BOUND[torch.float32], **given)
    check(lambda x: take(x, order), relative, BOUND[torch.float32], x=torch.randn(3, 1030))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("top_k", [1, 2, 5])
@pytest.mark.parametrize("L", LENGTHS)
def test_routes(relative, L, top_k, dtype):
    """Of weights and probabilities, and of the logits where they are made."""
    logits, x, weight = torch.randn(L, 5), torch.randn(L, 3 * 60).to(dtype), torch.randn(5, 60)
    check(lambda logits: route(logits, top_k)[1:3], relative, BOUND[dtype], logits=logits)
    check(lambda logits: route(logits, top_k).weights, relative, BOUND[dtype], logits=logits)
    for columns in (slice(60, 120), slice(0, 180, 3)):
        check(
            lambda x, weight, columns=columns: router(x[:, columns], weight, top_k)[1:],
            relative, BOUND[dtype], x=x, weight=weight.to(dtype),
        )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("L", [0, 1, 190])
def test_gates(relative, L, dtype):
    """Columns of a projection, from where e^x vanishes to where softplus is the identity."""
    columns = (15 * torch.randn(L, 12)).to(dtype)
    check(
        lambda columns, A_log, bias: delta_gates(
            columns[:, 1:6], columns[:, 6:11], TimeStep(A_log, bias, 2.0)
        ),
        relative, BOUND[dtype], columns=columns, A_log=torch.randn(5), bias=torch.randn(5),
    )  # fmt: skip


def test_weights_need_not_lie_close(relative):
    """Every second number of a vector."""
    x, w, bias = torch.randn(9, 60), torch.randn(120), torch.randn(120)
    taps, segments = torch.randn(60, 4), torch.tensor([0, 9], device=DEVICE)

    def convolved(x, taps, bias):
        y, _ = short_conv(x, taps, bias=bias[::2], activation="silu", cu_seqlens=segments)
        return y

    def gated(x, w, bias):
        g, beta = delta_gates(x[:, :30], x[:, 30:], TimeStep(w[:60:2], bias[:60:2]))
        return torch.cat([g, beta])

    def combined(x, w):
        y, weights = x.unflatten(1, (1, 60)), torch.ones(9, 1, device=DEVICE).to(x)
        return combine_norm(y, weights, None, None, w[::2], eps=0.3)

    check(lambda x, w: rms_norm(x, w[::2], eps=1e-5), relative, 1e-5, x=x, w=w)
    check(combined, relative, 1e-5, x=x, w=w)
    check(gated, relative, 1e-5, x=x, w=w, bias=bias)
    check(convolved, relative, 1e-5, x=x, taps=taps, bias=bias)


@pytest.mark.parametrize("name", MODELS)
def test_a_model(relative, name):
    """Every parameter, with Triton forced: no op lacks a gradient."""
    model, found = new_model(small_enough(CASES[name])).to(DEVICE), {}
    for model.kernels in ("torch", "triton"):
        model.zero_grad()
        out = model(*packed(sequences(5, 0), DEVICE), at=torch.arange(5, device=DEVICE))
        shares = [routes.probabilities.square().sum() for routes in out.routing.values()]
        (out.logits.square().mean() + sum(shares)).backward()
        found[model.kernels] = {name: x.grad.clone() for name, x in model.named_parameters()}
    for name, truth in found["torch"].items():
        assert relative(found["triton"][name], truth) < 1e-4, name
