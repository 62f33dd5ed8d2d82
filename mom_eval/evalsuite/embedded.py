"""`mom-eval run` without a model: the checkpoints that ship, on questions that need no data."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from mom_eval.errors import ModelError
from mom_eval.models.zoo import shipped
from mom_eval.results.board import Board

CONTEXT_LENGTH = (1024,)
"""Few documents of the sample are cut at that, so that what is read is shared by questions."""
NEXT = (
    "Next: `mom-eval data prepare` fetches the real tasks, and `mom-eval run --data hub --model"
    " linear-moe-hub/MoM-Gated-Deltanet-340M` asks a published checkpoint (`mom-eval models` lists"
    " more)."
)


def ties(board: Board) -> str:
    """The models of a leaderboard, best first, with ties where its intervals tell none apart."""
    found = [
        (row.name, score)
        for row in board.rows
        if row.kind == "model" and (score := row.average.scores.get("contains"))
    ]
    text = found[0][0] if found else ""
    for (_, before), (name, score) in pairwise(found):
        apart = score.high is not None and before.low is not None and score.high < before.low
        text += f"{' >' if apart else ' ='} {name}"
    return (
        f"Order, with = where an interval overlaps the one before: {text}. `mom-eval compare A B`"
        " compares two on the same questions."
    )


class Asked(NamedTuple):
    """What is asked of whom."""

    models: list[str]
    options: dict[str, Any]
    next: str | None
    """What to say behind the leaderboard."""


def with_defaults(models: list[str], options: Mapping[str, Any]) -> Asked:
    """Who and what is meant where no model is named: every checkpoint that ships, on the sample.

    Prepared data are passed over: the same call shows the same on every machine. Data that are
    named are asked about as always.

    Raises:
        ModelError: no checkpoint ships.
    """
    if models:
        return Asked(models, dict(options), None)
    names = list(shipped())
    if not names:
        raise ModelError("no checkpoint ships with this mom-eval; name a model with --model")
    if options["data"] is not None or options["data_dir"] is not None:
        return Asked(names, dict(options), None)
    meant: dict[str, Any] = {"data": "sample"}
    if options["context_length"] is None and options["haystack"] is None:
        meant["context_length"] = CONTEXT_LENGTH
    return Asked(names, {**options, **meant}, NEXT)
