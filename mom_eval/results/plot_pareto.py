"""Recall against what it costs: bytes of state, and bytes moved for one more token."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mom_eval.results import plot_style
from mom_eval.results.board import Board, Row
from mom_eval.results.cost_table import size
from mom_eval.results.plot_steps import trainings
from mom_eval.results.plot_style import Look
from mom_eval.results.statistics import Interval


class Point(NamedTuple):
    """One model."""

    name: str
    cost: float
    """Bytes."""
    score: Interval


_AXES: Final[tuple[tuple[str, str, Callable[[Row], int | None]], ...]] = (
    ("Against state", "state of one sequence", lambda row: row.costs.state_bytes),
    ("Against decoding", "read and written for one more token", lambda row: row.costs.decode_bytes),
)


def points(board: Board, cost: Callable[[Row], int | None]) -> list[Point]:
    """The models with an average and a known cost, the cheapest first; of a training the last."""
    found = []
    earlier = {row.name for steps in trainings(board).values() for _, row in steps[:-1]}
    for row in board.rows:
        if row.name in earlier:
            continue
        score, value = row.average.scores.get(board.metric), cost(row)
        if row.kind == "model" and score is not None and value is not None:
            found.append(Point(row.name, value, score))
    return sorted(found, key=lambda point: (point.cost, -point.score.value))


def frontier(found: Sequence[Point]) -> list[Point]:
    """Of points with the cheapest first those that no cheaper, or as cheap, one beats or equals."""
    best: list[Point] = []
    for point in found:
        if not best or point.score.value > best[-1].score.value:
            best.append(point)
    return best


def drawable(board: Board) -> bool:
    """Whether there are two models to compare."""
    return len(points(board, _AXES[0][2])) > 1


def recall_by_cost(board: Board) -> Figure:
    """A panel a cost, both logarithmic; a line joins the models that no cheaper one reaches."""
    found = points(board, _AXES[0][2])
    looks = plot_style.model_looks([point.name for point in found])
    figure, axes = plot_style.panel_grid(2, (3.9, max(3.0, 0.2 * len(found) + 0.6)), 3)
    for axis, (title, label, cost) in zip(axes, _AXES, strict=False):
        _panel(axis, board, points(board, cost), looks)
        axis.set_title(title, loc="left")
        axis.set_xlabel(label)
    axes[0].set_ylabel(f"average {plot_style.axis_label(board.shown)}")
    handles = [
        Line2D([], [], ls="", marker=look.marker, color=look.color) for look in looks.values()
    ]
    names = [plot_style.shown_name(name) for name in looks]
    handles.append(Line2D([], [], color=plot_style.GREY, lw=1, ls="--"))
    axes[2].legend(
        handles,
        [*names, "no cheaper model is as good"],
        loc="upper left",
        frameon=False,
        fontsize=8,
        title="bars: 95 % interval",
        alignment="left",
    )
    averaged = ", ".join(column.name for column in board.averaged)
    words = [*plot_style.details(board, "questions"), f"average of {averaged}"]
    words.append(f"costs counted at {board.group.context_length:,} tokens")
    words += ["of a training its last checkpoint"] if trainings(board) else []
    plot_style.titled(figure, board, "Recall by cost", words)
    return figure


def _panel(axis: Axes, board: Board, found: Sequence[Point], looks: Mapping[str, Look]) -> None:
    scale, largest = board.shown.scale, 0.0
    axis.grid(axis="y")
    axis.set_xscale("log", base=2)
    best = frontier(found)
    axis.step(
        [point.cost for point in best],
        [scale * point.score.value for point in best],
        where="post",
        color=plot_style.GREY,
        lw=1,
        ls="--",
        zorder=1,
    )
    for point in found:
        look, score = looks[point.name], point.score
        low = score.value if score.low is None else score.low
        high = score.value if score.high is None else score.high
        largest = max(largest, high * scale)
        axis.plot(
            [point.cost] * 2, [low * scale, high * scale], color=look.color, lw=1.2, alpha=0.7
        )
        axis.plot([point.cost], [score.value * scale], look.marker, color=look.color, ms=5.5)
    costs = [point.cost for point in found]
    # At least two powers of two apart, so that there are ticks and what hardly differs looks so.
    span = max((max(costs) / min(costs)) ** 0.08, (4 * min(costs) / max(costs)) ** 0.5)
    axis.set_xlim(min(costs) / span, max(costs) * span)
    axis.xaxis.set_major_locator(LogLocator(base=2, numticks=6))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: size(value)))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="x", which="minor", length=0)
    plot_style.limits(axis, board.shown, largest, "y")
