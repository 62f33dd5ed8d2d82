"""A training's checkpoints: score and bits per byte against the step, a column a task."""

from collections.abc import Mapping
from typing import Final

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mom_eval.results import plot_style
from mom_eval.results.board import shown
from mom_eval.results.plot_frame import Lines, checked, heading, panels, scored, some, weight
from mom_eval.results.plot_style import Look, shorter

_STEP: Final = r"^(?:(.*)[/ ])?(?:global_|model-)?(?:step|checkpoint|iter)[-_]?([0-9]+)\Z"
"""`mom/step-001000`: the training, and the step."""


def checkpoints(frame: Lines) -> Lines:
    """Lines of trainings of which there are two checkpoints, told by their names.

    Two more columns, by which lines are sorted: `training`, empty for `step-10`, and `step`.
    """
    models = frame[frame["kind"] == "model"]
    names = models["row"].astype(str).str.extract(_STEP)
    found = models.assign(training=names[0].fillna(""), step=pd.to_numeric(names[1]))
    found = found.dropna(subset="step").sort_values(["training", "step"], kind="stable")
    return found[found.groupby("training")["step"].transform("nunique") > 1]


@style.context(plot_style.STYLE)
def score_by_step(frame: pd.DataFrame) -> Figure:
    """Above the metric with the reference rows, below bits per byte; a line a training.

    Args:
        frame: one leaderboard of `load_leaderboard` with checkpoints, or lines of it.

    Raises:
        SettingError: it is none, or there are no two checkpoints of one training.
    """
    lines = checked(frame)
    found = some(checkpoints(lines), "two checkpoints of one training, rows such as mom/step-1000")
    references = lines[lines["kind"] == "reference"]
    tasks, key = panels(lines), lines["metric"].iloc[0]
    figure = Figure(figsize=(2.15 * (len(tasks) + 1), 5.4), layout="constrained")
    axes = figure.subplots(2, len(tasks) + 1, squeeze=False, sharex="col")
    looks = plot_style.model_looks(sorted(set(found["training"])))
    dashed = plot_style.looks(references)
    for line, score in zip(axes, (key, "bits_per_byte"), strict=True):
        largest = 0.0
        for axis, task in zip(line, tasks, strict=False):
            largest = max(largest, _lines(axis, scored(found, task, score), looks))
            if score == key:
                made = scored(references, task, score)
                largest = max(largest, _references(axis, made, dashed))
        for axis in line[:-1]:
            plot_style.limits(axis, shown(score), largest, "y")
            axis.tick_params(axis="y", labelleft=axis is line[0])
        line[0].set_ylabel(plot_style.axis_label(shown(score)))
        line[-1].axis("off")
    for axis, task in zip(axes[0], tasks, strict=False):
        axis.set_title(heading(lines, task), loc="left", fontweight=weight(task))
    for axis in axes[1][:-1]:
        axis.set_xlabel("step")
    _legend(axes[0][-1], looks, dashed)
    words = plot_style.details(lines, "questions")
    plot_style.titled(figure, lines, "Recall by training step", words)
    return figure


def _lines(axis: Axes, lines: Lines, looks: Mapping[str, Look]) -> float:
    """Draws the trainings and returns the highest end of an interval."""
    axis.grid(axis="y")
    axis.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(shorter))
    for name, own in lines.groupby("training"):
        look = looks[name]
        axis.fill_between(own["step"], own["low"], own["high"], color=look.color, alpha=0.16, lw=0)
        axis.plot(own["step"], own["value"], lw=1.3, ms=3.5, **plot_style.line_style(look))
    return lines["high"].max() if len(lines) else 0.0


def _references(axis: Axes, lines: Lines, looks: Mapping[str, Look]) -> float:
    """Draws the rows made by code, which know no step, and returns the highest."""
    left, right = axis.get_xlim()
    for line in lines.itertuples():
        at = [left, (left + right) / 2, right]
        style = plot_style.line_style(looks[line.row])
        axis.plot(at, [line.value] * 3, lw=1, ms=3.5, markevery=[1], **style)
    axis.set_xlim(left, right)
    return lines["value"].max() if len(lines) else 0.0


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
