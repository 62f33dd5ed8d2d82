"""A training's checkpoints: score and bits per byte against the step, a column a task."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mom_eval.results import plot_style
from mom_eval.results.board import METRICS, Board, Cell, Column, Metric, Row
from mom_eval.results.plot_style import Look, shorter

_STEP: Final = re.compile(r"(?:(.*)[/ ])?(?:global_|model-)?(?:step|checkpoint|iter)[-_]?(\d+)")
"""`mom/step-001000`: the training, and the step."""
_BITS: Final = "bits_per_byte"


def trainings(board: Board) -> dict[str, list[tuple[int, Row]]]:
    """Training -> its checkpoints by step, where there are two; of `step-10` the name is empty."""
    found: dict[str, list[tuple[int, Row]]] = {}
    for row in board.rows:
        match = _STEP.fullmatch(row.name)
        if match and row.kind == "model":
            found.setdefault(match[1] or "", []).append((int(match[2]), row))
    return {
        name: sorted(steps, key=lambda step: step[0])
        for name, steps in sorted(found.items())
        if len({step for step, _ in steps}) > 1
    }


def score_by_step(board: Board) -> Figure:
    """Above the board's metric with its reference rows, below bits per byte; a line a training."""
    found = trainings(board)
    panels: list[Column | None] = [*([None] if board.shows_average else []), *board.columns]
    width, columns = 2.15, len(panels) + 1
    figure = Figure(figsize=(width * columns, 5.4), layout="constrained")
    axes = figure.subplots(2, columns, squeeze=False, sharex="col")
    looks = plot_style.model_looks(list(found))
    references = [row for row in board.rows if row.kind == "reference"]
    dashed = plot_style.looks(references)
    metrics = {board.metric: board.shown, _BITS: METRICS[_BITS]}
    for line, (key, metric) in zip(axes, metrics.items(), strict=True):
        largest = 0.0
        for axis, column in zip(line, panels, strict=False):
            largest = max(largest, _lines(axis, found, column, key, looks, metric))
            if key == board.metric:
                largest = max(largest, _references(axis, references, column, key, dashed, metric))
        for axis in line[:-1]:
            plot_style.limits(axis, metric, largest, "y")
            axis.tick_params(axis="y", labelleft=axis is line[0])
        line[0].set_ylabel(plot_style.axis_label(metric))
        line[-1].axis("off")
    for axis, column in zip(axes[0], panels, strict=False):
        axis.set_title(_heading(board, column), loc="left", fontweight=None if column else "bold")
    for axis in axes[1][:-1]:
        axis.set_xlabel("step")
    _legend(axes[0][-1], looks, dashed)
    plot_style.titled(
        figure, board, "Recall by training step", plot_style.details(board, "questions")
    )
    return figure


def _lines(
    axis: Axes,
    found: Mapping[str, Sequence[tuple[int, Row]]],
    column: Column | None,
    key: str,
    looks: Mapping[str, Look],
    metric: Metric,
) -> float:
    """Draws the trainings and returns the highest end of an interval."""
    axis.grid(axis="y")
    axis.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(shorter))
    largest = 0.0
    for name, steps in found.items():
        look, points = looks[name], []
        for step, row in steps:
            score = _cell(row, column).scores.get(key)
            if score is None:
                continue
            low = score.value if score.low is None else score.low
            high = score.value if score.high is None else score.high
            points.append((step, *(metric.scale * end for end in (score.value, low, high))))
        if points:
            at, values, lows, highs = zip(*points, strict=True)
            largest = max(largest, *highs)
            axis.fill_between(at, lows, highs, color=look.color, alpha=0.16, lw=0)
            axis.plot(at, values, lw=1.3, ms=3.5, **plot_style.line_style(look))
    return largest


def _references(
    axis: Axes,
    rows: Sequence[Row],
    column: Column | None,
    key: str,
    looks: Mapping[str, Look],
    metric: Metric,
) -> float:
    """Draws the rows made by code, which know no step, and returns the highest."""
    scores = {row.name: _cell(row, column).scores.get(key) for row in rows}
    values = {name: metric.scale * score.value for name, score in scores.items() if score}
    left, right = axis.get_xlim()
    for name, value in values.items():
        at = [left, (left + right) / 2, right]
        style = plot_style.line_style(looks[name])
        axis.plot(at, [value] * 3, lw=1, ms=3.5, markevery=[1], **style)
    axis.set_xlim(left, right)
    return max(values.values(), default=0.0)


def _cell(row: Row, column: Column | None) -> Cell:
    return row.average if column is None else row.cells.get(column.key, Cell())


def _heading(board: Board, column: Column | None) -> str:
    if column is None:
        return f"Average of {len(board.averaged)}"
    return f"{column.name} (n = {column.questions:,})"


def _legend(axis: Axes, looks: Mapping[str, Look], dashed: Mapping[str, Look]) -> None:
    both = {**{name or "checkpoints": look for name, look in looks.items()}, **dashed}
    handles = [Line2D([], [], ms=4, **plot_style.line_style(look)) for look in both.values()]
    axis.legend(
        handles,
        [plot_style.shown_name(name, 22) for name in both],
        loc="upper left",
        frameon=False,
        fontsize=8,
        title="bands: 95 % interval",
        alignment="left",
    )
