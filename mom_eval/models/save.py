"""A model -> a folder that flash-linear-attention loads; our own layout where it has no words."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from mom_eval.models.config import AttentionOptions, ModelConfig
from mom_eval.models.lm import LM
from mom_eval.models.names import published_names
from mom_eval.models.published_config import COMMON, NOT_IN_MOM, own_config, read_config

ARCHITECTURES = {
    "linear_attn": "LinearAttentionForCausalLM",
    "retnet": "RetNetForCausalLM",
    "gla": "GLAForCausalLM",
    "hgrn2": "HGRN2ForCausalLM",
    "mamba2": "Mamba2ForCausalLM",
    "delta_net": "DeltaNetForCausalLM",
    "gated_deltanet": "GatedDeltaNetForCausalLM",
    "kda": "KDAForCausalLM",
    "gsa": "GSAForCausalLM",
    "mom": "MomForCausalLM",
    "transformer": "TransformerForCausalLM",
}
UNWRITTEN = ("conv_bias", "gate_low_rank_dim", "gate_logit_normalizer")
"""Options that flash-linear-attention has no key for; GSA's normalizer is the exception."""


def save(model: LM, folder: Path | str) -> Path:
    """Write config.json and model.safetensors; `load` gives the same logits.

    The layout is flash-linear-attention's wherever it can say what the model is, else our own.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = fla_config(model.config)
    layout = "own" if config is None else "mamba2" if model.config.family == "mamba2" else "fla"
    pieces = model.pieces()
    names = published_names(pieces, model.config, layout)
    with torch.no_grad():
        tensors = {
            name: _joined(name, [pieces[piece] for piece in held], layout)
            for name, held in names.items()
        }
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    text = json.dumps(config or own_config(model.config), indent=2)
    (folder / "config.json").write_text(text + "\n", "utf-8")
    return folder


def _joined(name: str, pieces: list[Tensor], layout: str) -> Tensor:
    whole = torch.cat(pieces).contiguous().cpu()
    conv = layout != "own" and "conv1d.weight" in name
    return whole[:, None].clone() if conv else whole


def fla_config(config: ModelConfig) -> dict[str, Any] | None:
    """The configuration that flash-linear-attention reads, or None where it has no words for it."""
    kind = config.family or "transformer"
    if config.memories is not None:
        kind = "mom" if config.family == "gated_deltanet" and _plain(config.attention) else None
    if kind not in ARCHITECTURES:
        return None
    written = {
        "architectures": [ARCHITECTURES[kind]],
        "model_type": kind,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tie_embeddings,
        "initializer_range": config.init_std,
    }
    if kind == "mamba2":
        written |= _mamba2(config)
    else:
        written |= {
            "intermediate_size": config.intermediate_size,
            "max_position_embeddings": config.max_positions or COMMON["max_position_embeddings"],
        }
        if config.options is not None:
            given = asdict(config.options)
            written |= {key: value for key, value in given.items() if key not in UNWRITTEN}
            if kind == "gsa":
                written["gate_logit_normalizer"] = given["gate_logit_normalizer"]
    if kind == "mom":
        written = {key: value for key, value in written.items() if key not in NOT_IN_MOM}
        written |= _mom(config, written)
    if config.attention is not None:
        written |= _attention(config, config.attention)
    # What does not come back as it was cannot be said in this layout.
    return written if read_config(written) == _with_default_positions(config) else None


def _plain(attention: AttentionOptions | None) -> bool:
    """Is it what flash-linear-attention's MoM makes of any: it reads neither of these keys?"""
    return attention is None or (not attention.qkv_bias and attention.rope_theta == 10_000.0)


def _with_default_positions(config: ModelConfig) -> ModelConfig:
    """A model that says nothing of its longest context is written with the usual one.

    Mamba-2's layout has no word for it, and needs none: nothing there has a longest context.
    """
    if config.family == "mamba2":
        return replace(config, max_positions=None)
    return replace(config, max_positions=config.max_positions or COMMON["max_position_embeddings"])


def _mamba2(config: ModelConfig) -> dict[str, Any]:
    options = asdict(config.options)
    inner = options["num_heads"] * options["head_dim"]
    limits = [{"__float__": "Infinity"} if x == float("inf") else x for x in options["dt_limit"]]
    return options | {
        "expand": inner / config.hidden_size if inner % config.hidden_size else
        inner // config.hidden_size,
        "dt_limit": limits,
        "residual_in_fp32": config.residual_float32,
    }  # fmt: skip


def _mom(config: ModelConfig, written: dict[str, Any]) -> dict[str, Any]:
    assert config.memories is not None
    return {
        "use_output_gate": written.pop("use_gate"),
        "mom_backend": "gated_deltanet",
        "num_memories": config.memories.num_memories,
        "topk": config.memories.top_k,
        "shared_mem": config.memories.shared,
        "single_kv_proj": config.memories.common_kv,
    }


def _attention(config: ModelConfig, options: AttentionOptions) -> dict[str, Any]:
    values = {
        "num_heads": options.num_heads,
        "num_kv_heads": options.num_kv_heads,
        "qkv_bias": options.qkv_bias,
        "window_size": options.window,
        "rope_theta": options.rope_theta,
    }
    if config.family is None:
        return values | {"qk_norm": options.qk_norm}
    return {"attn": {"layers": list(config.attention_layers), **values}}
