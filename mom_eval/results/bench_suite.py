"""How long a suite of questions took -> table, CSV, JSON, files."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from mom_eval.results.markdown import escaped, grid, one_line
from mom_eval.results.table import as_csv

SCHEMA: Final = 1
WHOLE: Final = 12_000
"""Questions of a whole suite: the six tasks, two thousand each."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One run of questions through the engine."""

    label: str
    questions: int
    prompt: int
    """Tokens of each prompt."""
    tokens: int
    """Written behind each."""
    shared: int
    """Tokens that the prompts of eight questions have in common."""
    seconds: float
    reading_s: float
    """Of those, reading prompts; the rest is decoding."""
    read: int
    """Tokens that were read: less than the prompts have where they share some."""
    written: int
    about: dict[str, Any]
    """device, dtype, kernels, seed, versions, command."""

    @property
    def decoding_s(self) -> float:
        """Seconds that are no reading."""
        return self.seconds - self.reading_s

    @property
    def scaled_s(self) -> float:
        """What a whole suite would take at this speed."""
        return self.seconds * WHOLE / self.questions


def markdown(suite: Suite) -> str:
    """What was measured, and beside it, marked as such, what it makes of a whole suite."""
    about = suite.about
    details = [
        about["device"],
        about["dtype"],
        f"kernels {about['kernels']}",
        *(["random weights"] if about["random_weights"] else []),
        f"torch {about['versions']['torch']}",
    ]
    asked = (
        f"{suite.questions:,} questions of {suite.prompt:,} random tokens, {suite.tokens:,} written"
        f" behind each, {_shared(suite)}"
    )
    head = ["", "Seconds", "Tokens", "Tokens/s"]
    lines = [
        ["reading prompts", *_speed(suite.reading_s, suite.read)],
        ["decoding", *_speed(suite.decoding_s, suite.written)],
        ["all", f"{suite.seconds:,.2f}", f"{suite.read + suite.written:,}", "-"],
    ]
    notes = [
        f"- First call in this process, before the clock: {about['first_call_s']:.1f} s; relative"
        f" error of the model's logits {about['error']:.1e}."
    ]
    if suite.questions != WHOLE:
        scaled = f"{suite.scaled_s:,.1f}"
        lines.append([f"scaled to {WHOLE:,}, not measured", scaled, "-", "-"])
        notes.append(f"- {suite.questions:,} questions were run, and not {WHOLE:,}.")
    return "\n\n".join(
        (
            f"## A suite on {escaped(suite.label)}",
            escaped(", ".join(details)),
            escaped(asked),
            grid(head, lines),
            "\n".join(notes) + "\n",
        )
    )


def _shared(suite: Suite) -> str:
    return f"{suite.shared:,} shared by eight each" if suite.shared else "nothing shared"


def _speed(seconds: float, tokens: int) -> list[str]:
    return [f"{seconds:,.2f}", f"{tokens:,}", f"{tokens / seconds:,.0f}"]


def record(suite: Suite) -> dict[str, Any]:
    """All of it as plain values; `scaled_s` is calculated, everything else measured."""
    values = asdict(suite)
    derived = {"decoding_s": suite.decoding_s, "whole": WHOLE, "scaled_s": suite.scaled_s}
    return {"schema": SCHEMA, "kind": "suite", **values.pop("about"), **values, **derived}


def as_json(suite: Suite) -> str:
    """The record as text."""
    return json.dumps(record(suite), indent=1, ensure_ascii=False)


def csv(suite: Suite) -> str:
    """One line."""
    flat = {
        name: one_line(value) if isinstance(value, str) else value
        for name, value in record(suite).items()
        if not isinstance(value, dict)
    }
    return as_csv([flat])


def write(suite: Suite, out: Path) -> list[Path]:
    """Write `suite.md`, `suite.csv` and `suite.json`; returns the files.

    Raises:
        RunError: the folder cannot be written.
    """
    from mom_eval.results.plot_files import write_report

    texts = {
        "suite.md": markdown(suite).rstrip("\n"),
        "suite.csv": csv(suite).rstrip("\n"),
        "suite.json": as_json(suite),
    }
    return write_report(texts, {}, out)
