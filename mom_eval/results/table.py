"""Leaderboards as Markdown, CSV and JSON."""

import math
from collections.abc import Iterable, Iterator, Sequence
from csv import DictWriter
from io import StringIO
from typing import Any, Final

from mom_eval.results.board import METRICS, Board, Cell, Column, Metric, Row
from mom_eval.results.cost_table import cost_table
from mom_eval.results.costs import COLUMNS
from mom_eval.results.group import short_hash
from mom_eval.results.markdown import escaped, grid, one_line
from mom_eval.results.statistics import Interval

SCHEMA: Final = 1
DASH: Final = "-"
AVERAGE: Final = "average"
CONTROLS: Final = ("blind", "shuffled")
SETTING: Final = (
    *("data", "protocol", "context_length", "answer_length", "repeat", "haystack", "depth"),
    *("control", "keep_dropped", "bos", "seed"),
)
"""Fields that part leaderboards, less the data files."""
FIELDS: Final = (
    *("board", "synthetic", *SETTING, "data_files", "row", "kind", "task", "averaged"),
    *("in_average", "questions", "documents", "metric", "unit", "value", "low", "high"),
    "standard_error",
    *(
        f"{name}{end}"
        for name in (*METRICS, *(f"net_{control}" for control in CONTROLS))
        for end in ("", "_low", "_high")
    ),
    *COLUMNS,
    "reason",
)
"""Of a line of `lines`."""


def markdown(boards: Sequence[Board]) -> str:
    """Every board as a heading, a caption, a table and its notes; readable in a terminal as well.

    A cell is the mean and its 95 % interval, whose ends are rounded away from the mean:
    `48.1 44-53`; differences are signed: `+6.0 -1/+12`.
    """
    return "\n".join(_board(board) for board in boards)


def csv(boards: Sequence[Board]) -> str:
    """The `lines` under a line of their fields.

    Text stands on one line; what a spreadsheet would take for a formula gets an apostrophe in
    front.
    """
    return as_csv(lines(boards), FIELDS)


def lines(boards: Iterable[Board]) -> Iterator[dict[str, Any]]:
    """One line for each board, row and task (`average` is one more task), all scores in columns.

    Contains, exact match, F1 and their net scores are in percent.
    """
    for board in boards:
        for row in board.rows:
            for column, cell in _cells(board, row):
                yield _line(board, row, column, cell)


