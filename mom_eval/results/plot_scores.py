"""Scores by task with their intervals: one panel a task, one line a row."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mom_eval.results import plot_style
from mom_eval.results.board import Board, Cell, Column, Row

_LOOKS = {
    "model": (plot_style.MODEL, "o", "model"),
    "reference": (plot_style.REFERENCE, "s", "reference, made by code"),
    "published": (plot_style.PUBLISHED, "D", "published, no interval"),
}


def scores_by_task(board: Board) -> Figure:
    """A panel for the average (where there is one) and for each task; rows as in the table."""
    panels: list[Column | None] = [*([None] if board.shows_average else []), *board.columns]
    height = 0.55 + 0.215 * max(len(board.rows), 3)
    columns = min(4, len(panels) + 1)
    figure, axes = plot_style.panel_grid(len(panels), (2.35, height), columns, sharey=True)
    width = max(len(plot_style.shown_name(row.name)) for row in board.rows)
    figure.set_figwidth(2.35 * columns + 0.065 * width)
    largest = _largest(board)
    for axis, column in zip(axes, panels, strict=False):
        _panel(axis, board, column)
        plot_style.limits(axis, board.shown, largest)
    for place in range(max(len(panels) - columns, 0), len(panels)):
        axes[place].set_xlabel(plot_style.axis_label(board.shown))
    _legend(axes[len(panels)], board)
    plot_style.titled(figure, board, "Recall by task", plot_style.details(board))
    return figure


def _panel(axis: Axes, board: Board, column: Column | None) -> None:
    axis.grid(axis="x")
    for place, row in enumerate(board.rows):
        cell = _cell(row, column)
        score = cell.scores.get(board.metric)
        color, marker, _ = _LOOKS[row.kind]
        if score is None:
            axis.text(0, place, " no score", va="center", fontsize=7, color=plot_style.GREY)
            continue
        value = score.value * board.shown.scale
        if score.low is not None and score.high is not None:
            ends = [score.low * board.shown.scale, score.high * board.shown.scale]
            axis.plot(ends, [place, place], color=color, lw=1.6, solid_capstyle="butt")
        face = color if row.kind == "model" else "white"
        axis.plot([value], [place], marker, color=color, mfc=face, ms=5, mew=1.2)
    names = [plot_style.shown_name(row.name) for row in board.rows]
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(board.rows) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.set_title(
        _heading(board, column), loc="left", fontweight="bold" if column is None else None
    )


def _heading(board: Board, column: Column | None) -> str:
    if column is None:
        return f"Average of {len(board.averaged)}"
    few = ", not averaged" if board.averaged and not column.averaged else ""
    return f"{column.name} (n = {column.questions:,}{few})"


def _cell(row: Row, column: Column | None) -> Cell:
    return row.average if column is None else row.cells.get(column.key, Cell())


def _largest(board: Board) -> float:
    scores = [
        cell.scores[board.metric]
        for row in board.rows
        for cell in (*row.cells.values(), row.average)
        if board.metric in cell.scores
    ]
    return max(max(score.value, score.high or 0.0) for score in scores) * board.shown.scale


def _legend(axis: Axes, board: Board) -> None:
    handles = [
        Line2D([], [], color=color, marker=marker, mfc=color if kind == "model" else "white")
        for kind, (color, marker, _) in _LOOKS.items()
        if any(row.kind == kind for row in board.rows)
    ]
    words = [w for kind, (_, _, w) in _LOOKS.items() if any(r.kind == kind for r in board.rows)]
    axis.legend(handles, words, loc="upper left", frameon=False, title="bars: 95 % interval")
