"""On a GPU: the same numbers, and no waiting for it where none is promised."""

from contextlib import contextmanager

import pytest
import torch

from mom_eval.evalsuite.bench.presets import PRESETS
from mom_eval.kernels import (
    add_norm,
    combine,
    combine_norm,
    dispatch,
    grouped_linear,
    l2_norm,
    preferring,
    rms_norm,
    route,
    router,
    short_conv,
    swiglu,
    take,
)
from mom_eval.models import LM, cast
from mom_eval.models.decoder import Decoder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
EXACT = 1e-5
TYPES = [torch.float32, torch.float16, torch.bfloat16]


@contextmanager
def no_waiting():
    """An error where an op waits for the device."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.fixture(autouse=True)
def _as_users_run_it(_poisoned):
    """Deterministic algorithms wait for the device; poison stays with the tests on a CPU."""
    torch.use_deterministic_algorithms(False)


def test_the_recurrences(make_case, relative):
    case = make_case((65, 0, 1, 130), "wild", (1, 2, 60, 100))
    truth = case.to(torch.float64).run("recurrent")
    for impl in ("recurrent", "chunked"):
        found = case.to(torch.device("cuda")).run(impl)
        for x, expected in zip(found, truth, strict=True):
            assert relative(x.cpu(), expected) < EXACT


def test_routing_and_convolution_do_not_wait():
    segments = torch.tensor([0, 20, 20, 50]).cuda()
    logits = torch.randn(50, 4).cuda().requires_grad_()
    x = torch.randn(50, 16).bfloat16().cuda().requires_grad_()
    kernel, weight = torch.randn(16, 4).cuda(), torch.randn(4, 24, 16).bfloat16().cuda()
    seen, ring = torch.zeros_like(segments[1:]), torch.zeros_like(x[:12]).view(3, 4, 16)
    with no_waiting():
        routes = route(logits, top_k=2)
        rows = dispatch(routes.memories, 4, segments)
        y, _ = short_conv(l2_norm(x), kernel, ring=ring, seen=seen, cu_seqlens=segments)
        product = grouped_linear(take(y, rows), weight, rows.ends)
        combine(rms_norm(product, eps=1e-5), routes.weights, rows).float().square().sum().backward()
    assert x.grad is not None
    assert logits.grad is not None
    assert x.grad.isfinite().all()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["mom-1m", "gated-deltanet-1m"])
def test_a_model_reads_and_decodes_without_waiting(name, dtype):
    """A whole call from an earlier state, with a sequence's last tokens or others asked for."""
    lm = cast(LM(PRESETS[name]).cuda(), dtype)
    lm.reset_parameters()
    slots = torch.arange(2, device="cuda")
    with torch.inference_mode():
        tokens, ends = (torch.tensor(x, device="cuda") for x in ([1, 2, 3, 4, 5], [0, 2, 5]))
        state = lm(tokens, ends).state
        with no_waiting():
            out = lm(tokens, ends, state)
            lm(tokens, ends, at=ends[1:] - 1)
        assert out.logits.isfinite().all()
        decoder = Decoder(lm, 2, capacity=16)
        decoder.write([0, 1], out.state)
        decoder.push(tokens[:2], slots)
        with no_waiting():
            decoder.push(tokens[:2], slots)


@pytest.mark.parametrize("name", ["mom-1m", "gated-deltanet-1m"])
def test_steps_begun_ahead_are_those_begun_one_by_one(name):
    """Twenty tokens in two slots, of which one is filled anew while a step is under way."""
    lm = cast(LM(PRESETS[name]).cuda(), torch.bfloat16)
    lm.reset_parameters()
    with torch.inference_mode():
        tokens, ends = (torch.tensor(x, device="cuda") for x in ([1, 2, 3, 4, 5], [0, 2, 5]))
        state = lm(tokens, ends).state
    plain, ahead = (Decoder(lm, 3, capacity=32) for _ in "pa")
    for decoder in (plain, ahead):
        decoder.write([0, 2], state)
    expected, found, last = [], [], {0: 7, 2: 8}
    for step in range(20):
        if step == 10:
            plain.write([2], state[:1])
            last = last | {2: 9}
        last = plain.step(last)
        expected.append(last)
    ahead.begin({0: 7, 2: 8})
    for step in range(20):
        if step == 9:
            # Step 9 is under way for what the slot held before.
            ahead.write([2], state[:1])
        # The first begin has captured the graph; then none waits for a step that is under way.
        with no_waiting():
            ahead.begin({0: None, 2: 9 if step == 9 else None})
        found.append(ahead.end((0, 2)))
    ahead.end(())
    assert found == expected


@pytest.mark.parametrize("dtype", TYPES)
def test_gradients_in_triton_do_not_wait(dtype):
    x, weight, norm = (
        torch.randn(*s, device="cuda", dtype=dtype, requires_grad=True)
        for s in ((50, 16), (4, 24, 16), (24,))
    )
    by = torch.randn(4, 16, device="cuda", requires_grad=True)
    segments = torch.tensor([0, 20, 50], device="cuda")
    with no_waiting(), preferring("triton"):
        routes = router(x, by, top_k=2)
        rows = dispatch(routes.memories, 4, segments)
        y = grouped_linear(take(x, rows), weight, rows.ends).unflatten(1, (3, 8))
        y = combine_norm(l2_norm(y), routes.weights, rows, None, None, eps=1e-5)
        _, y = add_norm(y.flatten(1), y.flatten(1), norm, eps=1e-5)
        swiglu(y).float().square().sum().backward()
    for leaf in (x, weight, norm, by):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()


@pytest.mark.parametrize(("dtype", "bound"), zip(TYPES, (1e-5, 1e-3, 6e-3), strict=True))
@pytest.mark.parametrize("width", [24, 20])
def test_grouped_products(relative, dtype, bound, width):
    """The width of 20 fills no 16 bytes in bfloat16, and goes the way of other types."""
    x = torch.randn(50, 16, dtype=dtype).cuda().requires_grad_()
    weight = torch.randn(4, width, 16, dtype=dtype).cuda().requires_grad_()
    ends = torch.tensor([7, 7, 49, 50], dtype=torch.int32).cuda()
    with no_waiting():
        y = grouped_linear(x, weight, ends)
        # A sum's gradient has strides of zero.
        y.sum().backward()
    wide = [t.detach().cpu().double().requires_grad_() for t in (x, weight)]
    truth = grouped_linear(*wide, ends.cpu())
    truth.sum().backward()
    for found, expected in ((y, truth), (x.grad, wide[0].grad), (weight.grad, wide[1].grad)):
        assert relative(found.detach().cpu(), expected.detach()) < bound


@pytest.mark.parametrize("begin", [0, 3, 8])
def test_grouped_products_of_columns_of_a_wider_tensor(relative, begin):
    """Rows of 29 numbers begin at no 16 bytes, and neither do their columns from the third on."""
    wide = torch.randn(50, 29).bfloat16().cuda()
    x, weight = wide[:, begin : begin + 16], torch.randn(4, 24, 16).bfloat16().cuda()
    ends = torch.tensor([7, 7, 49, 50], dtype=torch.int32).cuda()
    truth = grouped_linear(x.cpu().double(), weight.cpu().double(), ends.cpu())
    assert relative(grouped_linear(x, weight, ends).cpu(), truth) < 6e-3
