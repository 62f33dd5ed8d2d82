"""Recall against what it costs: bytes of state, and bytes moved for one more token."""

from collections.abc import Mapping
from typing import Final

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mom_eval.results import plot_style
from mom_eval.results.board import Metric
from mom_eval.results.cost_table import size
from mom_eval.results.notes import task_name
from mom_eval.results.plot_frame import Lines, averaged, checked, metric_of, scored, some
from mom_eval.results.plot_steps import checkpoints
from mom_eval.results.plot_style import Look
from mom_eval.results.table import AVERAGE

_AXES: Final = (
    ("Against state", "state of one sequence", "state_bytes"),
    ("Against decoding", "read and written for one more token", "decode_bytes"),
)


def points(frame: Lines, cost: str = "state_bytes") -> Lines:
    """The models with an average and a known cost, the cheapest first; of a training the last.

    Lines of the average, with one more column, `cost`.
    """
    steps = checkpoints(frame)
    earlier = steps["row"] != steps.groupby("training")["row"].transform("last")
    found = scored(frame[frame["kind"] == "model"], AVERAGE).dropna(subset=[cost])
    found = found[~found["row"].isin(steps["row"][earlier])].assign(cost=found[cost])
    return found.sort_values(["cost", "value"], ascending=[True, False], kind="stable")


def frontier(found: Lines) -> Lines:
    """Of points with the cheapest first those that no cheaper, or as cheap, one beats or equals."""
    return found[found["value"] > found["value"].cummax().shift(fill_value=-float("inf"))]


@style.context(plot_style.STYLE)
def recall_by_cost(frame: pd.DataFrame) -> Figure:
    """A panel a cost, both logarithmic; a line joins the models that no cheaper one reaches.

    Args:
        frame: one leaderboard of `load_leaderboard` with costs, or lines of it.

    Raises:
        SettingError: it is none, or no model has an average and known costs.
    """
    lines = checked(frame)
    found = some(points(lines), "model with an average and state_bytes, known of our own models")
    metric = metric_of(lines)
    looks = plot_style.model_looks([*found["row"]])
    figure, axes = plot_style.panel_grid(2, (3.9, max(3.0, 0.2 * len(found) + 0.6)), 3)
    for axis, (title, label, cost) in zip(axes, _AXES, strict=False):
        _panel(axis, points(lines, cost), metric, looks)
        axis.set_title(title, loc="left")
        axis.set_xlabel(label)
    axes[0].set_ylabel(f"average {plot_style.axis_label(metric)}")
    _legend(axes[2], looks)
    words = plot_style.details(lines, "questions")
    words.append(f"average of {', '.join(map(task_name, averaged(lines)))}")
    words.append(f"costs counted at {lines['context_length'].iloc[0]:,} tokens")
    words += ["of a training its last checkpoint"] if len(checkpoints(lines)) else []
    plot_style.titled(figure, lines, "Recall by cost", words)
    return figure


def _panel(axis: Axes, found: Lines, metric: Metric, looks: Mapping[str, Look]) -> None:
    axis.grid(axis="y")
    axis.set_xscale("log", base=2)
    best = frontier(found)
    axis.step(
        best["cost"], best["value"], where="post", color=plot_style.GREY, lw=1, ls="--", zorder=1
    )
    for point in found.itertuples():
        look = looks[point.row]
        ends = [point.low, point.high]
        axis.plot([point.cost] * 2, ends, color=look.color, lw=1.2, alpha=0.7)
        axis.plot([point.cost], [point.value], look.marker, color=look.color, ms=5.5)
    least, most = found["cost"].min(), found["cost"].max()
    # At least two powers of two apart, so that there are ticks and what hardly differs looks so.
    span = max((most / least) ** 0.08, (4 * least / most) ** 0.5)
    axis.set_xlim(least / span, most * span)
    axis.xaxis.set_major_locator(LogLocator(base=2, numticks=6))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: size(value)))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="x", which="minor", length=0)
    plot_style.limits(axis, metric, found["high"].max(), "y")


def _legend(axis: Axes, looks: Mapping[str, Look]) -> None:
    handles = [
        Line2D([], [], ls="", marker=look.marker, color=look.color) for look in looks.values()
    ]
    handles.append(Line2D([], [], color=plot_style.GREY, lw=1, ls="--"))
    axis.legend(
        handles,
        [*map(plot_style.shown_name, looks), "no cheaper model is as good"],
        loc="upper left",
        frameon=False,
        fontsize=8,
        title="bars: 95 % interval",
        alignment="left",
    )
