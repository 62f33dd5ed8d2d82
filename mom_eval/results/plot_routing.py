"""What each memory takes: a panel a layer, memories by kinds of tokens, with the memories' load."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mom_eval.results import plot_style
from mom_eval.results.plot_frame import Lines, measured, records
from mom_eval.results.routing import heading

_COLUMNS: Final = 4
_LIMIT: Final = 2.0
"""Doublings at which the colours end."""
_COLORS: Final = "PuOr_r"


@style.context(plot_style.STYLE)
def routing_figure(frame: pd.DataFrame) -> Figure:
    """Over chance in colour, with a dot where the interval leaves chance out; load as bars.

    Args:
        frame: what `pandas.read_csv` reads of `routing.csv`, or lines of it. Layers, memories and
            kinds as in the table.

    Raises:
        SettingError: it is none.
    """
    lines = measured(
        frame,
        "routing.csv",
        alike=("label", "synthetic", "details", "questions"),
        once=("layer", "memory", "kind"),
        drawn=(
            *("documents", "tokens", "top_k", "memories", "load", "load_low", "load_high"),
            *("over_chance", "over_chance_low", "over_chance_high"),
        ),
    )
    layers, kinds = list(lines["layer"].unique()), list(lines["kind"].unique())
    columns = min(_COLUMNS, len(layers))
    rows = math.ceil(len(layers) / columns)
    memories = lines.groupby("layer")["memory"].nunique().max()
    size = max(3.1 * columns, 8.4), rows * (0.17 * memories + 0.45) + 1.9
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[3, 1] * columns)
    for place, layer in enumerate(layers):
        row, column = divmod(place, columns)
        heat, bars = axes[row, 2 * column], axes[row, 2 * column + 1]
        own = lines[lines["layer"] == layer]
        _heat(heat, own, kinds)
        _bars(bars, own.drop_duplicates("memory"), lines["load"].max())
        heat.set_title(f"layer {layer}", loc="left")
        below = place + columns < len(layers)
        heat.tick_params(labelbottom=not below)
        bars.tick_params(labelbottom=not below)
        if not below:
            bars.set_xlabel("load, %")
    for axis in axes.flat[2 * len(layers) :]:
        axis.axis("off")
    _key(figure, axes)
    about = records(lines)[0]
    what, *details = heading(about)
    plot_style.headed(figure, what, details, synthetic=about["synthetic"])
    return figure


def _heat(axis: Axes, lines: Lines, kinds: Sequence[str]) -> None:
    """[M, K] in colour: doublings over chance."""
    memories = list(lines["memory"].unique())
    values = np.full((len(memories), len(kinds)), np.nan)
    for line in lines.dropna(subset="over_chance").itertuples():
        place, m = kinds.index(line.kind), memories.index(line.memory)
        values[m, place] = math.log2(line.over_chance) if line.over_chance else -math.inf
        # Where no interval is known, both are false.
        if line.over_chance_low > 1 or line.over_chance_high < 1:
            dark = abs(values[m, place]) > _LIMIT / 2
            axis.plot(place, m, ".", color="white" if dark else "black", ms=3)
    axis.set_facecolor("#e4e4e4")
    axis.imshow(
        np.clip(values, -_LIMIT, _LIMIT), cmap=_COLORS, vmin=-_LIMIT, vmax=_LIMIT, aspect="auto"
    )
    axis.set_xticks(range(len(kinds)), kinds, rotation=90)
    axis.set_yticks(range(len(memories)), [f"m{memory}" for memory in memories])
    axis.tick_params(length=0, labelsize=8)


def _bars(axis: Axes, memories: Lines, largest: float) -> None:
    """Each memory's load, beside its row; the line is the load of all alike."""
    rows = np.arange(len(memories))
    axis.barh(rows, 100 * memories["load"], height=0.7, color=plot_style.MODEL)
    ends = 100 * memories["load_low"], 100 * memories["load_high"]
    axis.plot(ends, [rows, rows], color="black", lw=0.9)
    axis.axvline(100 / memories["memories"].iloc[0], color=plot_style.GREY, ls=":", lw=1)
    axis.set_xlim(0, 100 * largest * 1.1)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.tick_params(labelsize=8)
    axis.set_yticks([])


def _key(figure: Figure, axes: np.ndarray) -> None:
    """What the colours mean, which are the same in all panels."""
    (image,) = axes[0, 0].images
    bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=30, pad=0.01, extend="both")
    bar.set_ticks([-2, -1, 0, 1, 2], labels=["¼", "½", "1", "2", "4"])
    bar.set_label(
        "share of a kind over load; grey: none\n(dot: 95 % interval without 1)", fontsize=8
    )
    bar.outline.set_visible(False)
