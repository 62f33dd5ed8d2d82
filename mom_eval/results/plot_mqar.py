"""Accuracy on MQAR against the number of pairs: one panel a length, one line a model."""

from collections.abc import Mapping
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mom_eval.results import plot_style
from mom_eval.results.mqar import MqarBoard, Row, accuracy, heading, state
from mom_eval.results.plot_style import Look

_SPREAD = 0.12
"""Octaves over which models are set apart, so that their intervals can be told."""
_CHANCE: Any = {"color": plot_style.GREY, "ls": "--", "lw": 1}
_ANY_VALUE: Any = {"color": plot_style.GREY, "ls": ":", "lw": 1}


@style.context(plot_style.STYLE)
def mqar_figure(board: MqarBoard) -> Figure:
    """All lengths side by side; the last panel names the models with their states."""
    looks = plot_style.model_looks([row.label for row in board.rows])
    height = max(2.7, 0.33 * len(looks) + 0.6)
    figure, axes = plot_style.panel_grid(len(board.lengths), (2.9, height))
    for axis, length in zip(axes, board.lengths, strict=False):
        _panel(axis, board, length, looks)
    for place in range(0, len(board.lengths), 4):
        axes[place].set_ylabel("queries answered right, %")
    _legend(axes[len(board.lengths)], board, looks)
    what, *details = heading(board)
    plot_style.headed(figure, what, details, synthetic=False)
    return figure


def _panel(axis: Axes, board: MqarBoard, length: int, looks: Mapping[str, Look]) -> None:
    pairs = [shape.pairs for shape in board.at(length)]
    axis.grid(axis="y")
    axis.set_xscale("log", base=2)
    axis.axhline(100 * board.chance, **_CHANCE)
    axis.plot(pairs, [100 / number for number in pairs], **_ANY_VALUE)
    for place, row in enumerate(board.rows):
        shift = 2 ** (_SPREAD * (place - (len(looks) - 1) / 2) / max(len(looks) - 1, 1))
        _line(axis, board, length, row, looks[row.label], shift)
    axis.set_xticks(pairs, [f"{number:,}" for number in pairs])
    axis.minorticks_off()
    axis.set_xlim(pairs[0] / 1.3, pairs[-1] * 1.3)
    axis.set_ylim(-2, 102)
    axis.set_xlabel("pairs")
    axis.set_title(f"{length:,} tokens", loc="left")


def _line(axis: Axes, board: MqarBoard, length: int, row: Row, look: Look, shift: float) -> None:
    points = []
    for shape in board.at(length):
        found = accuracy(row, shape)
        points.append((shape.pairs * shift, 100 * found.value))
        if found.low is not None and found.high is not None:
            ends = [100 * found.low, 100 * found.high]
            axis.plot([shape.pairs * shift] * 2, ends, color=look.color, lw=0.9, alpha=0.7)
    axis.plot(*zip(*points, strict=True), ms=4, lw=1.3, **plot_style.line_style(look))


def _legend(axis: Axes, board: MqarBoard, looks: Mapping[str, Look]) -> None:
    handles = [Line2D([], [], ms=4, **plot_style.line_style(look)) for look in looks.values()]
    names = [
        f"{plot_style.shown_name(row.label)}\nstate, bytes: {state(row)}" for row in board.rows
    ]
    handles += [Line2D([], [], **_ANY_VALUE), Line2D([], [], **_CHANCE)]
    names += ["any value read", f"chance, 1 of {board.values:,} values"]
    axis.legend(handles, names, loc="upper left", frameon=False, fontsize=8, labelspacing=0.5)
