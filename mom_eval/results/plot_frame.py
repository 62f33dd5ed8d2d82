"""What plots ask of their tables: of `load_leaderboard`'s, and of a file that a command wrote."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mom_eval.errors import SettingError
from mom_eval.results.board import LM_EVAL_SCORE, Metric, shown
from mom_eval.results.notes import task_name, task_order
from mom_eval.results.table import AVERAGE, FIELDS, SETTING

Lines = Any
"""A DataFrame: pandas' own annotations do not tell one from a column, so checkers are told less."""


def checked(frame: pd.DataFrame, *free: str) -> Lines:
    """The table, if it is one of leaderboards that differ in nothing but `free`.

    Where anything may differ, so may data files, which can hang on it; published rows, which have
    a single setting, are left out.

    Raises:
        SettingError: it is none.
    """
    lines = _complete(frame, FIELDS, "mom_eval.load_leaderboard returns")
    lines = lines[lines["kind"] != "published"] if free else lines
    if LM_EVAL_SCORE in set(lines["metric"]):
        raise SettingError("lm-eval's own tasks are not drawn: their metrics share no axis")
    some(lines.dropna(subset="value"), "score that this plot could show; keep more lines")
    fixed = [name for name in (*SETTING, "metric") if name not in free]
    fixed += [] if free else ["data_files"]
    differ = [name for name in fixed if lines[name].nunique(dropna=False) > 1]
    if not differ and lines.duplicated([*free, "row", "kind", "task"]).any():
        differ = ["data_files"]
    if differ:
        raise SettingError(
            f"the table holds leaderboards that differ in {', '.join(differ)} and would share a"
            " plot; keep the lines of one, as table[table['board'] == table['board'].iloc[0]]"
        )
    return lines


def measured(
    frame: pd.DataFrame,
    file: str,
    *,
    alike: Sequence[str],
    once: Sequence[str] = (),
    drawn: Sequence[str] = (),
) -> Lines:
    """The table, if it is that of one measurement.

    Args:
        frame: what `pandas.read_csv` reads of the file, or lines of it.
        file: its name.
        alike: columns in which all lines must agree.
        once: columns by which lines are told apart.
        drawn: the other columns that the plot needs.

    Raises:
        SettingError: a column is missing, there is no line, or lines may not share a plot.
    """
    lines = _complete(frame, (*alike, *once, *drawn), f"pandas.read_csv reads of {file}")
    some(lines, "line that this plot could show; keep more lines")
    differ = [name for name in alike if lines[name].nunique(dropna=False) > 1]
    if differ:
        raise SettingError(
            f"the table holds lines that differ in {', '.join(differ)} and would share a plot; keep"
            f" those of one, as table[table['{differ[0]}'] == table['{differ[0]}'].iloc[0]]"
        )
    if once and lines.duplicated([*once]).any():
        raise SettingError(
            f"the table has two lines of the same {', '.join(once)}; drop one of them, or change"
            f" its {once[0]}"
        )
    return lines


def _complete(frame: pd.DataFrame, names: Sequence[str], source: str) -> Lines:
    """The table, if it has these columns.

    Raises:
        SettingError: one is missing.
    """
    missing = [name for name in names if name not in frame]
    if missing:
        raise SettingError(
            f"the table has no column {missing[0]}; give what {source}, or lines of it"
        )
    return frame


def records(lines: Lines) -> list[dict[str, Any]]:
    """Lines as plain values; what is missing is None."""
    return lines.astype(object).where(lines.notna(), None).to_dict("records")


def some(lines: Lines, what: str) -> Lines:
    """Lines, if there are any.

    Raises:
        SettingError: there are none, of `what`.
    """
    if lines.empty:
        raise SettingError(f"the table has no {what}")
    return lines


def metric_of(frame: Lines) -> Metric:
    """How the values are shown."""
    return shown(frame["metric"].iloc[0])


def tasks_of(frame: Lines) -> list[str]:
    """The tasks in the order of every table, without the average."""
    return sorted(set(frame["task"]) - {AVERAGE}, key=task_order)


def averaged(frame: Lines) -> list[str]:
    """The tasks that the average goes over; none where leaderboards differ in them."""
    found = frame["averaged"].unique()
    known = len(found) == 1 and AVERAGE in set(frame["task"])
    return found[0].split(",") if known and isinstance(found[0], str) else []


def panels(frame: Lines) -> list[str]:
    """The average, where it says more than the tasks do, and the tasks."""
    return [*([AVERAGE] if len(averaged(frame)) > 1 else []), *tasks_of(frame)]


def heading(frame: Lines, task: str, *, few: bool = False) -> str:
    """`FDA (n = 100)`: what stands over a panel; `few`: it says where a task is not averaged."""
    if task == AVERAGE:
        return f"Average of {len(averaged(frame))}"
    lines = frame[frame["task"] == task]
    counts = lines.groupby("board")["questions"].max().dropna()
    if counts.empty:
        return task_name(task)
    words = " to ".join(dict.fromkeys(f"{end:,.0f}" for end in (counts.min(), counts.max())))
    alone = frame["averaged"].notna().any() and not lines["in_average"].eq(True).any()
    return f"{task_name(task)} (n = {words}{', not averaged' if few and alone else ''})"


def asked(frame: Lines) -> str:
    """`1,234 questions`: what rows were asked at most, over all tasks; empty for published rows."""
    tasks = frame[frame["task"] != AVERAGE]
    count = tasks.groupby("task")["questions"].max().sum()
    return f"{count:,.0f} questions" if count else ""


def weight(task: str) -> str:
    """Of a heading."""
    return "bold" if task == AVERAGE else "normal"


def scored(frame: Lines, task: str, key: str = "value") -> Lines:
    """Lines of a task that have a score.

    `value`, `low` and `high` are those of the column `key`; ends that are not known are the value.
    """
    low, high = ("low", "high") if key == "value" else (f"{key}_low", f"{key}_high")
    lines = frame[frame["task"] == task].dropna(subset=[key])
    value = lines[key]
    ends = {"low": lines[low].fillna(value), "high": lines[high].fillna(value)}
    return lines.assign(value=value, **ends)
