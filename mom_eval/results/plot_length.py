"""Score against context length: one panel a task, one line a model."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mom_eval.results import plot_style
from mom_eval.results.board import Board, Cell, Column, Row
from mom_eval.results.plot_style import Look

_SPREAD = 0.16
"""Octaves over which rows at one length are set apart, so that their intervals can be told."""


def score_by_length(boards: Sequence[Board]) -> Figure:
    """Boards that differ in context length alone (and in data files, which may hang on it)."""
    rows = _rows(boards)
    found = plot_style.looks(rows)
    tasks = {column.key: column for board in boards for column in board.columns}
    averaged = {tuple(column.key for column in board.averaged) for board in boards}
    # Averages over different tasks are no line.
    panels: list[Column | None] = [None] if len(averaged) == 1 and averaged != {()} else []
    panels += [tasks[key] for key in _order(boards) if key in tasks]
    size = 2.75, max(2.5, 0.16 * len(rows) + 0.3)
    figure, axes = plot_style.panel_grid(len(panels), size)
    metric, largest = boards[0].shown, 0.0
    for axis, column in zip(axes, panels, strict=False):
        largest = max(largest, _panel(axis, boards, column, found))
    for axis in axes[: len(panels)]:
        plot_style.limits(axis, metric, largest, "y")
    for place in range(0, len(panels), 4):
        axes[place].set_ylabel(plot_style.axis_label(metric))
    for place in range(max(len(panels) - 4, 0), len(panels)):
        axes[place].set_xlabel("context length, tokens")
    _legend(axes[len(panels)], rows, found)
    words = plot_style.details(boards[0], "context length", "questions")
    plot_style.titled(figure, boards[0], "Recall by context length", words)
    return figure


def _panel(
    axis: Axes, boards: Sequence[Board], column: Column | None, found: Mapping[str, Look]
) -> float:
    """Draws one task and returns the highest end of an interval."""
    axis.grid(axis="y")
    faint = 0.7 if len(found) <= 6 else 0.4
    metric, largest = boards[0].shown, 0.0
    for place, (name, look) in enumerate(found.items()):
        shift = 2 ** (_SPREAD * (place - (len(found) - 1) / 2) / max(len(found) - 1, 1))
        points = []
        for board in boards:
            score = _cell(board, name, column).scores.get(board.metric)
            if score is None:
                continue
            length, scale = board.group.context_length * shift, metric.scale
            points.append((length, score.value * scale))
            low = score.value if score.low is None else score.low
            high = score.value if score.high is None else score.high
            largest = max(largest, high * scale)
            axis.plot(
                [length] * 2, [low * scale, high * scale], color=look.color, lw=0.9, alpha=faint
            )
        if points:
            line = Line2D(*zip(*points, strict=True), lw=1.3, ms=4, **plot_style.line_style(look))
            axis.add_line(line)
    lengths = sorted({board.group.context_length for board in boards})
    axis.set_xscale("log", base=2)
    axis.set_xticks(lengths, [f"{length:,}" for length in lengths])
    axis.minorticks_off()
    axis.set_xlim(lengths[0] / 1.25, lengths[-1] * 1.25)
    axis.set_title(_heading(boards, column), loc="left", fontweight=None if column else "bold")
    return largest


def _heading(boards: Sequence[Board], column: Column | None) -> str:
    if column is None:
        return f"Average of {len(boards[0].averaged)}"
    counts = sorted({c.questions for board in boards for c in board.columns if c.key == column.key})
    words = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    few = "" if column.averaged or not boards[0].averaged else ", not averaged"
    return f"{column.name} (n = {words}{few})"


def _cell(board: Board, name: str, column: Column | None) -> Cell:
    for row in board.rows:
        if row.name == name:
            return row.average if column is None else row.cells.get(column.key, Cell())
    return Cell()


def _rows(boards: Sequence[Board]) -> list[Row]:
    """The rows of all boards, each name once; published ones have a single length."""
    named = {row.name: row for board in boards for row in board.rows if row.kind != "published"}
    return sorted(named.values(), key=lambda row: row.kind == "reference")


def _order(boards: Sequence[Board]) -> list[str]:
    """The tasks in the order of the board that has most of them, then the others."""
    longest = max(boards, key=lambda board: len(board.columns))
    keys = [column.key for board in (longest, *boards) for column in board.columns]
    return list(dict.fromkeys(keys))


def _legend(axis: Axes, rows: Sequence[Row], found: Mapping[str, Look]) -> None:
    handles = [Line2D([], [], ms=4, **plot_style.line_style(look)) for look in found.values()]
    names = [plot_style.shown_name(row.name) for row in rows]
    axis.legend(handles, names, loc="upper left", frameon=False, fontsize=8, labelspacing=0.35)
