"""flash-linear-attention's own checkpoints, loaded here, against the logits it computed.

`scripts/make_goldens.py` made them in float32 under Triton's interpreter; see golden/README.md.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mom_eval.models import load, save
from tests.models.shapes import error

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(folder.name for folder in GOLDEN.iterdir() if folder.is_dir())
TOLERANCE = 5e-6
"""Relative RMS; the largest measured was 1.3e-6."""
GAP = 1e-5
"""Where the probabilities at the cut are closer than this, either choice is right."""


@pytest.fixture(scope="module", params=NAMES)
def golden(request):
    """A model and what fla computed with it."""
    folder = GOLDEN / request.param
    return load(folder), load_file(folder / "expected.safetensors"), folder


def routes_of(expected: dict[str, torch.Tensor], row: int) -> dict[int, torch.Tensor]:
    """Layer -> the memories fla chose for a sequence."""
    return {
        int(name.removeprefix("routes.")): chosen[row]
        for name, chosen in expected.items()
        if name.startswith("routes.")
    }


def test_every_layout_is_there():
    families = ("linear_attn", "retnet", "gla", "hgrn2", "mamba2", "delta_net", "gated_deltanet")
    assert {*families, "kda", "gsa", "mom"} <= set(NAMES)


def test_logits_match(golden):
    model, expected, _ = golden
    got = []
    for row, tokens in enumerate(expected["tokens"]):
        with torch.no_grad():
            out = model(tokens, at=torch.arange(len(tokens)), routes=routes_of(expected, row))
        got.append(out.logits)
    assert error(torch.stack(got), expected["logits"]) < TOLERANCE


def test_the_router_chooses_alike(golden):
    model, expected, _ = golden
    if model.config.memories is None:
        pytest.skip("no router")
    compared = 0
    for row, tokens in enumerate(expected["tokens"]):
        forced = routes_of(expected, row)
        with torch.no_grad():
            out = model(tokens, routes=forced)
        for layer, chosen in forced.items():
            p = out.routing[layer].probabilities.sort(-1, descending=True)
            top_k = chosen.shape[-1]
            clear = p.values[:, top_k - 1] - p.values[:, top_k] > GAP
            own = p.indices[:, :top_k].sort(-1).values
            assert torch.equal(own[clear], chosen.sort(-1).values[clear])
            compared += int(clear.sum())
    assert compared > 50


def test_saved_again_it_is_the_same_checkpoint(golden, tmp_path):
    model, _, folder = golden
    save(model, tmp_path)
    published = load_file(folder / "model.safetensors")
    # GLA and RetNet name this norm by whether the gate is fused into it.
    published = {
        name.replace("attn.g_norm.weight", "attn.g_norm_swish_gate.weight")
        if model.config.family == "gla" else name: tensor
        for name, tensor in published.items()
    }  # fmt: skip
    saved = load_file(tmp_path / "model.safetensors")
    assert saved.keys() == published.keys()
    assert all(torch.equal(saved[name], tensor) for name, tensor in published.items())
    tokens = torch.arange(20)
    assert torch.equal(load(tmp_path)(tokens).logits, model(tokens).logits)
