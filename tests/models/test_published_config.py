"""What published config.json files say: defaults, nulls, switches, and values out of all bounds."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from mom_eval.errors import CheckpointError
from mom_eval.models import LM, Memories, cost, load, save
from mom_eval.models.published_config import DEFAULTS, read_config
from tests.models.shapes import CASES, new_model

HYBRID = {"layers": [1], "num_heads": 4, "num_kv_heads": 2, "rope_theta": 5e4, "window_size": 9}


def read(kind: str, **keys):
    return read_config({"model_type": kind, "hidden_size": 256, "num_hidden_layers": 2, **keys})


@pytest.mark.parametrize("kind", [*DEFAULTS, "mamba2"])
def test_a_config_without_keys_is_read_with_its_defaults(kind: str):
    config = read_config({"model_type": kind})
    assert config.vocab_size == 32_000
    assert config.num_layers == {"mamba2": 48}.get(
        kind, 21 if kind in ("gated_deltanet", "mom_gated_deltanet") else 24
    )


@pytest.mark.parametrize("kind", [*DEFAULTS, "mamba2"])
def test_keys_that_change_no_logit_are_read_over(kind: str):
    """Every one of them was in a config.json that flash-linear-attention wrote, in some year."""
    harmless = {
        **{"attn_mode": "fused_chunk", "share_conv_kernel": True, "norm_first": False},
        **{"elementwise_affine": True, "use_l2warp": False, "fuse_swiglu": True, "dropout": 0.0},
        **{"fuse_cross_entropy": True, "bos_token_id": 1, "use_rope": False, "_name": "x"},
        **{"transformers_version": "4.39.1", "torch_dtype": "float32", "rope_scaling": None},
    }
    assert read(kind, **harmless) == read(kind)


@pytest.mark.parametrize(
    "keys", [{"use_rope": True}, {"dropout": 0.1}, {"num_heads": 3.0}, {"gate_fn": "relu"}]
)
def test_what_is_not_understood_is_refused(keys):
    with pytest.raises(CheckpointError, match=next(iter(keys))):
        read("delta_net", **keys)


def test_null_is_not_the_default_where_it_means_something():
    assert read("hgrn2", num_heads=8).options.expand_ratio == 128
    assert read("hgrn2", num_heads=8, expand_ratio=None).options.expand_ratio is None
    with torch.device("meta"):
        assert LM(read("hgrn2", num_heads=8, expand_ratio=None)).layers[0].mixer.family.heads == 8
    assert read("gsa").options.num_slots == 64
    assert read("gsa", num_slots=None).options.num_slots is None
    # RetNet's ratio is 2 where it is left out, and 4, as everybody's, where it is null.
    assert read("retnet").intermediate_size == 512
    assert read("retnet", hidden_ratio=None).intermediate_size == 768


def test_other_names_of_a_key():
    assert read("gla", rms_norm_eps=1e-3).norm_eps == 1e-3
    assert read("gsa", exapnd_k=0.5).options.expand_k == 0.5
    assert read("mom_gated_deltanet", use_gate=False).options.use_gate is False


def test_mom_as_its_authors_configured_it():
    """In their first release memories were experts; later files and code say num_memories."""
    common = {
        **{"attn_mode": "chunk", "bos_token_id": 1, "expand_v": 1, "fuse_cross_entropy": True},
        **{"hidden_act": "swish", "hidden_ratio": 3, "hidden_size": 1024, "use_cache": True},
        **{"initializer_range": 0.02, "intermediate_size": None, "num_heads": 4, "head_dim": 256},
        **{"model_type": "mom_gated_deltanet", "num_hidden_layers": 24, "norm_eps": 1e-06},
        **{"tie_word_embeddings": True, "vocab_size": 32000, "use_short_conv": True, "topk": 2},
        **{"capacity": 1.0, "use_layer_wise_balance": True, "aux_loss_scale": 0.01},
    }
    first = read_config(common | {"shared_mem": True, "num_experts": 4, "single_expert": False})
    later = read_config(common | {"shared_mem": True, "num_memories": 4, "single_kv_proj": False})
    assert first == later
    assert first.memories == Memories(num_memories=4, top_k=2, shared=True)
    assert first.options.use_gate
    assert cost(first).parameters == 512_351_424
    with pytest.raises(CheckpointError, match="num_memories = 4 and num_experts = 8"):
        read_config(common | {"num_memories": 4, "num_experts": 8})


def test_mamba2_gates_before_its_norm_unless_the_file_is_of_code_that_knows_both():
    """transformers' Mamba-2 files say norm_before_gate = true, and its code never read it."""
    assert not read(
        "mamba2", norm_before_gate=True, time_step_limit=[0, 9]
    ).options.norm_before_gate
    assert read("mamba2", norm_before_gate=True, dt_limit=[0.0, 9.0]).options.norm_before_gate
    raw = {"d_model": 256, "n_layer": 2, "vocab_size": 50}
    ssm = {"layer": "Mamba2", "norm_before_gate": True, "d_conv": 3, "bias": True}
    options = read_config({**raw, "ssm_cfg": ssm}).options
    assert (options.norm_before_gate, options.conv_kernel, options.use_bias) == (True, 3, True)


