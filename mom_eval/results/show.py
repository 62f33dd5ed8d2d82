"""Runs -> what a person or a program reads: text, a data frame, files."""

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pandas as pd

from mom_eval.results import table
from mom_eval.results.leaderboard import build
from mom_eval.results.store import Run, disk_errors

FORMS = ("md", "csv", "json")


def leaderboard_text(runs: Sequence[Run], form: str, reference: str | None = None) -> str:
    """The leaderboards of runs as text.

    Args:
        runs: from `read_runs`.
        form: `md`, `csv` or `json`.
        reference: publication whose rows are added.
    """
    boards = build(runs, published=reference)
    if form == "json":
        return json.dumps(table.json(boards), indent=1, ensure_ascii=False)
    return (table.csv if form == "csv" else table.markdown)(boards)


def leaderboard_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """The leaderboards of runs, a line for each group, row and task; columns as in the CSV."""
    return pd.read_csv(StringIO(leaderboard_text(runs, "csv")))


def write_leaderboard(runs: Sequence[Run], out: Path, reference: str | None = None) -> list[Path]:
    """Write `leaderboard.md`, `.csv`, `.json` and the plots; returns the files.

    Raises:
        RunError: the folder cannot be written.
    """
    from mom_eval.results import plot

    written = []
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for suffix in FORMS:
            path = out / f"leaderboard.{suffix}"
            path.write_text(leaderboard_text(runs, suffix, reference), encoding="utf-8")
            written.append(path)
    return written + plot.write(build(runs, published=reference), out / "plots")
