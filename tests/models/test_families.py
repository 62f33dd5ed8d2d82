"""What is a family's own: how its parameters begin, and where their range ends."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mom_eval.models.families.hgrn2 import LowerBounds
from tests.models.shapes import CASES, MEMORIES, config_of, error, new_model, run, sequences


@pytest.mark.parametrize(
    ("case", "low", "high"),
    [("mamba2-1", 1, 16), ("gated_deltanet-1", 0, 16), ("kda-1", 1, 16)],
)
def test_decays_begin_as_mambas(case: str, low: float, high: float):
    model = new_model(CASES[case])
    model.reset_parameters()
    for block in model.layers:
        family = block.mixer.family
        rate, step = family.A_log.detach().exp(), F.softplus(family.dt_bias.detach())
        assert low <= float(rate.min())
        assert float(rate.max()) <= high * (1 + 1e-6)
        assert float(step.min()) >= 1e-3 * (1 - 1e-4)
        assert float(step.max()) <= 0.1 * (1 + 1e-4)
        assert float(step.max()) > 1.5 * float(step.min())


def test_lower_bounds_grow_from_layer_to_layer():
    bounds = LowerBounds(4, 3)
    first, *rest = bounds()
    assert first is None
    for layer, row in enumerate(rest, start=1):
        assert row.tolist() == pytest.approx([layer / 4] * 3)


@pytest.mark.parametrize(("layer", "value"), [(0, -40.0), (0, 60.0), (1, -120.0), (1, 60.0)])
def test_bounds_at_the_end_of_their_range(layer: int, value: float):
    """Where a share is 0 or 1, rounding may leave no room for a logarithm."""
    model = new_model(CASES["hgrn2-1"])
    with torch.no_grad():
        model.across.lower_bounds.zero_()
        model.across.lower_bounds[layer] = value
    (tokens,) = torch.tensor(sequences(20))
    out = model(tokens, at=torch.arange(20))
    assert bool(out.logits.isfinite().all())
    out.logits.square().mean().backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters())


@pytest.mark.parametrize("memories", MEMORIES)
@pytest.mark.parametrize("family", ["linear_attn", "retnet", "gla", "gsa"])
def test_neighbouring_heads_share_a_key_value_head(family: str, memories: str):
    """As four heads of their own would, with the same weights: heads 0 and 1 the first, 2 and 3."""
    config = config_of(family, MEMORIES[memories])
    options = replace(config.options, num_heads=4, num_kv_heads=2)
    if family == "gla":
        options = replace(options, use_short_conv=False)
    grouped = new_model(replace(config, options=options))
    apart = new_model(replace(config, options=replace(options, num_kv_heads=None)), seed=3)
    pieces = grouped.pieces()
    with torch.no_grad():
        for name, piece in apart.pieces().items():
            value = pieces[name]
            if value.shape != piece.shape:
                value = value.unflatten(0, (2, -1)).repeat_interleave(2, 0).flatten(0, 1)
            piece.copy_(value)
    batch = sequences(20, 3)
    assert error(run(grouped, batch).logits, run(apart, batch).logits) < 1e-5
