"""What each memory takes: a panel a layer, memories by kinds of tokens, with the memories' load."""

import math

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from mom_eval.results import plot_style
from mom_eval.results.routing import Layer, Routing, heading, summary

_COLUMNS = 4
_LIMIT = 2.0
"""Doublings at which the colours end."""
_COLORS = "PuOr_r"


@style.context(plot_style.STYLE)
def routing_figure(found: Routing) -> Figure:
    """Over chance in colour, with a dot where the interval leaves chance out; load as bars."""
    layers = {index: summary(counts) for index, counts in found.layers.items()}
    memories = max(len(layer.load) for layer in layers.values())
    columns = min(_COLUMNS, len(layers))
    lines = math.ceil(len(layers) / columns)
    size = max(3.1 * columns, 8.4), lines * (0.17 * memories + 0.45) + 1.9
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(lines, 2 * columns, squeeze=False, width_ratios=[3, 1] * columns)
    image = None
    for place, (index, layer) in enumerate(layers.items()):
        line, column = divmod(place, columns)
        heat, bars = axes[line, 2 * column], axes[line, 2 * column + 1]
        image = _heat(heat, layer, list(found.kinds))
        _bars(bars, layer, max(max(one.value for one in x.load) for x in layers.values()))
        heat.set_title(f"layer {index}", loc="left")
        below = place + columns < len(layers)
        heat.tick_params(labelbottom=not below)
        bars.tick_params(labelbottom=not below)
        if not below:
            bars.set_xlabel("load, %")
    for axis in axes.flat[2 * len(layers) :]:
        axis.axis("off")
    if image is not None:
        _key(figure, image, axes)
    what, *details = heading(found)
    plot_style.headed(figure, what, details, synthetic=found.synthetic)
    return figure


def _heat(axis: Axes, layer: Layer, kinds: list[str]) -> AxesImage:
    """[M, K] in colour: doublings over chance."""
    values = np.full((len(layer.lifts), len(kinds)), np.nan)
    for m, row in enumerate(layer.lifts):
        for place, one in enumerate(row):
            if one is None:
                continue
            values[m, place] = math.log2(one.value) if one.value else -math.inf
            if one.low is not None and one.high is not None and not one.low <= 1 <= one.high:
                dark = abs(values[m, place]) > _LIMIT / 2
                axis.plot(place, m, ".", color="white" if dark else "black", ms=3)
    axis.set_facecolor("#e4e4e4")
    image = axis.imshow(
        np.clip(values, -_LIMIT, _LIMIT), cmap=_COLORS, vmin=-_LIMIT, vmax=_LIMIT, aspect="auto"
    )
    axis.set_xticks(range(len(kinds)), kinds, rotation=90)
    axis.set_yticks(range(len(values)), [f"m{m}" for m in range(len(values))])
    axis.tick_params(length=0, labelsize=8)
    return image


def _bars(axis: Axes, layer: Layer, largest: float) -> None:
    """Each memory's load, beside its row; the line is the load of all alike."""
    for m, one in enumerate(layer.load):
        axis.barh(m, 100 * one.value, height=0.7, color=plot_style.MODEL)
        if one.low is not None and one.high is not None:
            axis.plot([100 * one.low, 100 * one.high], [m, m], color="black", lw=0.9)
    axis.axvline(100 / len(layer.load), color=plot_style.GREY, ls=":", lw=1)
    axis.set_xlim(0, 100 * largest * 1.1)
    axis.set_ylim(len(layer.load) - 0.5, -0.5)
    axis.tick_params(labelsize=8)
    axis.set_yticks([])


def _key(figure: Figure, image: AxesImage, axes: np.ndarray) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=30, pad=0.01, extend="both")
    bar.set_ticks([-2, -1, 0, 1, 2], labels=["¼", "½", "1", "2", "4"])
    bar.set_label(
        "share of a kind over load; grey: none\n(dot: 95 % interval without 1)", fontsize=8
    )
    bar.outline.set_visible(False)
