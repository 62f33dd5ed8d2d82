"""What the Triton kernels of attention must give; `test_triton` runs this in its own process."""

import pytest
import torch

from mom_eval.kernels import (
    attention_step,
    attention_step_triton,
    preferring,
    rotary,
    rotary_append,
    rotary_triton,
    rotations,
)
from mom_eval.models import packed
from mom_eval.models.decoder import Decoder
from tests.kernels.triton_cases import BOUNDS, DEVICE, in_triton_and_torch
from tests.models.shapes import CASES, new_model, sequences

POSITIONS = (0, 1, 5, 511, 8_191, 100_000, 131_072)


@pytest.fixture(params=["few", "many"])
def rows(request, monkeypatch: pytest.MonkeyPatch) -> int:
    """So many that a program has one head, or several."""
    monkeypatch.setattr(rotary_triton, "FEW", 64)
    return {"few": 37, "many": 70}[request.param]


@pytest.mark.parametrize("theta", [10_000.0, 5e6])
@pytest.mark.parametrize("width", [20, 64, 256])
def test_angles_are_right_far_out(width: int, theta: float):
    positions = torch.tensor(POSITIONS, device=DEVICE)
    expected = rotations(positions, width, theta, dtype=torch.float64)
    found = rotations(positions, width, theta, impl="triton")
    # Of that, what rounds an angle of up to pi to float32 is 2.4e-7.
    assert (found - expected).abs().max() < 2e-6


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("width", [20, 64])
def test_heads_are_rotated_where_they_lie(relative, rows: int, width: int, dtype: torch.dtype):
    columns = torch.randn(rows, 7 * width, device=DEVICE).to(dtype)
    x = columns[:, 2 * width :].unflatten(-1, (5, width))
    positions = torch.arange(rows, device=DEVICE) * 1000
    turns = rotations(positions, width, impl="torch")
    assert in_triton_and_torch(lambda: rotary(x, turns), relative) < BOUNDS[dtype]
    weights = torch.randn(rows, 5, width, device=DEVICE).to(dtype)

    def gradient():
        leaf = columns.clone().requires_grad_()
        rotary(leaf[:, 2 * width :].unflatten(-1, (5, width)), turns).backward(weights)
        return leaf.grad

    assert in_triton_and_torch(gradient, relative) < BOUNDS[dtype]


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize(("heads", "kv_heads"), [(9, 9), (6, 3), (8, 1)])
def test_keys_and_values_are_appended(relative, rows: int, heads, kv_heads, dtype):
    width = 24 if heads == 6 else 16
    sizes = [heads * width, kv_heads * width, kv_heads * width]
    q, k, v = (
        x.unflatten(-1, (-1, width))
        for x in torch.randn(rows, sum(sizes), device=DEVICE).to(dtype).split(sizes, -1)
    )
    torch.manual_seed(0)
    places = torch.randperm(4 * 30)[:rows].to(DEVICE)
    slots, positions = places // 30, places % 30
    slots[3], positions[3] = -1, 0
    turns = rotations(positions * 100, width, impl="torch")
    kept = torch.randn(2, 5, 30, kv_heads, width, device=DEVICE).to(dtype)

    def run():
        keys, values = kept.clone()
        q_r = rotary_append(
            q, k, v, turns, keys=keys, values=values, slots=slots, positions=positions
        )
        # The last slot is nobody's.
        return q_r, keys[:4], values[:4]

    assert in_triton_and_torch(run, relative) < BOUNDS[dtype]
    with preferring("triton"):
        _, keys, _ = run()
    there = torch.zeros(4, 30, dtype=torch.bool, device=DEVICE)
    there[slots[slots >= 0], positions[slots >= 0]] = True
    assert torch.equal(keys[~there], kept[0, :4][~there])
    assert not (keys[there] == kept[0, :4][there]).flatten(1).all(1).any()


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("programs", [1, 40, 4096], ids=lambda n: f"{n} programs")
@pytest.mark.parametrize("window", [None, 100, 1])
@pytest.mark.parametrize(("heads", "kv_heads"), [(2, 2), (6, 2), (17, 1)])
def test_parts_of_a_slot(relative, monkeypatch, heads, kv_heads, window, programs, dtype):
    """One part of many blocks, some of a few, and more than are summed at a time."""
    monkeypatch.setattr(attention_step_triton, "PROGRAMS", programs)
    width, ages = (130 if programs > 40 else 24), (599, 0, 300, 16)
    q, k, v = (
        torch.randn(*size, device=DEVICE).to(dtype)
        for size in ((5, heads, width), *[(6, 600, kv_heads, width)] * 2)
    )
    slots = torch.tensor([3, 0, 1, 5, -1], device=DEVICE)
    positions = torch.tensor([*ages, 0], device=DEVICE)
    for slot, age in zip((3, 0, 1, 5), ages, strict=True):
        k[slot, age + 1 :] = v[slot, age + 1 :] = 1e4  # Filling, never to be read.

    def run():
        o = attention_step(q, k, v, slots=slots, positions=positions, window=window)
        return o[:4]

    # Weights are rounded where they are multiplied as matrices.
    assert in_triton_and_torch(run, relative) < max(BOUNDS[dtype], 1e-5)


@pytest.mark.parametrize("name", ["hybrid", "transformer"])
@pytest.mark.parametrize("lengths", [(20, 3, 1), (20, 20, 20), (20,)], ids=str)
def test_models_of_attention(relative, name: str, lengths: tuple[int, ...]):
    """Prefill, a continuation of each sequence, and a step of decoding."""
    model = new_model(CASES[name]).to(DEVICE)
    out, slots = {}, list(range(len(lengths)))
    for model.kernels in ("torch", "triton"):
        with torch.inference_mode():
            first = model(*packed(sequences(*lengths), DEVICE))
            more = model(*packed(sequences(*[2, 5, 1][: len(lengths)]), DEVICE), first.state)
            decoder = Decoder(model, len(lengths), capacity=30)
            decoder.write(slots, more.state)
            index = torch.tensor(slots, device=DEVICE)
            step = model.step(index + 1, index, decoder._state)
        out[model.kernels] = torch.cat([first.logits, more.logits, step])
    assert relative(out["triton"], out["torch"]) < 1e-4
