"""Gradients of `short_conv` that its kernels must give; `test_triton` runs this by itself."""

from itertools import accumulate

import pytest
import torch
import triton.language as tl

from mom_eval.kernels import (
    Joined,
    Taken,
    dispatch,
    preferring,
    short_conv,
    short_conv_backward,
    short_conv_grad_triton,
)
from tests.kernels.triton_cases import DEVICE, GPU, poison

# The interpreter goes token by token: runs are short there.
RUN = 256 if GPU else 32
TOKENS, WIDTHS, UNIT = RUN + 44, [40, 20, 30], [20, 20, None]
PARTS = ["plain", "taken", "all-taken", "joined"]
BOUNDS = {torch.float32: 1e-5} | ({torch.bfloat16: 1.5e-2} if GPU else {})


@pytest.fixture(autouse=True)
def _runs(monkeypatch):
    for module in (short_conv_backward, short_conv_grad_triton):
        monkeypatch.setattr(module, "RUN", tl.constexpr(RUN))


def random(*shape):
    return torch.randn(*shape, device=DEVICE)


def rows_of(shared):
    """Of three sequences, one empty; every token goes to the last memory, which has two runs."""
    first = torch.randint(0, 2, (TOKENS,), device=DEVICE)
    memories = torch.stack([first, torch.full_like(first, 2)], 1)
    return dispatch(memories, 3, torch.tensor([0, 1, 1, TOKENS], device=DEVICE), shared=shared)


def parted(parts, rows):
    """What makes the parts of the columns of what is read and of what is sent."""

    def make(read, sent):
        read, sent = (x[:, 8:98].split(WIDTHS, 1) for x in (read, sent))
        if parts == "all-taken":
            return [Taken(x, rows) for x in read]
        if parts == "joined":
            joined = [Joined(*pair) for pair in zip(read[1:], sent[1:], strict=True)]
            return [Taken(read[0], rows), *joined]
        return [Taken(read[0], rows) if parts == "taken" else sent[0], *sent[1:]]

    return make


def past(segments, taps, channels, dtype):
    """What 0 to 5 tokens left; the ring is NaN where there was none."""
    seen = torch.arange(segments, device=DEVICE) % 6
    none = torch.arange(taps, device=DEVICE) >= seen[:, None]
    return seen, random(segments, taps, channels).to(dtype).masked_fill(none[..., None], torch.nan)


def gradients(kernels, make, leaves, weights, **given):
    """By name, of the weighted sum of what has a weight, the parts of y and the ring."""
    leaves = {name: x.clone().requires_grad_() for name, x in leaves.items()}
    own = {name: leaves[name] for name in ("bias", "ring") if name in leaves}
    with preferring(kernels):
        x = make(leaves.get("read"), leaves["sent"])
        y, kept = short_conv(x, leaves["weight"], **own, **given)
    y = [y] if isinstance(y, torch.Tensor) else y
    pairs = [pair for pair in zip((*y, kept), weights, strict=True) if pair[1] is not None]
    torch.autograd.backward(*zip(*((out, weight.to(out)) for out, weight in pairs), strict=True))
    # What nothing hangs on has none in torch.
    return {n: torch.zeros_like(x) if x.grad is None else x.grad for n, x in leaves.items()}


def check(relative, bound, make, leaves, weights, **given):
    wide = {name: x.double() for name, x in leaves.items()}
    truth = gradients("torch", make, wide, weights, **given)
    poison()
    found = gradients("triton", make, leaves, weights, **given)
    if GPU:
        again = gradients("triton", make, leaves, weights, **given)
        assert all(torch.equal(found[name], again[name]) for name in truth)
    assert max(relative(found[name], true) for name, true in truth.items()) < bound


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize(
    ("parts", "activation", "continued"),
    [*((parts, "silu", False) for parts in PARTS), ("plain", None, True), ("joined", None, True)],
)
def test_gradients_of_parts(relative, parts, activation, continued, dtype):
    """Unit vectors of two of three parts, that are columns of wider rows."""
    rows = rows_of(shared=parts == "joined")
    leaves = {"read": random(TOKENS, 100), "sent": random(2 * TOKENS, 100)}
    leaves |= {"weight": random(90, 4)} | ({"bias": random(90)} if activation else {})
    leaves = {name: x.to(dtype) for name, x in leaves.items()}
    given = {"cu_seqlens": rows.cu_seqlens, "unit": UNIT, "activation": activation}
    segments, length = len(rows.cu_seqlens) - 1, len(rows.token)
    if continued:
        given["seen"], leaves["ring"] = past(segments, 4, 90, dtype)
    weights = [random(length, width) for width in WIDTHS] + [random(segments, 4, 90)]
    check(relative, BOUNDS[dtype], parted(parts, rows), leaves, weights, **given)


@pytest.mark.parametrize(("taps", "width"), [(1, 50), (3, 256), (4, 300), (5, 16)])
def test_gradients_of_one_part(relative, taps, width):
    """Segments that end in a walk, between two runs, and before what is read next."""
    lengths = (RUN // 4 + 1, 0, 1, 2, RUN, RUN + 1, 3)
    leaves = {"sent": random(sum(lengths), width), "weight": random(width, taps)}
    seen, leaves["ring"] = past(len(lengths), taps, width, torch.float32)
    ends = torch.tensor([0, *accumulate(lengths)], device=DEVICE)
    weights = [random(sum(lengths), width), random(len(lengths), taps, width)]
    given = {"seen": seen, "cu_seqlens": ends, "activation": "silu"}
    check(relative, 1e-5, lambda _, sent: sent, leaves, weights, **given)


@pytest.mark.parametrize("weighted", [(0, 2), (1,), (3,)])
def test_gradients_where_little_is_asked_for(relative, weighted):
    """By those of some parts of y, or of the ring alone."""
    rows = rows_of(shared=True)
    leaves = {"read": random(TOKENS, 100), "sent": random(2 * TOKENS, 100)}
    leaves["weight"] = random(90, 4)
    segments, length = len(rows.cu_seqlens) - 1, len(rows.token)
    weights = [random(length, width) for width in WIDTHS] + [random(segments, 4, 90)]
    weights = [weight if i in weighted else None for i, weight in enumerate(weights)]
    make = parted("joined", rows)
    check(relative, 1e-5, make, leaves, weights, cu_seqlens=rows.cu_seqlens, unit=UNIT)
