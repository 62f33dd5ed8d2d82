"""What Triton kernels must give; `test_triton` runs this in a process of its own."""

from itertools import accumulate

import pytest
import torch

from mom_eval.errors import SettingError
from mom_eval.kernels import (
    Joined,
    Rows,
    Taken,
    TimeStep,
    add_norm,
    attention_step,
    chunk_grid,
    combine,
    combine_norm,
    delta_gates,
    dispatch,
    few_linear,
    gated_delta,
    gated_delta_step,
    gated_slot,
    l2_norm,
    preferring,
    rms_norm,
    route,
    router,
    short_conv,
    short_conv_step,
    swiglu,
)
from mom_eval.models import packed
from mom_eval.models.ahead import compile_kernels
from mom_eval.models.decoder import Decoder
from tests.kernels.conftest import but_slow, forget_kernels, gated_delta_case, small_enough
from tests.models.shapes import CASES, new_model, sequences

KINDS = ["none", "head", "channel", "none-delta", "head-delta", "channel-delta"]
LENGTHS = (65, 0, 1, 130)
MODELS = ["gated_deltanet-4+shared", "kda-4+shared", "mamba2-4", "gla-1", "transformer"]
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
# The interpreter's products of bfloat16 are wrong.
BOUNDS = {torch.float32: 1e-4} | ({torch.bfloat16: 6e-3} if GPU else {})
SIZES = [(1, 2, 20, 36), (1, 6, 20, 36)] + (
    [(2, 4, 128, 128), (1, 2, 256, 200), (1, 1, 60, 100)] if GPU else []
)


