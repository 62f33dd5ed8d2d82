"""Edges of the Triton kernels: unwritten memory that is NaN, NaN itself, views; see `test_triton`.

Unlike `triton_cases.poison`, which fills a GPU's free memory, this poisons every `torch.empty` by
itself, in the interpreter too.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mom_eval.kernels import (
    Routed,
    combine_norm,
    conv_delta_step,
    dispatch,
    preferring,
    read_out_step,
    route,
)
from mom_eval.kernels.ahead import unlaunched
from mom_eval.models import packed
from mom_eval.models.ahead import make_calls
from mom_eval.models.decoder import Decoder
from tests.kernels.conftest import gated_delta_case, make_step
from tests.models.shapes import CASES, new_model, sequences

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
EMPTY = {
    torch.ops.aten.empty.memory_format,
    torch.ops.aten.empty_like.default,
    torch.ops.aten.empty_strided.default,
    torch.ops.aten.new_empty.default,
    torch.ops.aten.new_empty_strided.default,
}
FAMILIES = ["gated_deltanet-4", "kda-4", "gla-4", "mamba2-4", "retnet-4", "transformer"]


class Poisoned(TorchDispatchMode):
    """Memory that nobody has written is NaN, or a whole number beyond every index."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func in EMPTY and out.dtype != torch.uint8:
            out.fill_(torch.nan if out.is_floating_point() else 1 << 30)
        return out


def read_in_torch(model):
    """The state of three sequences, which the interpreter would be slow to read."""
    model.kernels = "torch"
    with torch.inference_mode():
        return model(*packed(sequences(6, 5, 4), DEVICE)).state


@pytest.mark.parametrize("kind", ["head-delta", "channel-delta"])
def test_heads_of_few_channels_are_rounded_in_nothing_but_what_is_given(relative, kind):
    """Betas up to 2, which magnify what is rounded; in half precision these err by 1.3e-2."""
    case = gated_delta_case(kind, (65, 0, 1, 130), "mild", (2, 4, 8, 16)).to(DEVICE)
    half = {name: case.stream[name].bfloat16() for name in ("q", "k", "v")}
    case.stream.update(half)
    wide = case.to(torch.float64)
    found, truth = case.run("triton"), wide.run("recurrent")
    assert found[0].dtype == torch.bfloat16
    assert relative(found[0], truth[0]) < 3e-3
    assert relative(found[1], truth[1]) < 1e-4
    slopes = case.gradients("triton")
    for name, expected in wide.gradients("recurrent").items():
        assert relative(slopes[name], expected) < 3e-3, name


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_of_nobody_reach_nobody(relative, name):
    """What is returned for them is NaN from the first layer on; every slot is as without them."""
    model = new_model(CASES[name]).to(DEVICE)
    tokens, slots = (torch.tensor(some, device=DEVICE) for some in ([1, 2, 3], [-1, 1, -1]))
    out = []
    for kernels in ("torch", "triton"):
        decoder = Decoder(model, 3, capacity=9)
        decoder.write([0, 1, 2], read_in_torch(model))
        model.kernels = kernels
        with torch.inference_mode(), Poisoned():
            logits = model.step(tokens, slots, decoder._state)
        state = decoder.read([0, 1, 2])
        kept = [t.flatten().double() for layer in state.layers for t in layer.values()]
        out.append(torch.cat([logits[1].double(), state.seen.double(), *kept]))
    assert relative(out[1], out[0]) < 1e-5


@pytest.mark.parametrize("name", FAMILIES)
def test_one_of_several_states_goes_on(relative, name):
    """A slice of a state is a view, whose memories lie apart."""
    model = new_model(CASES[name]).to(DEVICE)
    one, out = read_in_torch(model)[1:2], []
    for kernels in ("torch", "triton"):
        model.kernels = kernels
        with torch.inference_mode(), Poisoned():
            out.append(model(*packed(sequences(3), DEVICE), one).logits)
    assert relative(out[1], out[0]) < 1e-5


@pytest.mark.skipif(DEVICE.type == "cuda", reason="there `compile_kernels` is tested itself")
@pytest.mark.parametrize("name", [*FAMILIES, "gsa-4", "gated_deltanet-4+shared-common", "hybrid"])
def test_calls_in_which_nothing_is_launched_run_through(name, monkeypatch):
    """In float32, where memories' products are one by one, and of families with no kernel."""
    from triton.runtime.interpreter import GridExecutor

    monkeypatch.setattr(GridExecutor, "__call__", lambda *_given, **_named: None)
    with torch.inference_mode(), unlaunched():
        make_calls(model := new_model(CASES[name]))
        make_step(model, 2)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_what_is_no_number_goes_to_memories_all_the_same(top_k):
    """Choices are in range and name no memory twice, or others' rows and states are written."""
    logits = torch.randn(6, 3, device=DEVICE)
    logits[1], logits[3, 2] = torch.nan, torch.nan
    with preferring("triton"):
        routes = route(logits, top_k)
        rows = dispatch(routes.memories, 3)
        seen = torch.zeros(7, 3, dtype=torch.int64, device=DEVICE)
        slots = torch.tensor([0, -1, 1, 2, 3, 4], device=DEVICE)
        o, weight = torch.ones(6 * top_k, 1, 16, device=DEVICE), torch.ones(4, 16, device=DEVICE)
        routed = Routed(logits, top_k, slots, seen)
        read_out_step(o, weight, norm=None, eps=1e-5, routed=routed)
    memories = routes.memories
    assert ((memories >= 0) & (memories < 3)).all()
    assert (memories.sort(1).values.diff(dim=1) > 0).all()
    assert torch.equal(rows.row.flatten().sort().values, torch.arange(6 * top_k, device=DEVICE))
    assert seen.sum(1).tolist() == [top_k] * 5 + [0, 0]
    assert routes.probabilities[1].isnan().all()
    assert routes.probabilities[3].isnan().all()
    assert routes.weights[[0, 2, 4, 5]].isfinite().all()


def test_what_changes_in_place_must_be_contiguous():
    q, k, v = (torch.ones(2, 4, device=DEVICE) for _ in "qkv")
    weight, ring, state = (
        torch.ones(*s, device=DEVICE) for s in ((12, 2), (3, 2, 12), (3, 1, 4, 4))
    )
    slots = torch.arange(2, device=DEVICE)
    given = {"slots": slots, "times": slots, "g": None, "beta": None}
    for change in ({"ring": ring.mT.contiguous().mT}, {"state": state.mT}):
        kept = {"ring": ring, "state": state} | change
        with pytest.raises(ValueError, match="must be contiguous"):
            conv_delta_step(q, k, v, weight, **kept, **given)


@pytest.mark.parametrize("kernels", ["torch", "triton"])
def test_sums_with_norms_take_what_fits(kernels):
    """The kernel would read behind a gate that has its heads side by side."""
    y, weights = torch.ones(6, 2, 5, device=DEVICE), torch.ones(3, 2, device=DEVICE)
    given = {"y": y, "rows": None, "onto": None, "weight": None, "eps": 1e-5}
    for change, match in (
        ({"gate": y[:3].flatten(1)}, "gate must be"),
        ({"gate": y[:2]}, "axis L of gate"),
        ({"y": y[1:]}, "axis R of y"),
        ({"weight": y[0, 0, :3]}, "axis V of weight"),
        ({"onto": y}, "axis L of onto"),
        ({"activation": "swish"}, "activation must be one of"),
    ):
        with preferring(kernels), pytest.raises(ValueError, match=match):
            combine_norm(weights=weights, **(given | change))
