"""The passage in the haystack: depth by length, one small map a model and task."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mom_eval.results import plot_style
from mom_eval.results.board import Metric
from mom_eval.results.plot_frame import Lines, checked, heading, metric_of, some, tasks_of


@style.context(plot_style.STYLE)
def haystack_by_depth(frame: pd.DataFrame) -> Figure:
    """A line of maps a row, a column of maps a task; a field is the score and its interval.

    Args:
        frame: leaderboards of `load_leaderboard` that differ in the haystack's length, the
            passage's depth and the context length alone, or lines of them.

    Raises:
        SettingError: they differ in more, or have no haystack.
    """
    lines = checked(frame, "haystack", "depth", "context_length")
    lines = some(lines.dropna(subset="haystack"), "run with a haystack (mom-eval run --haystack)")
    # A row without a score at any depth (a key's rule where no task has a key) has nothing to show.
    lines = lines[lines.groupby("row")["value"].transform("count") > 0]
    rows = lines.drop_duplicates("row").sort_values("kind", key=lambda kind: kind == "reference")
    tasks, metric = tasks_of(lines), metric_of(lines)
    lengths, depths = (sorted(set(lines[name])) for name in ("haystack", "depth"))
    size = 0.62 * len(lengths) + 0.5, 0.36 * len(depths) + 0.25
    figure = Figure(
        figsize=(max(size[0] * len(tasks) + 3.2, 7.0), size[1] * len(rows) + 1.5),
        layout="constrained",
    )
    axes = figure.subplots(len(rows), len(tasks), squeeze=False, sharex=True, sharey=True)
    norm = Normalize(0, 100.0 if metric.scale == 100.0 else lines["value"].max())
    # Dark is good, and black ink is readable on most of it.
    colors = ScalarMappable(norm, colormaps["YlGnBu_r" if metric.lower_is_better else "YlGnBu"])
    for line, (name, kind) in zip(axes, rows[["row", "kind"]].to_numpy(), strict=True):
        for axis, task in zip(line, tasks, strict=True):
            own = lines[(lines["row"] == name) & (lines["task"] == task)]
            _map(axis, own, lengths, depths, metric, colors)
        line[0].set_yticks(range(len(depths)), [f"{depth:g}" for depth in depths])
        label = plot_style.shown_name(name, 24) + ("\n(reference)" if kind == "reference" else "")
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    for axis, task in zip(axes[0], tasks, strict=True):
        axis.set_title(heading(lines, task), loc="left")
    for axis in axes[-1]:
        axis.set_xticks(range(len(lengths)), [f"{length:,.0f}" for length in lengths])
    figure.supylabel("depth of the passage", fontsize=9)
    figure.supxlabel("length of the haystack, tokens", fontsize=9)
    shrink = max(0.3, min(1.0, 3 / len(rows)))
    label = plot_style.axis_label(metric)
    figure.colorbar(colors, ax=axes, label=label, shrink=shrink, aspect=25)
    words = plot_style.details(lines, "haystack", "passage", "context length", "questions")
    what = "Recall by depth and length of the haystack"
    plot_style.titled(figure, lines, what, words)
    return figure


def _map(
    axis: Axes,
    lines: Lines,
    lengths: Sequence[float],
    depths: Sequence[float],
    metric: Metric,
    colors: ScalarMappable,
) -> None:
    values = np.full((len(depths), len(lengths)), np.nan)
    for line in lines.dropna(subset="value").itertuples():
        red, green, blue, _ = colors.to_rgba(line.value)
        ink = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.55 else "white"
        y, x = depths.index(line.depth), lengths.index(line.haystack)
        words = _words(line.value, line.low, line.high, metric)
        axis.text(x, y, words, ha="center", va="center", color=ink, fontsize=7)
        values[y, x] = line.value
    low, high = colors.get_clim()
    axis.imshow(values, cmap=colors.cmap, vmin=low, vmax=high, aspect="auto")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)


def _words(value: float, low: float, high: float, metric: Metric) -> str:
    decimals = 0 if metric.scale == 100.0 else metric.decimals
    ends = "" if np.isnan(low) else f"\n{low:.{decimals}f}-{high:.{decimals}f}"
    return f"{value:.{decimals}f}{ends}"
