"""Lines about models for listings: families, published checkpoints, a checkpoint at hand."""

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mom_eval.errors import CheckpointError
from mom_eval.models.cost import cost
from mom_eval.models.families import FAMILIES
from mom_eval.models.load import known, read
from mom_eval.models.published import PUBLISHED
from mom_eval.models.published_config import read_config

_TITLE = re.compile(r"(.+?) \(arXiv (\S+)\): (.+)\.")
_BESIDE = (
    ("transformer", "Transformer++", "2302.13971", "softmax attention with rotary positions"),
    ("mom-*", "Mixture-of-Memories", "2502.13685", "several memories of one of these, routed"),
)


def families() -> list[dict[str, Any]]:
    """A line an architecture: its name, its title, its paper on arXiv, what it is."""
    rows = []
    for name, family in FAMILIES.items():
        first = (sys.modules[family.__module__].__doc__ or "").splitlines()[:1]
        title = _TITLE.fullmatch(" ".join(first))
        assert title, f"the docstring of {family.__module__} begins with `Title (arXiv id): what.`"
        rows.append((name, *title.groups()))
    keys = ("name", "title", "arxiv", "what")
    return [dict(zip(keys, row, strict=True)) for row in (*rows, *_BESIDE)]


def published() -> list[dict[str, Any]]:
    """A line a published checkpoint; counts are None where its shape is not on record."""
    rows = []
    for one in PUBLISHED:
        counts: dict[str, Any] = {"parameters": None, "state_bytes": None}
        if one.config is not None:
            shape = cost(read_config({"model_type": one.model_type, **one.config}))
            counts = {"parameters": shape.parameters, "state_bytes": shape.state_bytes}
        rows.append({"id": one.id, "model_type": one.model_type, **counts})
    return rows


def checkpoint(folder: Path, *, allow_pickle: bool = False) -> dict[str, Any]:
    """What a checkpoint is and costs, from its configuration and the shapes of its tensors.

    Raises:
        CheckpointError: it is of no layout known here, or its parts do not fit each other.
    """
    if not known(folder):
        raise CheckpointError(
            f"{folder.name} is of no layout that our own models know; `mom-eval models` lists what"
            " they know, and `mom-eval run --backend hf` takes what transformers knows"
        )
    plan = read(folder, allow_pickle=allow_pickle)
    config = plan.model.config
    return {
        "architecture": config.name,
        "layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "vocab_size": config.vocab_size,
        "dtype": str(plan.dtype).removeprefix("torch."),
        **asdict(cost(config, plan.dtype)),
    }
