"""Scores by task with their intervals: one panel a task, one line a row."""

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mom_eval.results import plot_style
from mom_eval.results.plot_frame import Lines, checked, heading, metric_of, panels, weight

_LOOKS = {
    "model": (plot_style.MODEL, "o", "model"),
    "reference": (plot_style.REFERENCE, "s", "reference, made by code"),
    "published": (plot_style.PUBLISHED, "D", "published, no interval"),
}


@style.context(plot_style.STYLE)
def scores_by_task(frame: pd.DataFrame) -> Figure:
    """A panel for the average (where there is one) and for each task; rows as in the table.

    Args:
        frame: one leaderboard of `load_leaderboard`, or lines of it.

    Raises:
        SettingError: it is none.
    """
    lines = checked(frame)
    rows, shown, metric = lines[["row", "kind"]].drop_duplicates(), panels(lines), metric_of(lines)
    height = 0.55 + 0.215 * max(len(rows), 3)
    # The legend has a place of its own, and no row.
    columns = len(shown) + 1 if len(shown) <= 4 else 4
    figure, axes = plot_style.panel_grid(len(shown), (2.35, height), columns, sharey=True)
    names = [plot_style.shown_name(name) for name in rows["row"]]
    figure.set_figwidth(2.35 * columns + 0.065 * max(map(len, names)))
    largest = lines[["value", "high"]].max(axis=None)
    for axis, task in zip(axes, shown, strict=False):
        _panel(axis, lines[lines["task"] == task].merge(rows, "right", ["row", "kind"]))
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.tick_params(axis="y", length=0)
        axis.set_title(heading(lines, task, few=True), loc="left", fontweight=weight(task))
        plot_style.limits(axis, metric, largest)
    for place in range(max(len(shown) - columns, 0), len(shown)):
        axes[place].set_xlabel(plot_style.axis_label(metric))
    _legend(axes[len(shown)], set(rows["kind"]))
    plot_style.titled(figure, lines, "Recall by task", plot_style.details(lines))
    return figure


def _panel(axis: Axes, lines: Lines) -> None:
    axis.grid(axis="x")
    for place, line in enumerate(lines.itertuples()):
        color, marker, _ = _LOOKS[line.kind]
        if pd.isna(line.value):
            axis.text(0, place, " no score", va="center", fontsize=7, color=plot_style.GREY)
            continue
        if pd.notna(line.low):
            ends = [line.low, line.high]
            axis.plot(ends, [place, place], color=color, lw=1.6, solid_capstyle="butt")
        face = color if line.kind == "model" else "white"
        axis.plot([line.value], [place], marker, color=color, mfc=face, ms=5, mew=1.2)


def _legend(axis: Axes, kinds: set[str]) -> None:
    handles = [
        Line2D([], [], color=color, marker=marker, mfc=color if kind == "model" else "white")
        for kind, (color, marker, _) in _LOOKS.items()
        if kind in kinds
    ]
    words = [words for kind, (_, _, words) in _LOOKS.items() if kind in kinds]
    axis.legend(handles, words, loc="upper left", frameon=False, title="bars: 95 % interval")