@pytest.mark.parametrize("kind", [kind for kind in DEFAULTS if kind != "transformer"])
def test_hybrids(kind: str):
    config = read(kind, attn=HYBRID)
    assert config.attention_layers == (1,)
    attention = config.attention
    assert attention is not None
    assert (attention.num_kv_heads, attention.window, attention.rope_theta) == (2, 9, 5e4)
    assert config.name.endswith("+attention")
    assert read(kind, attn=[HYBRID]) == config


@pytest.mark.parametrize(
    ("attn", "said"),
    [
        ([HYBRID, {**HYBRID, "layers": [0]}], "several kinds"),
        ({**HYBRID, "layers": [2]}, r"attention layers \[2\] of 2 layers"),
        ({**HYBRID, "qk_norm": True}, "qk_norm"),
        ({**HYBRID, "num_heads": 0}, "num_heads = 0"),
        ({**HYBRID, "rope_theta": "big"}, "rope_theta = 'big'"),
        ("all", "does not describe a model"),
    ],
)
def test_hybrids_that_are_refused(attn, said):
    with pytest.raises(CheckpointError, match=said):
        read("gla", attn=attn)


WILD = [
    None,
    True,
    0,
    -1,
    3,
    10**9,
    10**40,
    1.5,
    -2.0,
    float("nan"),
    "x",
    "",
    [],
    [1],
    {},
    {"a": 1},
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    """Checkpoints in our layout and in flash-linear-attention's."""
    cases = ("hybrid", "mamba2-4", "kda-4+shared", "transformer", "gsa-1", "hgrn2-1", "mamba2-1")
    root = tmp_path_factory.mktemp("wild")
    return [save(new_model(CASES[case]), root / case) for case in cases]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_wild_configs_load_and_run_or_are_refused(folders, tmp_path, data):
    folder = data.draw(st.sampled_from(folders))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    for _ in range(data.draw(st.integers(1, 2))):
        part = data.draw(st.sampled_from([config, *filter(_filled, config.values())]))
        part[data.draw(st.sampled_from(sorted(part)))] = deepcopy(data.draw(st.sampled_from(WILD)))
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = tmp_path / "model.safetensors"
    if weights.is_symlink():
        weights.unlink()
    weights.symlink_to(folder / "model.safetensors")
    try:
        model = load(tmp_path)
    except CheckpointError:
        return
    model(torch.arange(5))


def _filled(value) -> bool:
    return isinstance(value, dict) and bool(value)


def test_more_layers_than_tensors_are_refused_at_once(folders, tmp_path):
    config = json.loads((folders[1] / "config.json").read_text("utf-8"))
    config["num_layers"] = 1000
    config["memories"]["num_memories"] = 1024
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(load_file(folders[1] / "model.safetensors"), tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="describes 1,024,000 layers and memories"):
        load(tmp_path)
