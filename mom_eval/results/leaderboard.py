"""Leaderboards: runs that may be compared, as rows of scores with intervals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from mom_eval.errors import SettingError, nearest
from mom_eval.results import AVERAGE_QUESTIONS
from mom_eval.results.board import LM_EVAL_SCORE, METRICS, Board, Cell, Column, Row
from mom_eval.results.costs import costs_of
from mom_eval.results.group import LM_EVAL, Gathered, agrees, gather, group_of, told_apart
from mom_eval.results.notes import caption, notes, task_name, task_order
from mom_eval.results.published import PUBLICATIONS, Publication
from mom_eval.results.rows import (
    Entry,
    all_shares,
    average_cell,
    entries,
    lm_eval_cells,
    net,
    score_cells,
)
from mom_eval.results.statistics import Interval, average
from mom_eval.results.store import Run


def build(
    runs: Iterable[Run], metric: str = "contains", published: str | None = None
) -> list[Board]:
    """Every leaderboard that the runs make: one for each group that must not be mixed.

    Rows are ordered by their average of `metric` (a key of `METRICS`), the best first; rows without
    one stand behind, by name. Models come before reference rows, and these before the rows of the
    publication named `published` (a key of `PUBLICATIONS`). Runs under a control make boards of
    their own and give the net scores of the models without it.

    Raises:
        SettingError: no publication of that name.
        ValueError: no metric of that name.
    """
    if metric not in METRICS:
        raise ValueError(f"no metric {metric!r}; {nearest(metric, list(METRICS))}")
    if published is not None and published not in PUBLICATIONS:
        known = nearest(published, list(PUBLICATIONS))
        raise SettingError(f"there are no published rows named {published!r}; {known}")
    runs = list(runs)
    boards = []
    for gathered in gather(runs):
        found = entries(gathered.runs)
        if not any(entry.answers for entry in found):
            continue
        if gathered.group.tasks == LM_EVAL:
            boards.append(_lm_eval_board(gathered, found))
        else:
            boards.append(_recall_board(gathered, found, runs, metric))
    if published is not None:
        boards = [_with_published(board, PUBLICATIONS[published]) for board in boards]
    titles = told_apart([board.title for board in boards], [board.files for board in boards])
    return [replace(board, title=title) for board, title in zip(boards, titles, strict=True)]


def _recall_board(
    gathered: Gathered, found: Sequence[Entry], runs: Sequence[Run], metric: str
) -> Board:
    columns = _columns(found)
    rows, remarks = [], []
    for entry in found:
        controls = _controls(entry, gathered, runs)
        cells = {
            task: replace(cell, net=_nets(entry, task, controls, metric))
            for task, cell in score_cells(entry).items()
        }
        remarks += _unpaired(entry, controls, cells)
        costs = costs_of(_members(entry), gathered.group.context_length)
        rows.append(replace(_row(entry, cells, average_cell(cells, columns)), costs=costs))
    rows.sort(key=lambda row: _rank(row, metric))
    asked = sorted({control for row in rows for cell in row.cells.values() for control in cell.net})
    return Board(
        group=gathered.group,
        title=_title(gathered, columns),
        caption=caption(gathered.group, metric, columns, asked),
        metric=metric,
        columns=columns,
        rows=tuple(rows),
        notes=(*notes(gathered.group, found, rows, columns), *remarks),
        files=gathered.files,
    )


def _title(gathered: Gathered, columns: Sequence[Column]) -> str:
    asked = sum(column.questions for column in columns)
    return f"{gathered.group.title()}, {asked:,} questions"


def _lm_eval_board(gathered: Gathered, found: Sequence[Entry]) -> Board:
    shares = all_shares(found)
    rows = [_row(entry, lm_eval_cells(entry, shares), Cell()) for entry in found]
    rows.sort(key=lambda row: row.name)
    keys = sorted({key for row in rows for key in row.cells})
    most = {key: max(row.cells.get(key, Cell()).questions for row in rows) for key in keys}
    columns = tuple(Column(key, key, most[key], averaged=False) for key in keys)
    return Board(
        group=gathered.group,
        title=gathered.group.title(),
        caption=caption(gathered.group, LM_EVAL_SCORE, columns, ()),
        metric=LM_EVAL_SCORE,
        columns=columns,
        rows=tuple(rows),
        notes=tuple(notes(gathered.group, found, rows, columns)),
        files=gathered.files,
    )


def _columns(found: Sequence[Entry]) -> tuple[Column, ...]:
    """The tasks that anybody answered; those where a model answered enough are averaged."""
    tasks = {task for entry in found for task in entry.answers}
    models = [entry for entry in found if entry.identity.kind != "reference"] or found
    return tuple(
        Column(
            key=task,
            name=task_name(task),
            questions=_most(found, task),
            averaged=_most(models, task) >= AVERAGE_QUESTIONS,
        )
        for task in sorted(tasks, key=task_order)
    )


def _most(found: Sequence[Entry], task: str) -> int:
    return max((len(e.answers[task].lines) for e in found if task in e.answers), default=0)


def _row(entry: Entry, cells: Mapping[str, Cell], averages: Cell) -> Row:
    ids = dict.fromkeys(run.info["id"] for run in _members(entry))
    return Row(entry.name, entry.identity.kind, cells, averages, tuple(ids))


def _members(entry: Entry) -> list[Run]:
    return [answers.run for answers in entry.answers.values()]


def _rank(row: Row, metric: str) -> tuple[bool, bool, float, str]:
    score = row.average.scores.get(metric)
    sign = 1 if METRICS[metric].lower_is_better else -1
    value = sign * score.value if score else 0.0
    return (row.kind == "reference", score is None, value, row.name)


def _controls(entry: Entry, gathered: Gathered, runs: Sequence[Run]) -> dict[str, Entry]:
    """What the same model answered to the same questions under each control."""
    if gathered.group.control is not None:
        return {}
    found: dict[str, list[Run]] = {}
    for run in runs:
        control = run.info["setting"]["control"]
        if (
            control is not None
            and run.info["kind"] == entry.identity.kind
            and group_of(run, without_control=True) == gathered.group
            and agrees(run, gathered.files)
        ):
            found.setdefault(control, []).append(run)
    return {
        control: twin
        for control, members in sorted(found.items())
        for twin in entries(members)
        if twin.identity == entry.identity
    }


def _nets(
    entry: Entry, task: str, controls: Mapping[str, Entry], metric: str
) -> dict[str, Interval]:
    scores = {
        control: net(entry.answers[task].lines, twin.answers[task].lines, metric)
        for control, twin in controls.items()
        if task in entry.answers and task in twin.answers
    }
    return {control: score for control, score in scores.items() if score is not None}


def _unpaired(entry: Entry, controls: Mapping[str, Entry], cells: Mapping[str, Cell]) -> list[str]:
    """Where fewer questions were asked under a control than with the document."""
    short = [
        f"{task_name(task)} {cell.net[control].questions} of {cell.questions}"
        for control in controls
        for task, cell in cells.items()
        if control in cell.net and cell.net[control].questions < cell.questions
    ]
    return (
        [f"{entry.name}, net scores rest on fewer questions: {', '.join(short)}."] if short else []
    )


def _with_published(board: Board, publication: Publication) -> Board:
    """The board with published rows at its end, or with a note on why they are not there."""
    group = board.group
    if group.tasks == LM_EVAL or group.control:
        return board
    fits = (group.protocol, group.context_length, group.repeat) == ("paper", 2048, 1)
    if not fits or group.haystack or group.synthetic or board.metric != "contains":
        note = (
            f"Rows of the {publication.source} are left out: they are contains scores of real"
            " documents under protocol paper at context length 2,048."
        )
        return replace(board, notes=(*board.notes, note))
    rows = []
    for row in publication.rows:
        cells = {task: Cell({"contains": _point(score)}) for task, score in row.scores.items()}
        known = all(column.key in cells for column in board.averaged)
        parts = [cells[column.key].scores["contains"] for column in board.averaged if known]
        averages = Cell({"contains": average(parts)}) if parts else Cell()
        rows.append(Row(f"{row.model} {row.scale}", "published", cells, averages, ()))
    rows.sort(key=lambda row: -row.average.scores["contains"].value if row.average.scores else 0.0)
    note = (
        f"Published rows: {publication.source}, as printed, without intervals. They were scored on"
        " the papers' own data sets by the papers' own code, so a difference to the rows above need"
        " not be one of the models; their average is over the same tasks as ours, not as printed."
    )
    return replace(board, rows=(*board.rows, *rows), notes=(*board.notes, note))


def _point(percent: float) -> Interval:
    return Interval(percent / 100, None, None, 0, 0, None)
