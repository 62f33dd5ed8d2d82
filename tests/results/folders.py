"""Run folders on disk as `mom-eval run` writes them, made without a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mom_eval.results.store import SCHEMA, Run, RunWriter
from tests.results.conftest import make_run

ANSWERS = ("862.1345", "March 1884", "Ada Marsh", "the river")


def real_lines(
    task: str, contains: Sequence[int], *, per_document: int = 2, bits: float = 1.0
) -> list[dict[str, Any]]:
    """Lines with all that a run writes; answers of four types, cut and long documents."""
    lines = []
    for place, value in enumerate(contains):
        answer, document = ANSWERS[place % 4], place // per_document
        lines.append(
            {
                "task": task,
                "id": f"{task}-{place}",
                "document": f"{task}-{document}",
                "prompt_hash": f"{place:016x}",
                "prompt_tokens": 100 + 300 * (document % 5),
                "cut": {"start": 0, "end": 90, "of": 90 + 400 * (document % 5)}
                | {"anchor": "found", "left": 0},
                "position": (place % 10) / 10 or None,
                "question": f"What is number {place} of {task}?",
                "answers": [answer],
                "output": f" {answer if value else 'no idea'}",
                "log_probabilities": [-bits],
                "contains": value,
                "exact": value,
                "f1": float(value),
                "bits_per_byte": bits + place % 3,
            }
        )
    return lines


def write_run(out: Path, run: Run, name: str | None = None) -> Path:
    """Write a run made by `make_run` into its folder in `out`; returns the folder."""
    with RunWriter(out, run.info | {"schema": SCHEMA, "id": name or run.info["id"]}) as writer:
        for task, lines in run.questions.items():
            writer.append(task, lines)
    return writer.folder


def write_model(
    out: Path,
    label: str,
    contains: Mapping[str, Sequence[int]],
    *,
    per_document: int = 2,
    bits: float = 1.0,
    costs: Mapping[str, Any] | None = None,
    **options: Any,
) -> Path:
    """A model's run folder, named by its label, with those answers right."""
    lines = {
        task: real_lines(task, values, per_document=per_document, bits=bits)
        for task, values in contains.items()
    }
    run = make_run(label, lines, **options)
    if run.info["model"] is not None:
        run.info["model"].update(costs or {})
    return write_run(out, run, label.replace("/", "-"))
