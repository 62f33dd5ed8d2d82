"""A card a model: what it is, how its runs went, and what other commands found out about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mom_eval.results.board import Board
from mom_eval.results.group import group_of
from mom_eval.results.rows import Identity, entries
from mom_eval.results.store import Run


@dataclass(frozen=True)
class Card:
    """One model and its runs under every setting."""

    name: str
    identity: Identity
    runs: list[Run] = field(default_factory=list)


def cards(runs: Sequence[Run], boards: Sequence[Board]) -> list[Card]:
    """The models of some runs in the order in which the boards have them; references are none."""
    asked = [run for run in runs if run.info["kind"] != "reference"]
    found: dict[Identity, Card] = {}
    for one in entries(asked):
        found.setdefault(_model(one.identity), Card(one.name, one.identity))
    for run in asked:
        found[_model(entries([run])[0].identity)].runs.append(run)
    ids = list(dict.fromkeys(run for board in boards for row in board.rows for run in row.runs))
    place = {run: number for number, run in enumerate(ids)}
    last = len(place)

    def first(card: Card) -> int:
        return min(place.get(run.info["id"], last) for run in card.runs)

    return sorted(found.values(), key=first)


def _model(identity: Identity) -> Identity:
    """The same for a model's runs of our tasks and of lm-eval's."""
    return identity._replace(kind="model")


def record(card: Card, beside: Mapping[str, Any]) -> dict[str, Any]:
    """One card as plain values; `beside`: what stands on it of other commands."""
    newest = max(card.runs, key=lambda run: run.info["started"] or "")
    return {
        "name": card.name,
        "about": _about(newest.info),
        "facts": _facts(newest.info),
        "runs": [_run(run) for run in card.runs],
        **beside,
    }


def _about(info: Mapping[str, Any]) -> str:
    """What a reader wants to know first, on one line."""
    model = info["model"] or {}
    size = model.get("parameters")
    parts = [f"{size:,} parameters" if size else None, model.get("dtype"), model.get("ran_on")]
    return " · ".join(str(part) for part in parts if part)


def _facts(info: Mapping[str, Any]) -> list[list[str]]:
    """Name and value of what `run.json` says of the model, in words; what it does not is left out.

    Counts stand with commas; what a reader does not know by name goes by its own.
    """
    model, tokenizer = info["model"] or {}, info["tokenizer"] or {}
    versions = info.get("versions") or {}
    facts = {
        _FACTS.get(str(key), str(key).replace("_", " ")): value for key, value in model.items()
    } | {
        "tokenizer": tokenizer.get("id"),
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "command": info.get("command"),
    }
    return [[key, _shown(value)] for key, value in facts.items() if value not in (None, "", {})]


_FACTS = {
    "id": "model",
    "weights_sha256": "SHA-256 of weights",
    "asked_dtype": "type asked for",
    "dtype": "type",
    "ran_on": "ran on",
}


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}"


def _run(run: Run) -> dict[str, Any]:
    """What a run cost: a speed that a user saw, with all that is not the model's work in it."""
    info = run.info
    questions = sum(len(lines) for lines in run.questions.values())
    seconds, tokens = info.get("seconds") or None, info.get("tokens") or {}
    return {
        "id": info["id"],
        "setting": group_of(run).title(),
        "questions": questions,
        "seconds": seconds,
        "questions_per_second": seconds and round(questions / seconds, 2),
        "prompt_tokens_per_second": seconds and round((info.get("prompt_tokens") or 0) / seconds),
        "read": tokens.get("read"),
        "unshared": tokens.get("unshared"),
        "written": tokens.get("written"),
        "peak_memory_bytes": info.get("peak_memory_bytes"),
        "batch": info.get("largest_batch"),
        "started": info["started"],
        "finished": info["finished"],
    }
