"""Attention against its definition, written out in float64 over one sequence at a time."""

from itertools import pairwise
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from mom_eval.models import AttentionOptions, State, attention
from mom_eval.models.attention import Attention, prepared
from mom_eval.models.family import Stream
from tests.kernels.test_rotary import turned
from tests.models.shapes import error

HIDDEN = 20
CASES = {
    "plain": AttentionOptions(num_heads=2, num_kv_heads=2, head_dim=8),
    "grouped": AttentionOptions(num_heads=4, num_kv_heads=2, head_dim=8, qkv_bias=True),
    "one key": AttentionOptions(num_heads=4, num_kv_heads=1, head_dim=8, rope_theta=50.0),
    "normed": AttentionOptions(num_heads=4, num_kv_heads=2, head_dim=8, qk_norm=True),
    "window": AttentionOptions(num_heads=4, num_kv_heads=2, head_dim=8, window=5),
    "itself": AttentionOptions(num_heads=2, num_kv_heads=1, head_dim=8, window=1),
}
LENGTHS = (7, 0, 30, 1)
FLOAT32 = 1e-6


class Call(NamedTuple):
    y: Tensor
    state: State


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(params=CASES)
def layer(request) -> Attention:
    return new_layer(CASES[request.param])


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few queries at a time, so that short sequences have several blocks."""
    monkeypatch.setattr(attention, "QUERIES", 4)


def new_layer(options: AttentionOptions) -> Attention:
    torch.manual_seed(0)
    layer = Attention(options, HIDDEN)
    layer.reset_parameters(0.5)
    for name, parameter in layer.named_parameters():
        if "norm" in name or "bias" in name:
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


def inputs(*lengths: int, seed: int = 1) -> list[Tensor]:
    torch.manual_seed(seed)
    return [torch.randn(length, HIDDEN) for length in lengths]


def call(layer: Attention, batch: list[Tensor], state: State | None = None) -> Call:
    """The layer over packed sequences, as a model calls it."""
    device = layer.out.weight.device
    lengths = torch.tensor([len(x) for x in batch], device=device)
    if state is None:
        state = State(torch.zeros_like(lengths), [layer.empty_state(len(batch))])
    cu_seqlens = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    ages = zip(state.seen.tolist(), lengths.tolist(), strict=True)
    positions = torch.cat([torch.arange(seen, seen + more) for seen, more in ages]).to(device)
    x = torch.cat(batch)
    stream = prepared(Stream(cu_seqlens, positions, state.seen), layer.options, x)
    y, kept, routing = layer(x, stream, state.layers[0])
    assert routing is None
    return Call(y, State(state.seen + lengths, [kept]))


def definition(layer: Attention, x: Tensor) -> Tensor:
    """One sequence [L, D] from its first token, head by head, in float64."""
    options = layer.options
    p = {name: piece.double() for name, piece in layer.pieces().items()}
    x = x.double()
    heads = {}
    for name in ("q", "k", "v"):
        y = x @ p[f"{name}.weight"].T + p.get(f"{name}.bias", 0.0)
        y = y.unflatten(-1, (-1, options.head_dim))
        if name != "v":
            if options.qk_norm:
                size = (y.square().mean(-1, keepdim=True) + 1e-5).sqrt()
                y = y / size * p[f"{name}_norm.weight"]
            y = turned(y, torch.arange(len(x)), options.rope_theta)
        heads[name] = y
    distance = torch.arange(len(x))[:, None] - torch.arange(len(x))
    hidden = (distance < 0) | (distance >= (options.window or len(x)))
    reads = []
    for h in range(options.num_heads):
        shared = h * options.num_kv_heads // options.num_heads
        scores = heads["q"][:, h] @ heads["k"][:, shared].T / options.head_dim**0.5
        weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        reads.append(weights @ heads["v"][:, shared])
    return torch.cat(reads, -1) @ p["out.weight"].T


def test_the_definition(layer: Attention, blocks: None):
    batch = inputs(*LENGTHS)
    want = torch.cat([definition(layer, x) for x in batch])
    assert error(call(layer, batch).y.double(), want) < FLOAT32
    assert error(call(layer.double(), [x.double() for x in batch]).y, want) < 1e-12


def test_sequences_of_one_length(layer: Attention):
    """They fill their rooms, and are read by another kernel unless there is a window."""
    batch = inputs(9, 9, 9)
    found = call(layer, batch)
    want = torch.cat([definition(layer, x) for x in batch])
    assert error(found.y.double(), want) < FLOAT32
    alone = State.cat([call(layer, [x]).state for x in batch])
    for name, kept in found.state.layers[0].items():
        assert kept.shape[1] == 9
        assert error(kept, alone.layers[0][name]) < FLOAT32


@pytest.mark.parametrize("cuts", [(0, 0, 0, 0), (5, 0, 0, 0), (1, 0, 29, 1)])
def test_segments_of_the_fused_kernel(
    layer: Attention, cuts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
):
    """What it is given on a GPU, put to its definition: rows and keys of each segment."""
    asked = []

    def segment_by_segment(q, k, v, cu_q, cu_k, max_q, max_k, *, window_size):
        bounds = list(zip(pairwise(cu_q.tolist()), pairwise(cu_k.tolist()), strict=True))
        assert max(end - start for (start, end), _ in bounds) <= max_q
        assert max(end - start for _, (start, end) in bounds) <= max_k
        assert k.shape == v.shape
        assert (k.shape[:1], k.shape[1:]) == ((bounds[-1][1][1],), q.shape[1:])
        asked.append(bounds)
        window = None if window_size[0] < 0 else window_size[0] + 1
        parts = [attention._rows(q[i:j], k[s:e], v[s:e], window) for (i, j), (s, e) in bounds]
        return torch.cat(parts)

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", segment_by_segment)
    batch = inputs(*LENGTHS)
    before = call(layer, [x[:cut] for x, cut in zip(batch, cuts, strict=True)]).state
    parts = [x[cut:] for x, cut in zip(batch, cuts, strict=True)]
    want = call(layer, parts, before)
    monkeypatch.setattr(attention, "_one_by_one", attention._flash)
    found = call(layer, parts, before)
    assert len(asked) == 1
    assert error(found.y, want.y) < FLOAT32


def test_what_is_kept_is_as_long_as_the_longest(layer: Attention):
    state = call(layer, inputs(3, 20)).state
    (more,) = inputs(2, seed=2)
    first = call(layer, [more], state[[0]])
    assert first.state.layers[0]["k"].shape[1] == 5
    both = call(layer, [more, more[:0]], state)
    assert both.state.layers[0]["k"].shape[1] == 20
    assert error(first.y, both.y) < FLOAT32


def test_blocks_change_nothing(layer: Attention, monkeypatch: pytest.MonkeyPatch):
    batch = inputs(*LENGTHS)
    whole = call(layer, batch).y
    monkeypatch.setattr(attention, "QUERIES", 3)
    assert error(call(layer, batch).y, whole) < FLOAT32


@torch.enable_grad()
def test_gradients_are_the_definitions(layer: Attention, blocks: None):
    (x,) = inputs(13)
    layer, x = layer.double(), x.double().requires_grad_()
    before = call(layer, [x[:6]])
    y = torch.cat([before.y, call(layer, [x[6:]], before.state).y])
    weights = torch.randn_like(y)
    asked = [x, *layer.parameters()]
    found = torch.autograd.grad((y * weights).sum(), asked)
    wanted = torch.autograd.grad((definition(layer, x) * weights).sum(), asked)
    for mine, theirs in zip(found, wanted, strict=True):
        assert error(mine, theirs) < 1e-10


def test_the_norms_eps_is_the_published_one():
    """Small inputs, so that eps weighs as much as the mean square."""
    layer = new_layer(CASES["normed"])
    (x,) = inputs(12)
    assert error(call(layer, [1e-3 * x]).y.double(), definition(layer, 1e-3 * x)) < FLOAT32


@pytest.mark.parametrize("cuts", [(1, 0, 3, 0), (4, 0, 29, 1), (7, 0, 12, 0)])
def test_split_is_whole(layer: Attention, blocks: None, cuts: tuple[int, ...]):
    batch = inputs(*LENGTHS)
    whole = call(layer, batch)
    first = call(layer, [x[:cut] for x, cut in zip(batch, cuts, strict=True)])
    rest = call(layer, [x[cut:] for x, cut in zip(batch, cuts, strict=True)], first.state)
    want = [y[cut:] for y, cut in zip(whole.y.split(LENGTHS), cuts, strict=True)]
    assert error(rest.y, torch.cat(want)) < FLOAT32
    assert torch.equal(rest.state.seen, whole.state.seen)
    for name, kept in whole.state.layers[0].items():
        assert error(rest.state.layers[0][name], kept) < FLOAT32


def test_token_by_token(layer: Attention):
    (x,) = inputs(9)
    state, steps = None, []
    for row in x:
        step = call(layer, [row[None]], state)
        state = step.state
        steps.append(step.y)
    assert error(torch.cat(steps).double(), definition(layer, x)) < FLOAT32


def test_states_of_different_ages_are_put_together(layer: Attention):
    batch, more = inputs(3, 20, 0), inputs(2, 1, 6, seed=2)
    states = [call(layer, [x]).state for x in batch]
    order = [1, 2, 0]
    together = call(layer, [more[n] for n in order], State.cat([states[n] for n in order]))
    want = [definition(layer, torch.cat([batch[n], more[n]]))[len(batch[n]) :] for n in order]
    assert error(together.y.double(), torch.cat(want)) < FLOAT32


def test_the_filling_is_never_read(layer: Attention):
    batch, more = inputs(3, 20), inputs(4, 2, seed=2)
    state = call(layer, batch).state
    want = call(layer, more, state).y
    for kept in state.layers[0].values():
        kept[0, 3:] = torch.nan
    assert torch.equal(call(layer, more, state).y, want)


def test_a_token_reaches_the_window_and_no_further(layer: Attention, blocks: None):
    """Token 10 stands inside a block of queries, so that one before it could see it."""
    (x,) = inputs(20)
    changed = x.clone()
    changed[10] += 1
    differs = (call(layer, [x]).y != call(layer, [changed]).y).any(-1)
    reached = range(10, 20 if layer.options.window is None else 10 + layer.options.window)
    assert differs.nonzero().flatten().tolist() == list(reached)


def test_a_call_without_a_token_keeps_the_state(layer: Attention):
    state = call(layer, inputs(3, 20)).state
    after = call(layer, inputs(0, 0), state)
    assert after.y.shape == (0, HIDDEN)
    assert torch.equal(after.state.seen, state.seen)
    for name, kept in state.layers[0].items():
        assert torch.equal(after.state.layers[0][name], kept)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.bfloat16, 1e-2), (torch.float16, 2e-3), (torch.float32, 1e-5)]
)
def test_on_a_gpu(layer: Attention, dtype: torch.dtype, bound: float):
    batch, cuts = inputs(7, 0, 300, 1), (7, 0, 120, 0)
    layer, batch = layer.to(dtype), [x.to(dtype) for x in batch]
    want = torch.cat([definition(layer, x) for x in batch])
    equal = batch[2].split(100)
    apart = torch.cat([definition(layer, x) for x in equal])
    layer, batch = layer.to("cuda"), [x.to("cuda") for x in batch]
    whole = call(layer, batch)
    assert error(whole.y.double().cpu(), want) < bound
    first = call(layer, [x[:cut] for x, cut in zip(batch, cuts, strict=True)])
    rest = call(layer, [x[cut:] for x, cut in zip(batch, cuts, strict=True)], first.state)
    assert error(rest.y.double().cpu(), torch.cat([want[127:307], want[307:]])) < bound
    assert call(layer, [x[:0] for x in batch], whole.state).y.shape == (0, HIDDEN)
    assert error(call(layer, [x.to("cuda") for x in equal]).y.double().cpu(), apart) < bound


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("width", [6, 320])
def test_widths_that_the_fused_kernel_refuses(width: int):
    layer = new_layer(AttentionOptions(num_heads=2, num_kv_heads=1, head_dim=width)).bfloat16()
    (x,) = (y.bfloat16() for y in inputs(40))
    want = definition(layer, x)
    assert error(call(layer.cuda(), [x.cuda()]).y.double().cpu(), want) < 1e-2
