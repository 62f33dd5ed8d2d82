"""Every option of every family: it changes the model, and the laws hold with it."""

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from mom_eval.models import FAMILIES, LM, AttentionOptions, Memories, ModelConfig, load, save
from tests.models.laws import lawful
from tests.models.shapes import ATTENTION, config_of, error, new_model, run, sequences

TOLERANCE = 1e-12
"""In float64; the largest error measured is 1.3e-14."""
MEMORIES = Memories(num_memories=4, top_k=2, shared=True)

OTHER: dict[str, list[dict[str, Any]]] = {
    "linear_attn": [
        {"num_heads": 4},
        {"num_kv_heads": 2},
        {"expand_k": 0.5},
        {"expand_v": 2.0},
        *({"feature_map": name} for name in ("elementwise_product", "hedgehog", "t2r", "dpfp")),
        *({"feature_map": name} for name in ("identity", "relu", "silu")),
        {"feature_map": "hedgehog", "tie_feature_map_qk": True},
        {"norm_feature_map": False},
        {"norm_feature_map": False, "norm_q": True},
        {"norm_k": True},
        {"elementwise_affine": False},
    ],
    "retnet": [
        {"num_heads": 4},
        {"num_kv_heads": 1},
        {"expand_k": 0.5},
        {"expand_v": 1.0},
        {"feature_map": "relu"},
        {"feature_map": "hedgehog"},
        {"use_output_gate": False},
        {"use_short_conv": True},
        {"use_short_conv": True, "conv_size": 2},
        {"use_short_conv": True, "conv_bias": True},
        {"elementwise_affine": False},
    ],
    "gla": [
        {"num_heads": 4},
        {"num_kv_heads": 1},
        {"expand_k": 1.0},
        {"expand_v": 2.0},
        {"feature_map": "relu"},
        {"clamp_min": -0.03},
        {"gate_low_rank_dim": 4},
        {"gate_logit_normalizer": 1},
        {"use_output_gate": False},
        {"use_short_conv": False},
        {"conv_size": 1},
        {"conv_bias": True},
        {"elementwise_affine": False},
    ],
    "hgrn2": [
        {"num_heads": 4, "expand_ratio": None},
        {"expand_ratio": 8},
        {"use_lower_bound": False},
        {"use_short_conv": True},
        {"use_short_conv": True, "conv_size": 3},
        {"use_short_conv": True, "conv_bias": True},
        {"elementwise_affine": False},
    ],
    "mamba2": [
        {"num_heads": 2},
        {"head_dim": 8},
        {"state_size": 5},
        {"n_groups": 1},
        {"n_groups": 4},
        {"conv_kernel": 3},
        {"use_bias": True},
        {"use_conv_bias": False},
        {"dt_limit": (0.02, 0.05)},
        {"rmsnorm": False},
        {"norm_before_gate": True},
        {"D_has_hdim": True},
    ],
    "delta_net": [
        {"num_heads": 4},
        {"expand_k": 0.5},
        {"expand_v": 2.0},
        {"use_beta": False},
        {"use_gate": False},
        *({"qk_activation": name} for name in ("identity", "relu", "elu")),
        {"qk_norm": "sum"},
        {"allow_neg_eigval": True},
        {"use_short_conv": False},
        {"conv_size": 6},
        {"conv_bias": True},
    ],
    "gated_deltanet": [
        {"num_heads": 4},
        {"head_dim": 6},
        {"expand_v": 1.0},
        {"num_v_heads": None},
        {"use_gate": False},
        {"output_gate_activation": "sigmoid"},
        {"allow_neg_eigval": True},
        {"use_short_conv": False},
        {"conv_size": 3},
        {"conv_bias": True},
    ],
    "kda": [
        {"num_heads": 4},
        {"head_dim": 6},
        {"expand_v": 2.0},
        {"num_v_heads": 4},
        {"allow_neg_eigval": True},
        {"lower_bound": -5.0},
        {"use_short_conv": False},
        {"conv_size": 3},
        {"conv_bias": True},
    ],
    "gsa": [
        {"num_heads": 4},
        {"num_kv_heads": 1},
        {"num_slots": None},
        {"expand_k": 0.5},
        {"expand_v": 2.0},
        {"feature_map": "t2r"},
        {"feature_map": "relu"},
        {"gate_logit_normalizer": 1},
        {"use_short_conv": True},
        {"use_short_conv": True, "conv_size": 2},
        {"use_short_conv": True, "conv_bias": True},
        {"elementwise_affine": False},
    ],
}
"""Changes to `shapes.OPTIONS`, each for the sake of its last option."""


