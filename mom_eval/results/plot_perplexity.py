"""Bits per byte against context length and against position, in two panels."""

from collections.abc import Sequence

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mom_eval.results import plot_style
from mom_eval.results.perplexity import AtLength, Perplexity, by_length, by_position, heading
from mom_eval.results.statistics import Interval

_SIZE = (8.4, 3.5)


@style.context(plot_style.STYLE)
def perplexity_figure(found: Perplexity) -> Figure:
    """By context length on the left, by position in the longest context on the right."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    left, right = figure.subplots(1, 2)
    lengths, positions = by_length(found), by_position(found)
    _panel(left, list(found.lengths), [row.bits_per_byte for row in lengths])
    _ticks(left, list(found.lengths))
    left.set(xlabel="context length, tokens", ylabel="bits per byte")
    left.set_title("By context length, the same bytes", loc="left")
    _changes(left, lengths)
    middles = [(row.first * row.last) ** 0.5 for row in positions]
    _panel(right, middles, [row.bits_per_byte for row in positions])
    _ticks(right, [row.first for row in positions])
    right.set(xlabel="tokens read before", ylabel="bits per byte")
    right.set_title(f"By position in a context of {found.lengths[-1]:,}", loc="left")
    for axis in (left, right):
        _training_length(axis, found.training_length)
    what, *details = heading(found)
    plot_style.headed(figure, what, details, synthetic=False)
    return figure


def _panel(axis: Axes, places: Sequence[float], values: Sequence[Interval]) -> None:
    axis.grid(axis="y")
    axis.set_xscale("log", base=2)
    color = plot_style.MODEL
    for place, value in zip(places, values, strict=True):
        if value.low is not None and value.high is not None:
            axis.plot([place] * 2, [value.low, value.high], color=color, lw=0.9, alpha=0.7)
    axis.plot(places, [value.value for value in values], color=color, marker="o", ms=4, lw=1.3)


def _changes(axis: Axes, lengths: Sequence[AtLength]) -> None:
    """Thick bars: how far a length is known beside the shortest one, which is far better."""
    for row in lengths:
        change, bits = row.change, row.bits_per_byte.value
        if change is not None and change.low is not None and change.high is not None:
            ends = [bits + end - change.value for end in (change.low, change.high)]
            axis.plot([row.length] * 2, ends, color=plot_style.MODEL, lw=4, alpha=0.4)
    if any(row.change and row.change.low is not None for row in lengths):
        words = f"(thin: 95 % interval, thick: of the change against {lengths[0].length:,})"
        axis.set_xlabel(f"{axis.get_xlabel()}\n{words}")


def _ticks(axis: Axes, places: Sequence[int]) -> None:
    """A tick at every place, or at every second one where they would lie on one another."""
    some = list(places)[:: 1 if len(places) <= 7 else 2]
    axis.set_xticks(some, [f"{place:,}" for place in some])
    axis.minorticks_off()


def _training_length(axis: Axes, length: int | None) -> None:
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
