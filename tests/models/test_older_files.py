"""Files as they were written over the years: other spellings of a tensor, and broken ones."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mom_eval.errors import CheckpointError
from mom_eval.models import load, save
from tests.models.shapes import CASES, new_model

TOKENS = torch.arange(30)


def saved(case: str, folder: Path) -> tuple[Path, torch.Tensor]:
    """A checkpoint and its logits."""
    model = new_model(CASES[case])
    with torch.no_grad():
        return save(model, folder), model(TOKENS).logits


def respelled(folder: Path, *changes: tuple[str, str]) -> Path:
    """Rename tensors; each change must find some."""
    tensors = load_file(folder / "model.safetensors")
    for old, new in changes:
        assert any(old in name for name in tensors)
        tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
    save_file(tensors, folder / "model.safetensors")
    return folder


NORM_FIRST = (("attn_norm", "attn.norm"), ("mlp_norm", "mlp.norm"))


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ("gsa-1", NORM_FIRST),
        ("delta_net-1", NORM_FIRST),
        ("transformer", NORM_FIRST),
        ("gla-1", (("g_norm_swish_gate", "g_norm"),)),
        ("retnet-1", (("g_norm_swish_gate", "g_norm"),)),
        ("mamba2-1", (("backbone.embeddings", "backbone.embedding"),)),
    ],
)
def test_older_spellings(case, changes, tmp_path):
    folder, want = saved(case, tmp_path)
    with torch.no_grad():
        assert torch.equal(load(respelled(folder, *changes))(TOKENS).logits, want)


def test_a_name_that_is_taken_is_no_spelling_of_another(tmp_path):
    """Linear attention's own attn.norm does not stand in for a missing attn_norm."""
    folder, _ = saved("linear_attn-1", tmp_path)
    with pytest.raises(CheckpointError, match=r"missing: model\.layers\.0\.attn_norm\.weight"):
        load(respelled(folder, ("0.attn_norm", "0.attn.norms")))


def test_two_spellings_of_one_tensor_are_one_too_many(tmp_path):
    folder, _ = saved("gla-1", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    name = "model.layers.0.attn.g_norm_swish_gate.weight"
    tensors[name.replace("_swish_gate", "")] = tensors[name].clone()
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"left over: model\.layers\.0\.attn\.g_norm\.weight"):
        load(folder)


def test_tied_embeddings_under_the_name_of_the_head(tmp_path):
    model = new_model(replace(CASES["gla-1"], tie_embeddings=True))
    folder = respelled(save(model, tmp_path), ("model.embeddings", "lm_head"))
    with torch.no_grad():
        assert torch.equal(load(folder)(TOKENS).logits, model(TOKENS).logits)
    folder, _ = saved("gla-1", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.embeddings.weight"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"missing: model\.embeddings\.weight"):
        load(folder)


def pickled(folder: Path, what, **options) -> Path:
    """The checkpoint as a pickle of something."""
    (folder / "model.safetensors").unlink()
    torch.save(what, folder / "pytorch_model.bin", **options)
    return folder


def test_a_pickle_of_before_the_zip_format(tmp_path):
    folder, want = saved("gla-1", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    pickled(folder, tensors, _use_new_zipfile_serialization=False)
    with torch.no_grad():
        assert torch.equal(load(folder, allow_pickle=True)(TOKENS).logits, want)


def test_a_pickle_in_shards(tmp_path):
    folder, want = saved("gla-1", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = list(tensors)
    shards = {"one.bin": names[:5], "two.bin": names[5:]}
    for file, held in shards.items():
        torch.save({name: tensors[name] for name in held}, folder / file)
    where = {name: file for file, held in shards.items() for name in held}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": where}))
    with torch.no_grad():
        assert torch.equal(load(folder, allow_pickle=True)(TOKENS).logits, want)


def test_a_pickle_of_something_else(tmp_path):
    folder, _ = saved("gla-1", tmp_path)
    with pytest.raises(CheckpointError, match="holds no dictionary of tensors"):
        load(pickled(folder, [1, 2]), allow_pickle=True)


def test_an_index_that_names_no_shards(tmp_path):
    folder, _ = saved("gla-1", tmp_path)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": ["model.safetensors"]}')
    with pytest.raises(CheckpointError, match="names no shards"):
        load(folder)


def test_shards_outside_the_folder_are_not_read(tmp_path):
    folder, _ = saved("gla-1", tmp_path / "in")
    (folder / "model.safetensors").rename(tmp_path / "out.safetensors")
    index = {"weight_map": {"model.norm.weight": "../out.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"lacks out\.safetensors"):
        load(folder)


def test_whole_numbers_are_no_weights(tmp_path):
    folder, _ = saved("gla-1", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    save_file({k: v.to(torch.int8) for k, v in tensors.items()}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"stored as torch\.int8"):
        load(folder)


def test_weights_of_several_precisions(tmp_path):
    """Gates' parameters in float32 beside bfloat16, as flash-linear-attention trains them."""
    folder, _ = saved("kda-1", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    mixed = {k: v if "A_log" in k or "dt_bias" in k else v.bfloat16() for k, v in tensors.items()}
    save_file(mixed, folder / "model.safetensors")
    pieces = load(folder).pieces()
    assert pieces["embeddings.weight"].dtype == torch.bfloat16
    A_log = tensors["model.layers.1.attn.A_log"]
    assert torch.equal(pieces["layers.1.mixer.A_log"], A_log.reshape(-1))
