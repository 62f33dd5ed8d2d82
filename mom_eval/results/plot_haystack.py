"""The passage in the haystack: depth by length, one small map a model and task."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from mom_eval.results import plot_style
from mom_eval.results.board import Board, Cell, Column, Row
from mom_eval.results.statistics import Interval


def haystack_by_depth(boards: Sequence[Board]) -> Figure:
    """Boards that differ in the haystack's length and the passage's depth alone.

    A line of maps a row, a column of maps a task; a field is the score and, under it, its interval.
    """
    # A row without a score at any depth (a key's rule where no task has a key) has nothing to show.
    rows = list({row.name: row for board in boards for row in board.rows if _scored(row)}.values())
    rows.sort(key=lambda row: row.kind == "reference")
    tasks = list({column.key: column for board in boards for column in board.columns}.values())
    lengths = sorted({board.group.haystack or 0 for board in boards})
    depths = sorted({board.group.depth or 0.0 for board in boards})
    size = 0.62 * len(lengths) + 0.5, 0.36 * len(depths) + 0.25
    figure = Figure(
        figsize=(max(size[0] * len(tasks) + 3.2, 7.0), size[1] * len(rows) + 1.5),
        layout="constrained",
    )
    axes = figure.subplots(len(rows), len(tasks), squeeze=False, sharex=True, sharey=True)
    norm = Normalize(0, _top(boards))
    for line, row in zip(axes, rows, strict=True):
        for axis, column in zip(line, tasks, strict=True):
            _map(axis, _fields(boards, row, column, lengths, depths), boards[0], norm)
        line[0].set_yticks(range(len(depths)), [f"{depth:g}" for depth in depths])
        name = plot_style.shown_name(row.name, 24)
        label = f"{name}\n(reference)" if row.kind == "reference" else name
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    for axis, column in zip(axes[0], tasks, strict=True):
        axis.set_title(f"{column.name} (n = {_counts(boards, column)})", loc="left")
    for axis in axes[-1]:
        axis.set_xticks(range(len(lengths)), [f"{length:,}" for length in lengths])
    figure.supylabel("depth of the passage", fontsize=9)
    figure.supxlabel("length of the haystack, tokens", fontsize=9)
    metric = boards[0].shown
    figure.colorbar(
        ScalarMappable(norm, _colors(boards[0])),
        ax=axes,
        label=plot_style.axis_label(metric),
        shrink=max(0.3, min(1.0, 3 / len(rows))),
        aspect=25,
    )
    words = plot_style.details(boards[0], "haystack", "passage", "context length", "questions")
    what = "Recall by depth and length of the haystack"
    plot_style.titled(figure, boards[0], what, words)
    return figure


def _scored(row: Row) -> bool:
    return any(cell.scores for cell in row.cells.values())


def _fields(
    boards: Sequence[Board],
    row: Row,
    column: Column,
    lengths: Sequence[int],
    depths: Sequence[float],
) -> list[list[Interval | None]]:
    """Scores, a list a depth with one field a length; None where nothing was run."""
    fields: list[list[Interval | None]] = [[None] * len(lengths) for _ in depths]
    for board in boards:
        for other in board.rows:
            score = other.cells.get(column.key, Cell()).scores.get(board.metric)
            if other.name == row.name and score is not None:
                y, x = (
                    depths.index(board.group.depth or 0.0),
                    lengths.index(board.group.haystack or 0),
                )
                fields[y][x] = score
    return fields


def _map(
    axis: Axes, fields: Sequence[Sequence[Interval | None]], board: Board, norm: Normalize
) -> None:
    colors, metric = _colors(board), board.shown
    values = [[np.nan if s is None else s.value * metric.scale for s in line] for line in fields]
    axis.imshow(values, cmap=colors, norm=norm, aspect="auto")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    for y, line in enumerate(fields):
        for x, score in enumerate(line):
            if score is None:
                continue
            red, green, blue, _ = colors(norm(score.value * metric.scale))
            ink = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.55 else "white"
            axis.text(x, y, _words(score, board), ha="center", va="center", color=ink, fontsize=7)


def _words(score: Interval, board: Board) -> str:
    metric = board.shown
    decimals = 0 if metric.scale == 100.0 else metric.decimals
    value = f"{score.value * metric.scale:.{decimals}f}"
    if score.low is None or score.high is None:
        return value
    low, high = (f"{end * metric.scale:.{decimals}f}" for end in (score.low, score.high))
    return f"{value}\n{low}-{high}"


def _colors(board: Board) -> Colormap:
    """Dark is good, and black ink is readable on most of it."""
    return colormaps["YlGnBu_r" if board.shown.lower_is_better else "YlGnBu"]


def _top(boards: Sequence[Board]) -> float:
    """100 for shares; otherwise the largest score."""
    if boards[0].shown.scale == 100.0:
        return 100.0
    cells = [cell for board in boards for row in board.rows for cell in row.cells.values()]
    return max(c.scores[boards[0].metric].value for c in cells if boards[0].metric in c.scores)


def _counts(boards: Sequence[Board], column: Column) -> str:
    counts = sorted({c.questions for b in boards for c in b.columns if c.key == column.key})
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
