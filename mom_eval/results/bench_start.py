"""How long a fresh process takes to its first token -> table, CSV, JSON, files."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from mom_eval.results.markdown import escaped, grid, one_line
from mom_eval.results.table import as_csv

SCHEMA: Final = 1
PHASES: Final = {
    "imports_s": "Python and imports",
    "device_s": "the device's context",
    "load_s": "the model, its kernels compiled",
    "prefill_s": "the first prompt",
    "step_s": "the first step of decoding",
}
"""Name -> what a process does then."""
_BEFORE: Final = ("imports_s", "device_s")
"""What comes before a model."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Some processes, one after the other."""

    label: str
    prompt: int
    """Tokens of the first prompt."""
    cold: list[dict[str, float]]
    """Seconds of each phase, of each process that had no kernels."""
    warm: dict[str, float]
    """Of one more, with the kernels of the last."""
    about: dict[str, Any]
    """device, dtype, kernels, seed, versions, command; are weights random, are kernels compiled?"""


def seconds_text(seconds: float) -> str:
    """`7.21`."""
    return f"{seconds:,.2f}"


def markdown(start: Start) -> str:
    """A line a phase: the median of processes without kernels, their range, and with them."""
    about = start.about
    details = [
        about["device"],
        about["dtype"],
        f"kernels {about['kernels']}",
        *(["random weights"] if about["random_weights"] else []),
        f"torch {about['versions']['torch']}",
        f"triton {about['versions']['triton']}",
    ]
    lines = [
        *(_line(start, (name,), what) for name, what in PHASES.items()),
        _line(start, [name for name in PHASES if name not in _BEFORE], "from the context on"),
        _line(start, list(PHASES), "all"),
    ]
    notes = ["- From the context on: without Python's start, imports and the device's context."]
    if not about["compiles"]:
        notes.append("- Nothing is compiled here: no kernels of Triton run.")
    head = ["Seconds", f"No kernels, median of {len(start.cold)}", "Least", "Most", "With them"]
    return "\n\n".join(
        (
            f"## From nothing to a first token: {escaped(start.label)}",
            escaped(", ".join(details)),
            f"One prompt of {start.prompt:,} random tokens, and a token behind it.",
            grid(head, lines),
            "\n".join(notes) + "\n",
        )
    )


def _line(start: Start, phases: list[str] | tuple[str, ...], what: str) -> list[str]:
    cold = [sum(one[name] for name in phases) for one in start.cold]
    warm = sum(start.warm[name] for name in phases)
    return [what, *map(seconds_text, (median(cold), min(cold), max(cold), warm))]


def record(start: Start) -> dict[str, Any]:
    """All of it as plain values."""
    values = asdict(start)
    return {"schema": SCHEMA, "kind": "start", **values.pop("about"), **values}


def as_json(start: Start) -> str:
    """The record as text."""
    return json.dumps(record(start), indent=1, ensure_ascii=False)


def csv(start: Start) -> str:
    """A line a process."""
    processes = [(False, one) for one in start.cold] + [(True, start.warm)]
    same = {"label": one_line(start.label), "device": start.about["device"], "prompt": start.prompt}
    return as_csv([same | {"compiled": compiled} | one for compiled, one in processes])


def write(start: Start, out: Path) -> list[Path]:
    """Write `start.md`, `start.csv` and `start.json`; returns the files.

    Raises:
        RunError: the folder cannot be written.
    """
    from mom_eval.results.plot_files import write_report

    texts = {
        "start.md": markdown(start).rstrip("\n"),
        "start.csv": csv(start).rstrip("\n"),
        "start.json": as_json(start),
    }
    return write_report(texts, {}, out)
