"""Run folders -> tidy tables: the runs, their questions, their leaderboards."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mom_eval.results import table
from mom_eval.results.board import Board
from mom_eval.results.costs import tokens_taken
from mom_eval.results.group import group_of
from mom_eval.results.leaderboard import build
from mom_eval.results.store import Run, read_runs


class Frames(NamedTuple):
    """Two tables that `run`, the run's id, joins."""

    runs: pd.DataFrame
    """One line a run: who was asked what, how, when, at what cost."""
    questions: pd.DataFrame
    """One line a question of a run: what was asked, what is right, what was written, scores."""


def load_runs(*paths: str | Path) -> Frames:
    """Read run folders, or all that lie directly in given folders, as DataFrames.

    Scores are as stored: shares from 0 to 1, bits per byte. What is not known is missing (NaN,
    None). Questions of lm-eval's own tasks have a `filter`, and their scores in columns named
    `lm_eval_<metric>`. Of two folders of one run the one with more answers counts.
    The oldest run comes first.

    Args:
        paths: run folders, or folders that hold them, as `mom-eval run --out` writes them.

    Raises:
        RunError: no run is there, or one cannot be read.
    """
    runs = sorted(read_runs(map(Path, paths)), key=answered)
    found = sorted({run.info["id"]: run for run in runs}.values(), key=age)
    return Frames(runs_frame(found), questions_frame(found))


def load_leaderboard(
    *paths: str | Path, metric: str = "contains", published: str | None = None
) -> pd.DataFrame:
    """Read run folders, or all that lie directly in given folders, as leaderboards in one table.

    One line a leaderboard (`board`, its title), row and task, `average` being one more task; the
    best row comes first. `value`, `low` and `high` are the score and its 95 % interval. Shares and
    their net scores are in percent. What is not known is missing (NaN). The plots take this table,
    or lines of it.

    Args:
        paths: run folders, or folders that hold them, as `mom-eval run --out` writes them.
        metric: what `value` is, and what rows are ordered by: `contains`, `exact`, `f1` or
            `bits_per_byte`.
        published: `mom-paper` adds the rows of that paper.

    Raises:
        RunError: no run is there, or one cannot be read.
        SettingError: no publication of that name.
        ValueError: no metric of that name.
    """
    return leaderboard_frame(build(read_runs(map(Path, paths)), metric, published))


def leaderboard_frame(boards: Iterable[Board]) -> pd.DataFrame:
    """Leaderboards as one table; see `load_leaderboard`."""
    return as_frame(table.lines(boards), table.FIELDS)


def as_frame(lines: Iterable[Mapping[str, Any]], fields: Sequence[str] = ()) -> pd.DataFrame:
    """Lines as a table: what `pandas.read_csv` reads of their `table.as_csv`, but names as given.

    Args:
        lines: what is None, or not there, is missing.
        fields: the columns; none: all that a line has, as they first come.
    """
    frame = pd.DataFrame(lines, columns=[*fields] or None)
    # A column of nothing but None would be one of objects, and no number could be asked of it.
    return frame.astype(dict.fromkeys(frame.columns[frame.isna().all()], float))


def age(run: Run) -> tuple[str, str]:
    """Sorts runs, the oldest first."""
    return run.info["started"] or "", run.info["id"]


def answered(run: Run) -> int:
    """How many answers a run holds."""
    return sum(map(len, run.questions.values()))


def runs_frame(runs: Iterable[Run]) -> pd.DataFrame:
    """One line a run; see `load_runs`."""
    return pd.DataFrame([run_record(run) for run in runs])


def questions_frame(runs: Iterable[Run]) -> pd.DataFrame:
    """One line a question of a run; see `load_runs`."""
    records = [
        _question_record(run.info["id"], task, line)
        for run in runs
        for task, lines in run.questions.items()
        for line in lines
    ]
    return pd.DataFrame(records, columns=None if records else ["run", "task", "id", "document"])


def run_record(run: Run) -> dict[str, Any]:
    """A run as one flat line. Old runs say less of their models; what they do not say is None."""
    info, model = run.info, run.info["model"] or {}
    about = {
        "run": info["id"],
        "folder": str(run.folder),
        "label": info["label"],
        "kind": info["kind"],
        "asked": ",".join(info["tasks"]),
        "questions": answered(run),
        "started": pd.to_datetime(info["started"], utc=True),
        "finished": pd.to_datetime(info["finished"], utc=True),
    }
    # What parts leaderboards, less `tasks`: `kind` and `asked` say that.
    setting = {name: value for name, value in group_of(run).record().items() if name != "tasks"}
    names = ("id", "revision", "weights_sha256", "backend", "dtype", "ran_on")
    who = {f"model_{name}".replace("model_id", "model"): model.get(name) for name in names}
    counts = ("parameters", "activated", "state_bytes", "state_bytes_per_token", "decode_bytes")
    costs = {name: model.get(name) for name in counts}
    tokens, seconds = tokens_taken(info), info.get("seconds")
    spent = {"seconds": seconds, "peak_memory_bytes": info.get("peak_memory_bytes")}
    spent["tokens_per_second"] = tokens / seconds if tokens is not None and seconds else None
    return (
        about
        | setting
        | {"limit": info["setting"].get("limit")}
        | who
        | {"tokenizer": (info["tokenizer"] or {}).get("id")}
        | costs
        | spent
    )


def _question_record(run: str, task: str, line: Mapping[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {"run": run, "task": task, **line}
    cut = record.pop("cut", None) or {}
    metrics = record.pop("metrics", None) or {}
    return (
        record
        | {f"cut_{name}": value for name, value in cut.items()}
        | {f"lm_eval_{name}": value for name, value in metrics.items()}
    )
