"""Which runs a leaderboard takes, and in what order its rows stand."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from mom_eval.errors import SettingError, nearest
from mom_eval.results.board import METRICS, Board, Cell, Row
from mom_eval.results.group import gather
from mom_eval.results.store import Run

_COSTS: Final[dict[str, Callable[[Row], float | None]]] = {
    "state": lambda row: row.costs.state_bytes,
    "activated": lambda row: row.costs.activated,
    "decode": lambda row: row.costs.decode_bytes,
    "speed": lambda row: _negative(row.costs.tokens_per_second),
}
"""Key -> what a row is sorted by, the smallest first."""
_KINDS: Final = ("model", "lm-eval", "reference", "published")


def selected(
    runs: Iterable[Run], *, models: Sequence[str] = (), tasks: Sequence[str] = ()
) -> list[Run]:
    """Runs of models whose labels fit a pattern, with their answers to some tasks alone.

    Reference rows stay where one of the models stands: no score means much without them.

    Args:
        runs: all.
        models: labels or patterns such as `mom-*`; none: all.
        tasks: names; none: all.

    Raises:
        SettingError: a pattern fits no model, or no run asked a task.
    """
    runs = list(runs)
    labels = sorted({run.info["label"] for run in runs if run.info["kind"] != "reference"})
    asked = sorted({task for run in runs for task in run.info["tasks"]})
    check_known(models, tasks, labels, asked)
    kept = [
        run
        for run in runs
        if run.info["kind"] == "reference" or is_called(run.info["label"], models)
    ]
    if models:
        kept = _beside_models(kept)
    if not tasks:
        return kept
    parts = [_of_tasks(run, tasks) for run in kept]
    return [run for run in parts if run.questions or run.info["no_score"]]


def _beside_models(runs: list[Run]) -> list[Run]:
    """Without the references of boards on which no model stands."""
    boards = [gathered.runs for gathered in gather(runs)]
    wanted = {
        id(run)
        for members in boards
        if any(run.info["kind"] != "reference" and run.questions for run in members)
        for run in members
    }
    return [run for run in runs if run.info["kind"] != "reference" or id(run) in wanted]


def check_known(
    models: Sequence[str], tasks: Sequence[str], labels: Sequence[str], asked: Sequence[str]
) -> None:
    """Refuse patterns that fit no label, and tasks that nobody asked.

    Raises:
        SettingError: one of them; the sentence has the nearest that there are.
    """
    for pattern in models:
        if not any(is_called(label, [pattern]) for label in labels):
            raise SettingError(
                f"no model there is called {pattern!r}; {nearest(pattern, [*labels])}"
            )
    check_asked(tasks, asked)


def check_asked(tasks: Sequence[str], asked: Sequence[str]) -> None:
    """Refuse tasks that nobody asked.

    Raises:
        SettingError: one of them; the sentence has the nearest that there are.
    """
    for task in tasks:
        if task not in asked:
            raise SettingError(f"no run there asked {task!r}; {nearest(task, [*asked])}")


def is_called(label: str, models: Sequence[str]) -> bool:
    """Whether a label is, or fits, one of these; where there are none, it is."""
    # As it is written first: to a pattern the brackets of `gla [old]` are something else.
    return not models or any(label == one or fnmatchcase(label, one) for one in models)


def _of_tasks(run: Run, tasks: Sequence[str]) -> Run:
    info = run.info | {
        "no_score": {t: reason for t, reason in run.info["no_score"].items() if t in tasks}
    }
    return Run(run.folder, info, {t: q for t, q in run.questions.items() if t in tasks})


def sorted_by(boards: Iterable[Board], key: str) -> list[Board]:
    """Boards whose rows are in another order; models stay before references, as ever.

    Args:
        boards: as `leaderboard.build` orders them.
        key: a task, a metric (its average), `name`, `state`, `activated`, `decode` (the smallest
            first) or `speed` (the fastest first). Rows without a value stand behind.

    Raises:
        SettingError: no board has such a key.
    """
    boards = list(boards)
    tasks = [column.key for board in boards for column in board.columns]
    known = list(dict.fromkeys(["name", *METRICS, *_COSTS, *tasks]))
    if key not in known:
        raise SettingError(f"rows cannot be sorted by {key!r}; {nearest(key, known)}")
    return [
        replace(board, rows=tuple(sorted(board.rows, key=lambda row: _place(board, row, key))))
        for board in boards
    ]


def _place(board: Board, row: Row, key: str) -> tuple[int, bool, float, str]:
    value = _value(board, row, key)
    return (_KINDS.index(row.kind), value is None, value or 0.0, row.name)


def _value(board: Board, row: Row, key: str) -> float | None:
    """The smaller, the further up."""
    if key == "name":
        return 0.0
    if key in _COSTS:
        return _COSTS[key](row)
    cell, metric = (
        (row.average, key) if key in METRICS else (row.cells.get(key, Cell()), board.metric)
    )
    score = cell.scores.get(metric)
    lower = metric in METRICS and METRICS[metric].lower_is_better
    return None if score is None else score.value if lower else -score.value


def _negative(value: float | None) -> float | None:
    return None if value is None else -value
