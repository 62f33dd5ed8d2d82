"""Score against context length: one panel a task, one line a model."""

from collections.abc import Mapping

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mom_eval.results import plot_style
from mom_eval.results.plot_frame import (
    Lines,
    averaged,
    checked,
    heading,
    metric_of,
    scored,
    tasks_of,
    weight,
)
from mom_eval.results.plot_style import Look
from mom_eval.results.table import AVERAGE

_SPREAD = 0.16
"""Octaves over which rows at one length are set apart, so that their intervals can be told."""


@style.context(plot_style.STYLE)
def score_by_length(frame: pd.DataFrame) -> Figure:
    """A panel a task, and one for the average where all lengths have the same; a line a row.

    Args:
        frame: leaderboards of `load_leaderboard` that differ in context length alone (and in data
            files, which may hang on it), or lines of them. Published rows have a single length and
            are left out.

    Raises:
        SettingError: they differ in more.
    """
    lines = checked(frame, "context_length")
    looks = plot_style.looks(lines)
    shown = [*([AVERAGE] if averaged(lines) else []), *tasks_of(lines)]
    size = 2.75, max(2.5, 0.16 * len(looks) + 0.3)
    figure, axes = plot_style.panel_grid(len(shown), size)
    metric, largest = metric_of(lines), lines[["value", "high"]].max(axis=None)
    lengths = sorted(set(lines["context_length"]))
    for axis, task in zip(axes, shown, strict=False):
        _panel(axis, scored(lines, task), looks)
        axis.set_xscale("log", base=2)
        axis.set_xticks(lengths, [f"{length:,}" for length in lengths])
        axis.minorticks_off()
        axis.set_xlim(lengths[0] / 1.25, lengths[-1] * 1.25)
        axis.set_title(heading(lines, task, few=True), loc="left", fontweight=weight(task))
        plot_style.limits(axis, metric, largest, "y")
    for place in range(0, len(shown), 4):
        axes[place].set_ylabel(plot_style.axis_label(metric))
    for place in range(max(len(shown) - 4, 0), len(shown)):
        axes[place].set_xlabel("context length, tokens")
    _legend(axes[len(shown)], looks)
    words = plot_style.details(lines, "context length", "questions")
    plot_style.titled(figure, lines, "Recall by context length", words)
    return figure


def _panel(axis: Axes, lines: Lines, looks: Mapping[str, Look]) -> None:
    axis.grid(axis="y")
    faint = 0.7 if len(looks) <= 6 else 0.4
    for place, (name, look) in enumerate(looks.items()):
        own = lines[lines["row"] == name]
        shift = 2 ** (_SPREAD * (place - (len(looks) - 1) / 2) / max(len(looks) - 1, 1))
        at = own["context_length"] * shift
        if len(own):
            axis.plot([at, at], [own["low"], own["high"]], color=look.color, lw=0.9, alpha=faint)
            line = Line2D(at, own["value"], lw=1.3, ms=4, **plot_style.line_style(look))
            axis.add_line(line)


def _legend(axis: Axes, looks: Mapping[str, Look]) -> None:
    handles = [Line2D([], [], ms=4, **plot_style.line_style(look)) for look in looks.values()]
    names = [plot_style.shown_name(name) for name in looks]
    axis.legend(handles, names, loc="upper left", frameon=False, fontsize=8, labelspacing=0.35)