def poison():
    """What is freed here is what kernels get, and it is NaN."""
    if GPU:
        torch.empty(1 << 26, device="cuda").fill_(torch.nan)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("decay", ["mild", "near", "edge", "wild", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_recurrence_is_that_of_four_lines(relative, kind, decay, sizes, dtype):
    if decay != "mild" and kind.startswith("none"):
        pytest.skip("no decay")
    ways = kind.startswith("channel")
    if decay in ("near", "edge") and not ways:
        pytest.skip("no change of ways")
    if sizes[1] == 6 and not (ways and decay in ("edge", "wild")):
        pytest.skip("more heads than a program of the second way has")
    case = gated_delta_case(kind, LENGTHS, decay, sizes)
    case.stream.update({name: case.stream[name].to(dtype) for name in ("q", "k", "v")})
    wide = case.to(torch.float64)
    truth = wide.run("recurrent")
    case = case.to(DEVICE)
    poison()
    found = case.run("triton")
    bound = BOUNDS[dtype] * (2 if "delta" in kind else 1)
    for x, expected in zip(found, truth, strict=True):
        assert relative(x.cpu(), expected) < bound
    if GPU:
        assert all(map(torch.equal, found, case.run("triton")))


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_one_token_in_place(relative, kind, dtype):
    rows, slots = 5, torch.tensor([3, 0, -1, 6, 2])
    case = gated_delta_case(kind, (1,) * rows, "mild", (2, 4, 60, 100))
    stream = {name: x.to(DEVICE) for name, x in case.stream.items()}
    stream |= {name: stream[name].to(dtype) for name in ("q", "k", "v")}
    ends = torch.arange(rows + 1, device=DEVICE)
    kept = torch.randn(8, 4, 60, 100, device=DEVICE)
    wide = {name: x.double() for name, x in stream.items()}
    o, states = gated_delta(**wide, state=kept[slots].double(), cu_seqlens=ends, impl="recurrent")
    for impl in ("torch", "triton"):
        state = kept.clone()
        poison()
        found = gated_delta_step(**stream, state=state, slots=slots.to(DEVICE), impl=impl)
        real = slots >= 0
        assert relative(found[real], o[real]) < BOUNDS[dtype]
        assert relative(state[slots[real]], states[real]) < 1e-5
        untouched = [1, 4, 5]
        assert torch.equal(state[untouched], kept[untouched])


def test_a_convolution_step_is_one_token_in_place(relative):
    x, weight, bias = (torch.randn(*s, device=DEVICE) for s in ((4, 70), (70, 4), (70,)))
    kept = torch.randn(6, 4, 70, device=DEVICE)
    slots, times = (torch.tensor(some, device=DEVICE) for some in ([4, -1, 0, 2], [9, 5, 0, 3]))
    out = {}
    for impl in ("torch", "triton"):
        ring = kept.clone()
        y = short_conv_step(
            x, weight, ring=ring, times=times, slots=slots, bias=bias, activation="silu", impl=impl
        )
        out[impl] = torch.cat([y[slots >= 0].flatten(), ring[:5].flatten()])
    assert relative(out["triton"], out["torch"]) < 1e-6


@pytest.mark.parametrize("window", [None, 100])
@pytest.mark.parametrize("heads", [2, 4])
def test_an_attention_step_reads_what_a_slot_holds(relative, window, heads):
    q, k, v = (torch.randn(*s, device=DEVICE) for s in ((3, heads, 24), *[(5, 600, 2, 24)] * 2))
    slots, positions = (torch.tensor(some, device=DEVICE) for some in ([3, 0, 1], [599, 0, 256]))
    out = [
        attention_step(q, k, v, slots=slots, positions=positions, window=window, impl=impl)
        for impl in ("torch", "triton")
    ]
    assert relative(*out[::-1]) < 1e-5


def test_a_kernel_that_cannot_run_says_why():
    q = torch.ones(3, 1, 4, device=DEVICE)
    run, wide = {"q": q, "k": q, "v": q}, q.new_ones(3, 1, 129).requires_grad_()
    for change, reason in (
        ({"v": q.double()}, "float64"),
        ({"q": q.new_ones(3, 1, 513), "k": q.new_ones(3, 1, 513)}, "K = 513 is more than 512"),
        (
            {"q": wide, "k": wide},
            "K = 129 is more than 128 where a gradient is asked for in float32",
        ),
    ):
        with pytest.raises(SettingError, match=f"gated_delta cannot run: .*{reason}"):
            gated_delta(**(run | change), impl="triton")
        with preferring("triton"), pytest.raises(SettingError, match=reason):
            gated_delta(**(run | change))
    with preferring("triton"), pytest.raises(SettingError, match="gated_slot cannot run"):
        gated_slot(q, q, q, g=-q)
    with preferring("triton"), pytest.raises(SettingError, match="it has no gradient"):
        few_linear(q[:, 0].clone().requires_grad_(), q[:, 0])


def test_an_empty_stream_changes_nothing():
    q = torch.ones(0, 1, 4, device=DEVICE)
    state = torch.randn(2, 1, 4, 4, device=DEVICE)
    ends = torch.zeros(3, dtype=torch.int64, device=DEVICE)
    o, after = gated_delta(q, q, q, state=state, cu_seqlens=ends, impl="triton")
    assert (len(o), torch.equal(after, state)) == (0, True)


@pytest.mark.parametrize("dtype", BOUNDS)
def test_norms(relative, dtype):
    """Heads of a projection's columns are read where they lie."""
    columns = torch.randn(37, 3 * 60, device=DEVICE).to(dtype)
    x, gate = columns[:, :120].unflatten(1, (2, 60)), columns[:, 60:].unflatten(1, (2, 60))
    weight = torch.randn(60, device=DEVICE)
    for run in (
        lambda: rms_norm(x, eps=1e-5),
        lambda: rms_norm(columns, columns[0], eps=1e-5),
        lambda: rms_norm(x, weight, eps=1e-5, gate=gate),
        lambda: rms_norm(x, weight, eps=1e-5, gate=gate, activation="sigmoid"),
        lambda: l2_norm(x),
        lambda: swiglu(columns),
    ):
        assert in_triton_and_torch(run, relative) < BOUNDS[dtype]


def in_triton_and_torch(run, relative):
    poison()
    out = []
    for kernels in ("triton", "torch"):
        with preferring(kernels):
            found = run()
        found = found if isinstance(found, tuple) else (found,)
        out.append(torch.cat([x.flatten().double() for x in found]))
    return relative(*out)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("activation", [None, "silu"])
@pytest.mark.parametrize("shared", [None, False, True])
def test_convolution(relative, shared, activation, dtype):
    """In parts of projections, read where they lie; with memories, also by token."""
    tokens = 38
    wide = torch.randn(228, 200, device=DEVICE).to(dtype)
    bounds = [0, 5, 5, 6, 76, 78, 228]
    if shared is not None:
        # A shared memory of sequences of 8, 0 and 30 tokens, and memories that they are sent to.
        own = torch.arange(tokens * shared, device=DEVICE)
        sent = torch.randint(0, tokens, (190 + tokens * (not shared),), device=DEVICE)
        bounds = [0, 8, 8, 38, 38, 39, 120, 228] if shared else [0, 5, 5, 90, 228]
        rows = Rows(sent[:tokens, None], torch.cat([own, sent]), own, own.int(), len(own))
    x = wide[:, 32:182].split([30, 40, 80], 1)
    if shared is not None:
        parts = [Joined(y[:tokens], y[tokens:]) if shared else y for y in x[:2]]
        x = [*parts, Taken(x[2][:tokens], rows)]
    N, weight = len(bounds) - 1, torch.randn(150, 4, device=DEVICE)
    seen = torch.tensor([0, 7, 3, 1, 2, 9, 4], device=DEVICE)[:N]
    bias = torch.randn(150, device=DEVICE) if activation else None
    ring = torch.randn(N, 4, 150, device=DEVICE).to(dtype)
    given = {"ring": ring, "seen": seen, "bias": bias, "activation": activation}
    ends = torch.tensor(bounds, device=DEVICE)

    def run():
        y, kept = short_conv(x, weight, cu_seqlens=ends, unit=[None, 10, 20], **given)
        return *(part.contiguous() for part in y), kept

    assert in_triton_and_torch(run, relative) < BOUNDS[dtype]


@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_sum_and_its_norm(relative, dtype):
    x, y = torch.randn(2, 37, 60, device=DEVICE)
    for kept in (torch.float32, dtype):
        run = lambda kept=kept: add_norm(  # noqa: E731
            x.to(kept), y.to(dtype), torch.ones(60, device=DEVICE, dtype=dtype), eps=1e-5
        )
        assert in_triton_and_torch(run, relative) < BOUNDS[dtype]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("top_k", [1, 2])
def test_dispatching(top_k, shared):
    """More choices than a block holds; sequences that are empty, also the last one."""
    ends = torch.tensor([0, 20, 20, 1500, 1500], device=DEVICE)
    memories = route(torch.randn(1500, 5, device=DEVICE), top_k).memories
    memories[memories == 3] = 4
    out = []
    for kernels in ("triton", "torch"):
        with preferring(kernels):
            out.append(dispatch(memories, 5, ends, shared=shared))
            none = dispatch(memories[:0], 5, ends.clamp(max=0), shared=shared)
        assert none.cu_seqlens.tolist() == [0] * ((5 + shared) * 4 + 1)
    for found, expected in zip(out[0][:-1], out[1][:-1], strict=True):
        assert torch.equal(found, expected)
        assert found.dtype == expected.dtype
    assert out[0].own == out[1].own == 1500 * shared


@pytest.mark.parametrize("lengths", [(5, 0, 130), (0, 64, 65, 0), (0,), (1,) * 300])
def test_a_grid_has_every_chunk_once(lengths):
    ends = torch.tensor([0, *accumulate(lengths)], device=DEVICE)
    with preferring("triton"):
        grid = chunk_grid(ends, sum(lengths))
    assert grid is not None
    chunks = [-(-length // 64) for length in lengths]
    assert grid.first.tolist() == [0, *accumulate(chunks)]
    owners = [n for n, count in enumerate(chunks) for _ in range(count)]
    assert grid.segment.tolist() == owners + [len(lengths)] * (grid.places - len(owners))
    with preferring("torch"):
        assert chunk_grid(ends, sum(lengths)) is None


@pytest.mark.parametrize("dtype", BOUNDS)
def test_combining(relative, dtype):
    ends = torch.tensor([0, 20, 20, 50], device=DEVICE)
    routes = route(torch.randn(50, 4, device=DEVICE), top_k=2)
    rows, more = (dispatch(routes.memories, 4, ends, shared=shared) for shared in (False, True))
    own, onto = (torch.randn(n, 2, 30, device=DEVICE).to(dtype) for n in (150, 50))
    gate, weight = torch.randn(50, 60, device=DEVICE).to(dtype), torch.rand(30, device=DEVICE)
    for y, order, added in ((own[50:], rows, None), (own, more, None), (own[50:], None, onto)):
        run = lambda y=y, order=order, added=added: combine(  # noqa: E731
            y, routes.weights, order, added
        )
        assert in_triton_and_torch(run, relative) < BOUNDS[dtype]
        run = lambda y=y, order=order, added=added: combine_norm(  # noqa: E731
            y, routes.weights, order, added, weight, eps=1e-5, gate=gate.unflatten(1, (2, 30))
        )
        assert in_triton_and_torch(run, relative) < BOUNDS[dtype]


def test_routes_and_decays(relative):
    logits = torch.randn(70, 5, device=DEVICE)
    logits[3], logits[4, 1:3] = 0.0, 2.0
    for top_k in (1, 2, 5):
        assert in_triton_and_torch(lambda k=top_k: route(logits, k)[:3], relative) < 1e-6
    # A tile of tokens, and a program a token.
    x, weight = torch.randn(4100, 70, device=DEVICE), torch.randn(5, 70, device=DEVICE)
    for tokens in (x, x[:9]):
        run = lambda tokens=tokens: router(tokens, weight, 2)[:3]  # noqa: E731
        assert in_triton_and_torch(run, relative) < 1e-5
    # From where e^x vanishes to where softplus is the identity.
    x = torch.linspace(-40, 40, 350, device=DEVICE).view(70, 5)
    A_log, bias = torch.randn(2, 5, device=DEVICE)
    with preferring("torch"):
        expected = delta_gates(x.double(), x.double(), TimeStep(A_log, bias, 2.0))
    with preferring("triton"):
        found = delta_gates(x, x, TimeStep(A_log, bias, 2.0))
    for one, other in zip(found, expected, strict=True):
        assert (one / other - 1).abs().max() < 1e-3


@pytest.mark.parametrize("name", but_slow(MODELS, ["kda-4+shared"]))
def test_models(relative, name):
    """Prefill of three sequences, their continuation, and decoding, states written late."""
    model = new_model(small_enough(CASES[name])).to(DEVICE)
    out, slots = {}, torch.tensor([0, 1, 2], device=DEVICE)
    for model.kernels in ("torch", "triton"):
        with torch.inference_mode():
            first = model(*packed(sequences(70, 3, 1), DEVICE))
            next = model(*packed(sequences(2, 66, 1), DEVICE), first.state)
            decoder = Decoder(model, 3, capacity=80)
            decoder.write([0, 1, 2], next.state)
            steps = [model.step(slots + n, slots, decoder._state) for n in range(4)]
            state = decoder.read([0, 1, 2])
        kept = [x.flatten() for layer in state.layers for x in layer.values()]
        logits = torch.cat([first.logits, next.logits, *steps])
        out[model.kernels] = torch.cat([logits.flatten(), *kept])
    assert relative(out["triton"], out["torch"]) < 1e-4


@pytest.mark.parametrize("name", ["gated_deltanet-1", "kda-4"])
def test_a_slot_that_is_filled_anew_finds_nothing_of_the_last_sequence(relative, name):
    """Between two tokens at which its states are written; the other slot goes on."""
    model, out = new_model(small_enough(CASES[name])).to(DEVICE), []
    slots, tokens = torch.arange(2, device=DEVICE), torch.arange(8, device=DEVICE)
    model.kernels = "torch"
    with torch.inference_mode():
        first, second = (model(*packed(sequences(*n), DEVICE)).state for n in ((3, 5), (4,)))
        for model.kernels in ("torch", "triton"):
            decoder = Decoder(model, 2, capacity=20)
            decoder.write([0, 1], first)
            for token in tokens[:5]:
                decoder.push(token.expand(2), slots)
            decoder.write([1], second)
            for token in tokens[5:]:
                decoder.push(token.expand(2), slots)
            kept = decoder.read([0, 1]).layers
            out.append(torch.cat([x.flatten().double() for one in kept for x in one.values()]))
    assert relative(out[1], out[0]) < 1e-5


@pytest.mark.skipif(not GPU, reason="the interpreter compiles nothing")
@pytest.mark.parametrize("name", MODELS)
def test_what_is_compiled_ahead_is_all_that_is_launched(name, monkeypatch):
    from triton import knobs

    compiled, ahead, stepped = [], [], []
    model = new_model(CASES[name]).to(DEVICE)
    torch.ones(1, device=DEVICE).sum()
    # Nothing is compiled yet, whatever ran in this process before.
    forget_kernels()
    monkeypatch.setattr(
        knobs.runtime, "jit_post_compile_hook", lambda **what: compiled.append(what["repr"])
    )
    with torch.inference_mode():
        compile_kernels(model)
        assert compiled
        ahead[:] = compiled
        first = model(*packed(sequences(70, 3, 1), DEVICE))
        model(*packed(sequences(2, 5000, 1), DEVICE), first.state)
        assert compiled == ahead
        # A decoder compiles its own with its first step, and another one nothing.
        for _ in range(2):
            decoder = Decoder(model, 3, capacity=80)
            decoder.write([0, 1, 2], first.state)
            decoder.step({0: 3, 2: 4})
            stepped.append(len(compiled))
        assert len(ahead) < stepped[0] == stepped[1]
