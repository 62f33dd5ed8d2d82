"""Accuracy on MQAR against the number of pairs: one panel a length, one line a model."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mom_eval.results import plot_style
from mom_eval.results.mqar import MqarBoard, accuracy, heading

_SPREAD = 0.12
"""Octaves over which models are set apart, so that their intervals can be told."""


def mqar_figure(board: MqarBoard) -> Figure:
    """All lengths side by side."""
    lengths = sorted({shape.length for shape in board.shapes})
    figure, axes = plot_style.panel_grid(len(lengths), (2.9, 2.7), sharey=True)
    for axis, length in zip(axes, lengths, strict=False):
        _panel(axis, board, length)
    axes[0].set_ylabel("queries answered right, %")
    handles = [
        Line2D([], [], ms=4, label=row.label[:40], **_look(place))
        for place, row in enumerate(board.rows)
    ]
    handles.append(Line2D([], [], color=plot_style.GREY, ls=":", label="chance"))
    axes[len(lengths)].legend(handles=handles, loc="upper left", frameon=False, fontsize=8)
    what, *details = heading(board)
    plot_style.headed(figure, what, details, synthetic=False)
    return figure


def _panel(axis: Axes, board: MqarBoard, length: int) -> None:
    shapes = sorted(shape for shape in board.shapes if shape.length == length)
    axis.grid(axis="y")
    axis.set_xscale("log", base=2)
    axis.axhline(100 * board.chance, color=plot_style.GREY, ls=":", lw=1)
    for place, row in enumerate(board.rows):
        shift = 2 ** (_SPREAD * (place - (len(board.rows) - 1) / 2) / max(len(board.rows) - 1, 1))
        look, points = _look(place), []
        for shape in shapes:
            found = accuracy(row, shape)
            points.append((shape.pairs * shift, 100 * found.value))
            if found.low is not None and found.high is not None:
                ends = [100 * found.low, 100 * found.high]
                axis.plot([shape.pairs * shift] * 2, ends, color=look["color"], lw=0.9, alpha=0.7)
        axis.plot(*zip(*points, strict=True), ms=4, lw=1.3, **look)
    pairs = [shape.pairs for shape in shapes]
    axis.set_xticks(pairs, [f"{number:,}" for number in pairs])
    axis.minorticks_off()
    axis.set_xlim(pairs[0] / 1.3, pairs[-1] * 1.3)
    axis.set_ylim(-2, 102)
    axis.set_xlabel("pairs")
    axis.set_title(f"{length:,} tokens", loc="left")


def _look(place: int) -> dict[str, Any]:
    colors, markers = plot_style.PALETTE, plot_style.MARKERS
    return {"color": colors[place % len(colors)], "marker": markers[place % len(markers)]}
