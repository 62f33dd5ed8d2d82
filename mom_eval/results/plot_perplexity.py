"""Bits per byte against context length and against position, in two panels."""

from collections.abc import Sequence
from typing import Final

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mom_eval.results import plot_style
from mom_eval.results.perplexity import heading
from mom_eval.results.plot_frame import Lines, measured, records, some

_SIZE: Final = (4.2, 3.5)
"""Of a panel."""


@style.context(plot_style.STYLE)
def perplexity_figure(frame: pd.DataFrame) -> Figure:
    """By context length on the left, by position in the longest context on the right.

    Args:
        frame: what `pandas.read_csv` reads of `ppl.csv`, or lines of it.

    Raises:
        SettingError: it is none.
    """
    lines = measured(
        frame,
        "ppl.csv",
        alike=(
            *("label", "text", "tokenizer", "training_length"),
            *("span_length", "spans", "tokens", "bytes"),
        ),
        once=("by", "length", "first"),
        drawn=(
            *("last", "bits_per_byte", "bits_per_byte_low", "bits_per_byte_high"),
            *("change", "change_low", "change_high", "change_against"),
        ),
    )
    known = some(lines[lines["by"].isin(_PANELS)], "line by length or by position")
    about, shown = records(known)[0], [by for by in _PANELS if by in set(known["by"])]
    figure = Figure(figsize=(_SIZE[0] * len(shown), _SIZE[1]), layout="constrained")
    axes = figure.subplots(1, len(shown), squeeze=False).flat
    for axis, by in zip(axes, shown, strict=True):
        _PANELS[by](axis, known[known["by"] == by])
        axis.set_ylabel("bits per byte")
        _training_length(axis, about["training_length"])
    what, *details = heading(about)
    plot_style.headed(figure, what, details, synthetic=False)
    return figure


def _by_length(axis: Axes, lines: Lines) -> None:
    own = lines.sort_values("length")
    _line(axis, own["length"], own)
    _ticks(axis, own["length"])
    axis.set_xlabel("context length, tokens")
    axis.set_title("By context length, the same bytes", loc="left")
    _changes(axis, own.dropna(subset="change_low"))


def _by_position(axis: Axes, lines: Lines) -> None:
    own = lines.sort_values("first")
    _line(axis, (own["first"] * own["last"]) ** 0.5, own)
    _ticks(axis, own["first"])
    axis.set_xlabel("tokens read before")
    axis.set_title(f"By position in a context of {own['length'].iloc[0]:,}", loc="left")


_PANELS: Final = {"length": _by_length, "position": _by_position}
"""In their order, by what `by` says."""


def _line(axis: Axes, places: Lines, lines: Lines) -> None:
    axis.grid(axis="y")
    axis.set_xscale("log", base=2)
    color, ends = plot_style.MODEL, [lines["bits_per_byte_low"], lines["bits_per_byte_high"]]
    axis.plot([places, places], ends, color=color, lw=0.9, alpha=0.7)
    axis.plot(places, lines["bits_per_byte"], color=color, marker="o", ms=4, lw=1.3)


def _changes(axis: Axes, lines: Lines) -> None:
    """Thick bars: how far a length is known beside the shortest one, which is far better."""
    if lines.empty:
        return
    around = lines["bits_per_byte"] - lines["change"]
    ends = [around + lines["change_low"], around + lines["change_high"]]
    axis.plot([lines["length"]] * 2, ends, color=plot_style.MODEL, lw=4, alpha=0.4)
    against = lines["change_against"].iloc[0]
    words = f"(thin: 95 % interval, thick: of the change against {against:,.0f})"
    axis.set_xlabel(f"{axis.get_xlabel()}\n{words}")


def _ticks(axis: Axes, places: Sequence[float]) -> None:
    """A tick at every place, or at every second one where they would lie on one another."""
    some = list(places)[:: 1 if len(places) <= 7 else 2]
    axis.set_xticks(some, [f"{place:,.0f}" for place in some])
    axis.minorticks_off()


def _training_length(axis: Axes, length: float | None) -> None:
    """A line where extrapolation begins, if that lies inside the panel."""
    low, high = axis.get_xlim()
    if length is None or not low <= length <= high:
        return
    axis.axvline(length, color=plot_style.GREY, ls=":", lw=1)
    axis.annotate(
        "trained",
        (length, 1),
        xycoords=("data", "axes fraction"),
        xytext=(3, -2),
        textcoords="offset points",
        va="top",
        color=plot_style.GREY,
        fontsize=8,
    )
