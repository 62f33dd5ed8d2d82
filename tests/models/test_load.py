"""Loading and saving: every layout's names and shapes, and what is said of what does not fit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mom_eval.errors import CheckpointError
from mom_eval.models import LM, known, load, save
from mom_eval.models.names import published_names
from mom_eval.models.published_config import read_config
from mom_eval.models.save import fla_config
from tests.models.shapes import CASES, new_model

TABLE = json.loads((Path(__file__).parent / "fla_state_dicts.json").read_text("utf-8"))
TOKENS = torch.arange(30)


def edited(folder: Path, change) -> Path:
    """Change the tensors of a checkpoint in place."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    return folder


def configured(folder: Path, **keys) -> Path:
    """Change the configuration of a checkpoint in place."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | keys))
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    """A saved MoM, in flash-linear-attention's layout."""
    config = CASES["gated_deltanet-4+shared"]
    options = replace(config.options, num_v_heads=None)
    return save(new_model(replace(config, options=options)), tmp_path / "mom")


@pytest.mark.parametrize("kind", TABLE)
def test_names_and_shapes_are_flas(kind: str):
    config = read_config(TABLE[kind]["config"])
    with torch.device("meta"):
        pieces = LM(config).pieces()
    names = published_names(pieces, config, "mamba2" if kind == "mamba2" else "fla")
    shapes = {}
    for name, held in names.items():
        first, *rest = (list(pieces[piece].shape) for piece in held)
        rows = first[0] + sum(shape[0] for shape in rest)
        conv = "conv1d.weight" in name
        shapes[name] = [rows, *([1] if conv else []), *first[1:]]
    assert shapes == TABLE[kind]["params"]


@pytest.mark.parametrize("case", CASES)
def test_saved_and_loaded_is_the_same(case: str, tmp_path):
    model = new_model(CASES[case])
    save(model, tmp_path)
    back = load(tmp_path)
    assert torch.equal(back(TOKENS).logits, model(TOKENS).logits)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    routed = model.config.memories is not None
    # What fla has words for is written for fla: no MoM but over Gated DeltaNet without value heads
    # of its own, no normalised queries in a hybrid.
    ours = (routed or case == "hybrid") and case != "transformer"
    assert (config["model_type"] == "mom_eval") == ours
    assert known(tmp_path)


def test_what_fla_can_say_is_said_in_its_words(folder):
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert (config["model_type"], config["num_memories"], config["topk"]) == ("mom", 4, 2)
    gla = CASES["gla-1"]
    assert (fla_config(gla) or {})["model_type"] == "gla"
    assert fla_config(replace(gla, options=replace(gla.options, gate_low_rank_dim=8))) is None
    # fla's MoM reads neither the bias nor the theta of its attention.
    mom = read_config(config | {"attn": {"layers": [1], "num_heads": 4}})
    assert mom.attention is not None
    assert (fla_config(mom) or {})["attn"]["layers"] == [1]
    assert fla_config(replace(mom, attention=replace(mom.attention, rope_theta=5e4))) is None
    assert fla_config(replace(mom, attention=replace(mom.attention, qkv_bias=True))) is None


def old_layout(folder: Path) -> Path:
    """As linear-moe-hub published it: fused gate and up, a D that nothing reads, `use_gate`."""

    def change(tensors):
        for layer in range(2):
            mlp, attn = f"model.layers.{layer}.mlp.", f"model.layers.{layer}.attn."
            gate, up = tensors.pop(f"{mlp}gate_proj.weight"), tensors.pop(f"{mlp}up_proj.weight")
            tensors[f"{mlp}gate_proj.weight"] = torch.cat([gate, up])
            tensors[f"{attn}D"] = torch.ones(2)

    edited(folder, change)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["use_gate"] = config.pop("use_output_gate", config.get("use_gate", True))
    config["capacity"] = 1.0
    if config["model_type"] == "mom":
        config["model_type"] = "mom_gated_deltanet"
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_the_old_layout_of_mom(folder):
    want = load(folder)(TOKENS).logits
    assert torch.equal(load(old_layout(folder))(TOKENS).logits, want)


def test_the_old_layout_of_gated_deltanet(tmp_path):
    config = CASES["gated_deltanet-1"]
    plain = replace(config, options=replace(config.options, num_v_heads=None))
    want = load(save(new_model(plain), tmp_path))(TOKENS).logits
    assert torch.equal(load(old_layout(tmp_path))(TOKENS).logits, want)


def test_memories_that_overflow_are_refused(folder):
    with pytest.raises(CheckpointError, match="capacity"):
        load(configured(old_layout(folder), capacity=0.5))


