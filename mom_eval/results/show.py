"""Leaderboards -> what a person or a program reads: text, files."""

import json
from collections.abc import Sequence
from pathlib import Path

from mom_eval.results import table
from mom_eval.results.board import Board
from mom_eval.results.store import disk_errors

FORMS = ("md", "csv", "json")


def leaderboard_text(boards: Sequence[Board], form: str) -> str:
    """Leaderboards as text; `form` is `md`, `csv` or `json`."""
    if form == "json":
        return json.dumps(table.json(boards), indent=1, ensure_ascii=False)
    return (table.csv if form == "csv" else table.markdown)(boards)


def write_leaderboard(boards: Sequence[Board], out: Path) -> list[Path]:
    """Write `leaderboard.md`, `.csv`, `.json` and the plots; returns the files.

    Raises:
        RunError: the folder cannot be written.
    """
    from mom_eval.results import plot
    from mom_eval.results.frames import leaderboard_frame

    written = []
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for form in FORMS:
            path = out / f"leaderboard.{form}"
            path.write_text(leaderboard_text(boards, form), encoding="utf-8")
            written.append(path)
    return written + plot.write(leaderboard_frame(boards), out / "plots")