def changed(family: str, change: dict[str, Any]) -> ModelConfig:
    config = config_of(family)
    return replace(config, options=replace(config.options, **change))


def _name(change: dict[str, Any]) -> str:
    return ",".join(f"{key}={value}" for key, value in change.items())


OPTIONS = {
    f"{family}-{_name(change)}": (family, change)
    for family, changes in OTHER.items()
    for change in changes
}
GDN, GLA = config_of("gated_deltanet"), config_of("gla")
FULL = AttentionOptions(num_heads=2, num_kv_heads=2, head_dim=4)
MODELS = {
    "all memories": replace(GLA, memories=Memories(num_memories=3, top_k=3)),
    "one of many": replace(GDN, memories=Memories(num_memories=7, top_k=1)),
    "one, and a shared one": replace(GLA, memories=Memories(num_memories=1, top_k=1, shared=True)),
    "common, not shared": replace(GLA, memories=Memories(num_memories=4, top_k=2, common_kv=True)),
    "tied": replace(GDN, tie_embeddings=True),
    "no second half": replace(GLA, intermediate_size=None, memories=MEMORIES),
    "sums in float32": replace(config_of("mamba2"), residual_float32=True),
    "attention first": replace(GDN, attention=FULL, attention_layers=(0,), memories=MEMORIES),
    "attention between": replace(
        config_of("hgrn2"), num_layers=3, attention=replace(ATTENTION, window=1),
        attention_layers=(1,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_every_option_is_here(family: str):
    names = {field.name for field in fields(FAMILIES[family].Options)}
    assert {[*change][-1] for change in OTHER[family]} | {"num_heads"} >= names


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_matters(name: str):
    family, change = OPTIONS[name]
    without = changed(family, dict([*change.items()][:-1]))
    base, other = new_model(without), new_model(changed(family, change))
    mine, theirs = base.pieces(), other.pieces()
    if {name: piece.shape for name, piece in mine.items()} != {
        name: piece.shape for name, piece in theirs.items()
    }:
        return
    with torch.no_grad():
        for name, piece in mine.items():
            theirs[name].copy_(piece)
    mine, theirs = (run(model.double(), sequences(20)).logits for model in (base, other))
    # Little where a norm behind takes most of it back; rounding is 1e-14.
    assert error(theirs, mine) > 1e-10


@pytest.mark.parametrize("name", OPTIONS)
def test_the_laws_hold_with_it(name: str):
    family, change = OPTIONS[name]
    lawful(new_model(replace(changed(family, change), memories=MEMORIES)).double(), TOLERANCE)


@pytest.mark.parametrize("name", MODELS)
def test_the_laws_hold_of(name: str):
    lawful(new_model(MODELS[name]).double(), TOLERANCE)


@pytest.mark.parametrize("memories", [None, MEMORIES], ids=["1", "4+shared"])
@pytest.mark.parametrize("name", OPTIONS)
def test_a_file_keeps_it(name: str, memories: Memories | None, tmp_path):
    model = new_model(replace(changed(*OPTIONS[name]), memories=memories))
    tokens = torch.arange(20)
    back = load(save(model, tmp_path))
    assert back.config.options == model.config.options
    assert torch.equal(back(tokens).logits, model(tokens).logits)


@pytest.mark.parametrize(
    ("family", "change", "said"),
    [
        ("gla", {"feature_map": "hedgehog"}, "hedgehog widens keys"),
        ("delta_net", {"qk_norm": "l3"}, "qk_norm 'l3'"),
        ("linear_attn", {"feature_map": "cosine"}, "no feature map 'cosine'"),
        ("hgrn2", {"expand_ratio": None}, "one of expand_ratio and num_heads"),
        ("hgrn2", {"expand_ratio": 7}, "32 does not divide into heads of 7"),
        ("hgrn2", {"expand_ratio": None, "num_heads": 5}, "32 does not divide into 5 heads"),
    ],
)
def test_an_option_that_cannot_be(family: str, change: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        LM(changed(family, change))
