"""Models by name, with random weights: their speed does not depend on what they have learnt."""

from dataclasses import replace
from typing import Any

import torch

from mom_eval.errors import SettingError, nearest
from mom_eval.evalsuite.bench.machine import Machine
from mom_eval.evalsuite.checkpoints import Checkpoint, find
from mom_eval.evalsuite.subjects import Options, load_lm
from mom_eval.models import FAMILIES, LM, AttentionOptions, Memories, ModelConfig, cast
from mom_eval.models.ahead import compile_kernels

_GATED = FAMILIES["gated_deltanet"].Options
_LARGE = ModelConfig(
    vocab_size=32_000,
    hidden_size=1024,
    num_layers=24,
    family="gated_deltanet",
    options=_GATED(num_heads=4, head_dim=256, expand_v=1.0),
    intermediate_size=2816,
    tie_embeddings=True,
)
"""Gated DeltaNet of the MoM paper's small size."""
_MEMORIES = Memories(num_memories=4, top_k=2, shared=True)
_TINY = replace(
    _LARGE,
    vocab_size=1_000,
    hidden_size=128,
    num_layers=2,
    options=_GATED(num_heads=2, head_dim=32, expand_v=1.0),
    intermediate_size=256,
)
_SMALL = replace(
    _LARGE,
    vocab_size=4_096,
    hidden_size=128,
    num_layers=3,
    options=_GATED(num_heads=2, head_dim=32, expand_v=1.0),
    intermediate_size=320,
)
_MIDDLE = replace(
    _SMALL,
    hidden_size=256,
    num_layers=6,
    options=_GATED(num_heads=4, head_dim=64, expand_v=1.0),
    intermediate_size=1088,
)


def _attention(config: ModelConfig, heads: int, width: int) -> ModelConfig:
    """The same without a recurrence."""
    return replace(
        config,
        family=None,
        options=None,
        attention=AttentionOptions(num_heads=heads, num_kv_heads=heads, head_dim=width),
        attention_layers=tuple(range(config.num_layers)),
    )


def _recurrent(family: str, **options: Any) -> ModelConfig:
    """The middle one with another recurrence."""
    return replace(_MIDDLE, family=family, options=FAMILIES[family].Options(**options))


PRESETS = {
    "mom-340m": replace(_LARGE, memories=_MEMORIES, intermediate_size=2048),
    "gated-deltanet-340m": _LARGE,
    "transformer-340m": _attention(_LARGE, 16, 64),
    "mom-8m": replace(_MIDDLE, memories=_MEMORIES, intermediate_size=384),
    "gated-deltanet-8m": _MIDDLE,
    "delta-net-8m": _recurrent("delta_net", num_heads=4),
    "retnet-8m": _recurrent("retnet", num_heads=4, expand_v=1.0),
    "mom-1m": replace(_SMALL, memories=_MEMORIES, intermediate_size=128),
    "gated-deltanet-1m": _SMALL,
    "mom-tiny": replace(_TINY, memories=_MEMORIES),
    "gated-deltanet-tiny": _TINY,
    "transformer-tiny": _attention(_TINY, 4, 32),
    "mamba2-tiny": replace(
        _TINY,
        family="mamba2",
        options=FAMILIES["mamba2"].Options(num_heads=8, head_dim=32, state_size=32),
        intermediate_size=None,
        residual_float32=True,
        norm_eps=1e-5,
    ),
}
"""Those of 340M stand in tables of speed, of 8M and 1M weights in tables of training (DeltaNet and
RetNet for a peer that refuses gradients of the gated delta rule); the tiny ones try a CPU out."""


def model(name: str, machine: Machine, *, allow_pickle: bool = False) -> tuple[str, LM]:
    """A preset, or one of our own checkpoints as `mom-eval run --model` takes it: (label, model).

    Raises:
        SettingError: as `checkpoint` says.
        ModelError: the checkpoint cannot be loaded.
    """
    found = checkpoint(name, allow_pickle=allow_pickle)
    if found is None:
        torch.manual_seed(machine.seed)
        with torch.device(machine.device):
            lm = LM(PRESETS[name])
        lm.reset_parameters()
        cast(lm, machine.dtype).kernels = machine.kernels
        compile_kernels(lm)
        return name, lm.eval().requires_grad_(False)
    options = Options(
        device=str(machine.device),
        dtype=machine.dtype_name,
        kernels=machine.kernels,
        allow_pickle=allow_pickle,
    )
    return found.label, load_lm(found, options).requires_grad_(False)


def checkpoint(name: str, *, allow_pickle: bool) -> Checkpoint | None:
    """The one checkpoint that has that name, one of our own models; None: it is a preset's.

    Raises:
        SettingError: no preset has that name, and nothing else has it either, or several have.
        ModelError: nothing is there, it is not ours, or its weights are a pickle, unasked for.
    """
    if name in PRESETS:
        return None
    if "/" not in name and "=" not in name and "." not in name:
        raise SettingError(
            f"there is no model {name!r} to bench: {nearest(name, list(PRESETS))}; the folder of a"
            " checkpoint does as well (./NAME)"
        )
    found = find(name, allow_pickle=allow_pickle)
    if len(found) > 1:
        raise SettingError(f"{name} names {len(found)} models; name them one by one")
    found[0].check_ours(", and bench times those alone")
    found[0].check_pickle(allow_pickle)
    return found[0]