def as_csv(lines: Iterable[dict[str, Any]], fields: Sequence[str] = ()) -> str:
    """Lines under a line of their fields, with an apostrophe before what would be a formula.

    Args:
        lines: what is None, or not there, is left empty.
        fields: in their order; none: all that a line has, as they first come.
    """
    rows = list(lines)
    out = StringIO()
    names = fields or list(dict.fromkeys(name for row in rows for name in row))
    writer = DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _defused(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def columns_of(name: str, value: Interval | None) -> dict[str, float | None]:
    """A score as three columns: `name`, `name_low`, `name_high`; without one they are None."""
    ends = (value.value, value.low, value.high) if value else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def json(boards: Sequence[Board]) -> dict[str, Any]:
    """The boards as plain dicts and lists, in the units of `csv`; what is not known is None."""
    return {"schema": SCHEMA, "boards": [_board_record(board) for board in boards]}


def _board(board: Board) -> str:
    parts = [f"## {escaped(board.title)}", escaped(board.caption), _main_table(board)]
    if board.averaged and board.metric in METRICS:
        parts += _other_scores(board)
    if board.controls:
        parts += _control_table(board)
    parts += cost_table(board)
    if board.notes:
        parts.append("\n".join(f"- {escaped(note)}" for note in board.notes))
    return "\n\n".join(parts) + "\n"


def _main_table(board: Board) -> str:
    average = board.shows_average
    net = any("blind" in row.average.net for row in board.rows)
    head = ["Model"]
    head += [f"Average of {len(board.averaged)}"] if average else []
    head += ["Net"] if net else []
    head += [_heading(board, column) for column in board.columns]
    lines = []
    for row in board.rows:
        line = [_name(row)]
        line += [score_text(row.average.scores.get(board.metric), board.shown)] if average else []
        line += [difference_text(row.average.net.get("blind"), board.shown)] if net else []
        for column in board.columns:
            cell = row.cells.get(column.key, Cell())
            line.append(score_text(cell.scores.get(board.metric), board.shown))
        lines.append(line)
    return grid(head, lines)


def _other_scores(board: Board) -> list[str]:
    others = {key: metric for key, metric in METRICS.items() if key != board.metric}
    head = ["Model", *(metric.name for metric in others.values())]
    lines = [
        [
            _name(row),
            *(score_text(row.average.scores.get(k), metric) for k, metric in others.items()),
        ]
        for row in board.rows
        if any(key in row.average.scores for key in others)
    ]
    tasks = f"average of {len(board.averaged)}" if board.shows_average else board.averaged[0].name
    title = f"Other scores, {tasks}:"
    return [title, grid(head, lines)] if lines else []


def _control_table(board: Board) -> list[str]:
    """What the document adds, by task: the net scores under each control."""
    average = board.shows_average and any(row.average.net for row in board.rows)
    head = ["Model", "Control"]
    head += [f"Average of {len(board.averaged)}"] if average else []
    head += [column.name for column in board.columns]
    lines = []
    for row in board.rows:
        for control in board.controls:
            cells = [row.cells.get(column.key, Cell()) for column in board.columns]
            if any(control in cell.net for cell in cells):
                cells = [row.average, *cells] if average else cells
                scores = [difference_text(cell.net.get(control), board.shown) for cell in cells]
                lines.append([_name(row), control, *scores])
    title = f"What the document adds: {board.shown.name} with it minus under the control, paired:"
    return [title, grid(head, lines)]


def _heading(board: Board, column: Column) -> str:
    few = "\u2020" if board.averaged and not column.averaged else ""
    return f"{column.name}{few} ({column.questions})"


def _name(row: Row) -> str:
    return f"{row.name} ({row.kind})" if row.kind in ("reference", "published") else row.name


def score_text(score: Interval | None, metric: Metric) -> str:
    """`48.1 44-53`, the ends rounded away from the mean; a dash where there is no score."""
    if score is None:
        return DASH
    value = f"{score.value * metric.scale:.{metric.decimals}f}"
    if score.low is None or score.high is None:
        return value
    return f"{value} {_end(score.low, metric, math.floor)}-{_end(score.high, metric, math.ceil)}"


def difference_text(score: Interval | None, metric: Metric) -> str:
    """`+6.0 -1/+12`; a dash where there is no difference."""
    if score is None:
        return DASH
    value = _signed(f"{score.value * metric.scale:.{metric.decimals}f}")
    if score.low is None or score.high is None:
        return value
    low, high = _end(score.low, metric, math.floor), _end(score.high, metric, math.ceil)
    return f"{value} {_signed(low)}/{_signed(high)}"


def _end(value: float, metric: Metric, rounded: Any) -> str:
    """An end of an interval, one decimal short of percents: it is no more exact than that."""
    decimals = 0 if metric.scale == 100.0 else min(metric.decimals, 2)
    digits = 10**decimals
    # 0.29 * 100 is 28.999999999999996: a hair must not move an end by a whole step.
    whole = rounded(round(value * metric.scale * digits, 6))
    return f"{whole / digits:.{decimals}f}"


def _signed(text: str) -> str:
    text = text if text.strip("-0.") else text.removeprefix("-")
    return text if text.startswith("-") or not text.strip("0.") else f"+{text}"


def _cells(board: Board, row: Row) -> Iterator[tuple[Column | None, Cell]]:
    """The row's cells in the order of the columns, then its average."""
    for column in board.columns:
        cell = row.cells.get(column.key)
        if cell is not None:
            yield column, cell
    if row.average.scores:
        yield None, row.average


def _line(board: Board, row: Row, column: Column | None, cell: Cell) -> dict[str, Any]:
    group, score = board.group, cell.scores.get(board.metric)
    line: dict[str, Any] = {
        "board": board.title,
        "synthetic": group.synthetic,
        "data_files": short_hash(board.files),
        "row": row.name,
        "kind": row.kind,
        "task": column.key if column else AVERAGE,
        "averaged": ",".join(column.key for column in board.averaged) or None,
        "in_average": column.averaged if column else None,
        "questions": score.questions if score and score.documents else None,
        "documents": score.documents or None if score else None,
        "metric": board.metric,
        "unit": _unit(board.shown),
        "standard_error": _standard_error(score, board.shown),
        "reason": cell.reason,
    }
    setting = group.record() | {"data": group.source}
    line |= {key: setting[key] for key in SETTING}
    line |= _ends("value", score, board.shown)
    for key in METRICS:
        line |= _ends(key, cell.scores.get(key), METRICS[key])
    for control in CONTROLS:
        line |= _ends(f"net_{control}", cell.net.get(control), board.shown)
    return line | row.costs.record()


def _ends(name: str, score: Interval | None, metric: Metric) -> dict[str, float | None]:
    low, high = ("low", "high") if name == "value" else (f"{name}_low", f"{name}_high")
    values = (score.value, score.low, score.high) if score else (None, None, None)
    shown = [None if value is None else round(value * metric.scale, 6) for value in values]
    return dict(zip((name, low, high), shown, strict=True))


def _standard_error(score: Interval | None, metric: Metric) -> float | None:
    if score is None or score.variance is None:
        return None
    return round(math.sqrt(score.variance) * metric.scale, 6)


def _unit(metric: Metric) -> str:
    return "percent" if metric.scale == 100.0 else metric.name


def _defused(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _board_record(board: Board) -> dict[str, Any]:
    columns = [
        {"task": c.key, "name": c.name, "questions": c.questions, "in_average": c.averaged}
        for c in board.columns
    ]
    rows = [
        {"name": row.name, "kind": row.kind, "runs": list(row.runs)}
        | {"tasks": {key: _cell_record(cell, board) for key, cell in row.cells.items()}}
        | {"average": _cell_record(row.average, board) if row.average.scores else None}
        | {"costs": row.costs.record()}
        for row in board.rows
    ]
    words = {"caption": board.caption, "unit": _unit(board.shown), "notes": list(board.notes)}
    return board.record() | words | {"columns": columns, "rows": rows}


def _cell_record(cell: Cell, board: Board) -> dict[str, Any]:
    scores = {
        key: _interval_record(score, METRICS.get(key, board.shown))
        for key, score in cell.scores.items()
    }
    net = {key: _interval_record(score, board.shown) for key, score in cell.net.items()}
    return {"scores": scores, "net": net, "reason": cell.reason}


def _interval_record(score: Interval, metric: Metric) -> dict[str, Any]:
    return _ends("value", score, metric) | {
        "standard_error": _standard_error(score, metric),
        "questions": score.questions or None,
        "documents": score.documents or None,
    }
