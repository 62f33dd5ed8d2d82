"""A folder -> a model: every tensor used or dropped for a reason, every piece filled."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mom_eval.errors import CheckpointError
from mom_eval.models.checkpoint import Tensors, read_json
from mom_eval.models.config import ModelConfig
from mom_eval.models.lm import LM
from mom_eval.models.names import as_spelled, published_names, reason_to_drop
from mom_eval.models.published_config import DEFAULTS, read_config

LISTED = 12
FLOAT32 = ("A_log", "dt_bias", "D", "lower_bounds")
"""Pieces that gates are made of: always float32, as the gates are."""


def known(folder: Path | str) -> bool:
    """Is there a configuration in the folder that `load` understands?

    Raises:
        CheckpointError: there is a config.json that cannot be read.
    """
    path = Path(folder) / "config.json"
    if not path.exists():
        return False
    config = read_json(path)
    kind = config.get("model_type")
    ssm = config.get("ssm_cfg")
    state_spaces = kind is None and isinstance(ssm, dict) and ssm.get("layer") == "Mamba2"
    return state_spaces or kind in (*DEFAULTS, "mamba2", "mom_eval")


class Plan(NamedTuple):
    """A checkpoint whose configuration and tensors fit each other; no number is read yet."""

    model: LM
    """Without numbers."""
    tensors: Tensors
    names: dict[str, list[str]]
    """Tensor of the file -> the pieces it holds, in their order."""
    dtype: torch.dtype
    """Of the file."""


def read(folder: Path | str, *, allow_pickle: bool = False) -> Plan:
    """Compare the configuration and the tensors of a checkpoint; see `load`."""
    folder = Path(folder)
    raw = read_json(folder / "config.json")
    tensors = Tensors(folder, allow_pickle=allow_pickle)
    try:
        config = read_config(raw)
        model = _shaped(config, tensors)
    except CheckpointError as error:
        raise CheckpointError(
            f"{folder.name}: {error}; mend the file, or try --backend hf, which runs what"
            " transformers knows"
        ) from error
    layout = layout_of(raw, tensors)
    names = as_spelled(published_names(model.pieces(), config, layout), tensors.shapes)
    _check(names, model.pieces(), tensors, config, folder)
    return Plan(model, tensors, names, _dtype(names, tensors))


def load(
    folder: Path | str,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    allow_pickle: bool = False,
) -> LM:
    """Load a checkpoint of any layout in `docs/adding.md`'s list, in evaluation mode.

    Args:
        folder: with config.json and weights.
        device: where the model goes.
        dtype: of its weights; None keeps the file's. What gates are made of stays in float32.
        allow_pickle: read `pytorch_model.bin` where there are no safetensors.

    Raises:
        CheckpointError: configuration and tensors do not fit; what is missing, left over or of
            another shape is listed.
    """
    plan = read(folder, allow_pickle=allow_pickle)
    model, tensors, names = plan.model, plan.tensors, plan.names
    cast(model, dtype or plan.dtype).to_empty(device=device)
    if model.config.tie_embeddings:
        model.head.weight = model.embeddings.weight
    pieces = model.pieces()
    with torch.no_grad():
        for name, held in names.items():
            _fill([pieces[piece] for piece in held], tensors[name])
    return model.eval()


def cast(model: LM, dtype: torch.dtype) -> LM:
    """The model with weights of a dtype; what gates are made of is in float32."""
    for name, parameter in model.named_parameters():
        gates = name.rsplit(".", 1)[-1] in FLOAT32
        parameter.data = parameter.data.to(torch.float32 if gates else dtype)
    return model


def _shaped(config: ModelConfig, tensors: Tensors) -> LM:
    """The model without its numbers."""
    memories = config.memories
    each = 1 if memories is None or memories.common_kv else memories.num_memories
    if config.num_layers * each > len(tensors.shapes):
        raise CheckpointError(
            f"config.json describes {config.num_layers * each:,} layers and memories, and the file"
            f" has {len(tensors.shapes)} tensors"
        )
    try:
        with torch.device("meta"):
            model = LM(config)
        model.pieces()  # widths below zero show here
        return model
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise CheckpointError(f"config.json does not describe a model: {first}") from error


def _dtype(names: dict[str, list[str]], tensors: Tensors) -> torch.dtype:
    """The file's, by what its first matrix is stored in."""
    dtype = tensors[next(iter(names))].dtype
    if dtype not in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        raise CheckpointError(
            f"the weights in {tensors.folder.name} are stored as {dtype}; give floating-point"
            " numbers"
        )
    return dtype


def layout_of(raw: dict[str, Any], tensors: Tensors) -> str:
    """Which table of `names` a checkpoint follows."""
    if raw.get("model_type") == "mom_eval":
        return "own"
    if "ssm_cfg" in raw:
        return "state-spaces"
    if raw["model_type"] == "mamba2":
        return "mamba2"
    first = "model.layers.0.mlp."
    fused = f"{first}gate_proj.weight" in tensors.shapes
    return "fla-fused-mlp" if fused and f"{first}up_proj.weight" not in tensors.shapes else "fla"


def _check(
    names: dict[str, list[str]],
    pieces: dict[str, Tensor],
    tensors: Tensors,
    config: ModelConfig,
    folder: Path,
) -> None:
    """Compare names and shapes before anything is allocated."""
    missing = [name for name in names if name not in tensors.shapes]
    unused = [
        name
        for name in tensors.shapes
        if name not in names and reason_to_drop(name, config) is None
    ]
    wrong = []
    for name, held in names.items():
        want = [pieces[piece].shape for piece in held]
        expected = (sum(shape[0] for shape in want), *want[0][1:])
        if name in tensors.shapes and _squeezed(tensors.shapes[name]) != _squeezed(expected):
            wrong.append(f"{name} is {list(tensors.shapes[name])}, expected {list(expected)}")
    said = [
        f"{what}: {_listed(those)}"
        for what, those in (("missing", missing), ("left over", unused), ("shapes", wrong))
        if those
    ]
    if said:
        raise CheckpointError(
            f"the weights in {folder.name} do not fit its config.json ({config.name}):"
            f" {'; '.join(said)}; fetch or save both again"
        )
    for name, shape in tensors.shapes.items():
        if name == "lm_head.weight" and name not in names:
            tied = next(n for n, held in names.items() if held == ["embeddings.weight"])
            if shape != tensors.shapes[tied] or not torch.equal(tensors[name], tensors[tied]):
                raise CheckpointError(
                    f"{folder.name} says its embeddings are tied, but holds an lm_head of its own;"
                    " set tie_word_embeddings to false in its config.json"
                )


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Convolutions are published [C, 1, W] and held [C, W]."""
    return (shape[0], shape[2]) if len(shape) == 3 and shape[1] == 1 else tuple(shape)


def _listed(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _fill(views: list[Tensor], tensor: Tensor) -> None:
    """Copy a published tensor into the pieces that it holds one after the other."""
    assert tensor.numel() == sum(math.prod(view.shape) for view in views)
    for view, part in zip(views, tensor.split([len(view) for view in views]), strict=True):
        view.copy_(part.reshape(view.shape))