def test_a_missing_and_a_left_over_tensor_are_both_listed(folder):
    def change(tensors):
        tensors["model.layers.0.attn.surprise"] = torch.ones(2)
        del tensors["model.layers.1.attn.k_proj.2.weight"]

    with pytest.raises(CheckpointError) as caught:
        load(edited(folder, change))
    assert "missing: model.layers.1.attn.k_proj.2.weight" in str(caught.value)
    assert "left over: model.layers.0.attn.surprise" in str(caught.value)


def test_a_wrong_shape_is_named_before_anything_is_allocated(folder):
    huge = configured(folder, hidden_size=65_536, num_hidden_layers=2)
    with pytest.raises(CheckpointError, match=r"shapes: .*\[50, 32\], expected \[50, 65536\]"):
        load(huge)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"hidden_size": 10**9}, "hidden_size = 1000000000"),
        ({"num_hidden_layers": 0}, "num_hidden_layers = 0"),
        ({"num_heads": "four"}, "num_heads = 'four'"),
        ({"topk": 9}, "top_k 9 of 4"),
        ({"hidden_act": "relu"}, "hidden_act = 'relu'"),
        ({"mom_backend": "gla"}, "mom_backend = 'gla'"),
        ({"attnres_block_size": 2}, "attnres_block_size = 2"),
        ({"mystery": 3}, "mystery = 3"),
        ({"model_type": "rwkv7"}, "model_type 'rwkv7'"),
        ({"attn": {"num_heads": 4}}, "layers"),
    ],
)
def test_a_configuration_that_is_not_understood(folder, keys, said):
    with pytest.raises(CheckpointError, match=said):
        load(configured(folder, **keys))


def test_shards_are_one_checkpoint(folder):
    want = load(folder)(TOKENS).logits
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    shards = {"a.safetensors": list(tensors)[::2], "b.safetensors": list(tensors)[1::2]}
    for file, names in shards.items():
        save_file({name: tensors[name] for name in names}, folder / file)
    index = {"weight_map": {name: file for file, names in shards.items() for name in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert torch.equal(load(folder)(TOKENS).logits, want)
    (folder / "b.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks b\.safetensors"):
        load(folder)


def test_broken_files_are_named(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors in mom is broken"):
        load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="holds neither"):
        load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json in mom cannot be read"):
        known(folder)


def test_bfloat16_keeps_the_gates_parameters_exact(folder):
    full = load(folder)
    half = load(folder, dtype=torch.bfloat16)
    assert half.embeddings.weight.dtype == torch.bfloat16
    for name, parameter in half.named_parameters():
        if name.endswith(("A_log", "dt_bias")):
            assert torch.equal(parameter, full.get_parameter(name))
    edited(folder, lambda tensors: tensors.update({k: v.bfloat16() for k, v in tensors.items()}))
    assert load(folder).embeddings.weight.dtype == torch.bfloat16


def test_tied_embeddings(tmp_path):
    config = replace(CASES["gla-1"], tie_embeddings=True)
    model = new_model(config)
    save(model, tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    loaded = load(tmp_path)
    assert loaded.head.weight is loaded.embeddings.weight
    want = loaded(TOKENS).logits
    twice = model.embeddings.weight.detach().clone()
    edited(tmp_path, lambda tensors: tensors.update({"lm_head.weight": twice}))
    assert torch.equal(load(tmp_path)(TOKENS).logits, want)
    edited(tmp_path, lambda tensors: tensors.update({"lm_head.weight": twice + 1}))
    with pytest.raises(CheckpointError, match="lm_head of its own"):
        load(tmp_path)


def test_a_pickle_needs_leave(folder):
    tensors = load_file(folder / "model.safetensors")
    want = load(folder)(TOKENS).logits
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="--allow-pickle"):
        load(folder)
    assert torch.equal(load(folder, allow_pickle=True)(TOKENS).logits, want)

    class Trap:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save({"x": Trap()}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="no file of tensors"):
        load(folder, allow_pickle=True)


def test_other_models_are_not_ours(tmp_path):
    assert not known(tmp_path)
    for config in (
        {"model_type": "llama"},
        {"model_type": ["gla"]},
        {"d_model": 768, "n_layer": 24, "ssm_cfg": {}},  # Mamba-1, as state-spaces publishes it
        {"ssm_cfg": "Mamba2"},
    ):
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert not known(tmp_path)
    raw = {"d_model": 768, "n_layer": 24, "vocab_size": 50, "ssm_cfg": {"layer": "Mamba2"}}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    assert known(tmp_path)
