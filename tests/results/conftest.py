"""Runs made by hand: no model, no files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mom_eval.results.store import Run

SETTING = {
    "protocol": "paper",
    "context_length": 2048,
    "answer_length": 48,
    "repeat": 1,
    "haystack": None,
    "depth": None,
    "control": None,
    "keep_dropped": False,
    "limit": None,
    "seed": 0,
    "bos": False,
}


def make_lines(task: str, contains: list[int], bits: float | None = 1.0) -> list[dict[str, Any]]:
    """One line a question, two questions a document; exact and F1 are half of contains."""
    return [
        {
            "task": task,
            "id": f"{task}-{place}",
            "document": f"{task}-{place // 2}",
            "contains": value,
            "exact": value * (place % 2),
            "f1": value / 2,
            "bits_per_byte": None if bits is None else bits + place % 3,
        }
        for place, value in enumerate(contains)
    ]


def make_run(
    label: str = "model",
    questions: dict[str, list[dict[str, Any]]] | None = None,
    *,
    kind: str = "model",
    files: dict[str, str] | None = None,
    source: str = "local",
    weights: str | None = None,
    dtype: str = "float32",
    backend: str = "hf",
    tokenizer: str = "some/tokenizer",
    info: dict[str, Any] | None = None,
    **setting: Any,
) -> Run:
    """A finished run; `setting` overrides `SETTING`, `info` anything else."""
    questions = {"fda": make_lines("fda", [1, 0] * 50)} if questions is None else questions
    unknown = set(setting) - set(SETTING)
    assert not unknown, unknown
    hashes = files or {task: f"sha of {task}" for task in questions}
    model = {"id": label, "revision": None, "weights_sha256": weights or label, "dtype": dtype}
    model["backend"] = backend
    return Run(
        Path(f"runs/{label}"),
        {
            "id": f"id of {label}",
            "label": label,
            "kind": kind,
            "model": None if kind == "reference" else model,
            "tokenizer": {"id": tokenizer, "sha256": "f00"},
            "tasks": list(questions),
            "setting": SETTING | setting,
            "data": {
                "source": source,
                "revision": None,
                "files": {t: {"file": t, "sha256": sha, "rows": 9} for t, sha in hashes.items()},
            },
            "dropped": {},
            "missing_answer": {},
            "hidden_answer": {},
            "results": {},
            "no_score": {},
            "started": "2026-01-01T00:00:00",
            "finished": "2026-01-01T01:00:00",
        }
        | (info or {}),
        questions,
    )


def six_tasks(share: float, seed: int = 0, questions: int = 100) -> dict[str, list[dict[str, Any]]]:
    """All six tasks with that share right; TriviaQA has 19 questions at most."""
    rng = np.random.default_rng(seed)
    sizes = dict.fromkeys(("fda", "swde", "squad", "nq", "triviaqa", "drop"), questions)
    sizes["triviaqa"] = min(questions, 19)
    return {
        task: make_lines(task, (rng.random(size) < share).astype(int).tolist())
        for task, size in sizes.items()
    }


@pytest.fixture
def make():
    """`make(label, questions, ...)`: a run."""
    return make_run


@pytest.fixture
def lines():
    """`lines(task, contains)`: lines of one task."""
    return make_lines


@pytest.fixture
def tasks():
    """`tasks(share, seed, questions)`: lines of all six tasks."""
    return six_tasks
