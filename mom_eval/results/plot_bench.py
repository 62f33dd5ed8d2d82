"""Time and memory against length, a figure a batch; times of ops beside peer and floor."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from mom_eval.results import plot_style
from mom_eval.results.bench import Bench, Measured, Row, heading
from mom_eval.results.plot_style import Look

_PHASES = {
    "model": {
        "prefill": ("A call over the whole prompt", "Prefill, tokens read"),
        "decode": ("One token more", "Decoding, tokens read before"),
    },
    "train": {
        "train": ("Forward and backward", "tokens of a sequence"),
        "forward": ("Forward alone", "tokens of a sequence"),
    },
}
"""Kind of benchmark -> phase -> what stands above its column, and below."""
_LEAST_RANGE = 4.0
"""How many times its lower end an axis of times or bytes reaches to, at least."""
_GAP = 0.06
"""Least distance of two labels, as a share of the panel's height."""
_BAR = 0.36

Value = Callable[[Measured], float | None]


@style.context(plot_style.STYLE)
def figures(bench: Bench) -> Mapping[str, Figure]:
    """`bench`, or one figure a batch where there are several: `bench-batch-8`."""
    if bench.kind == "op":
        return {"bench": _op_figure(bench)}
    batches = sorted({row.batch for row in bench.rows})
    if len(batches) == 1:
        return {"bench": _model_figure(bench, batches[0])}
    return {f"bench-batch-{batch}": _model_figure(bench, batch) for batch in batches}


def _model_figure(bench: Bench, batch: int) -> Figure:
    """Time above, memory below; a column a phase."""
    rows = [row for row in bench.rows if row.batch == batch]
    looks = plot_style.model_looks(list(dict.fromkeys(row.work for row in bench.rows)))
    figure = Figure(figsize=(11.2, 7.2), layout="constrained")
    phases = _PHASES[bench.kind]
    axes = figure.subplots(2, len(phases), squeeze=False)
    # On a CPU it is the process' own, with all that was held before.
    held = "peak of the process, GiB" if "CPU" in bench.about["device"] else "peak memory, GiB"
    values: tuple[tuple[str, Value], ...] = (
        ("milliseconds a call", lambda side: side.ms),
        (held, lambda side: side.peak_bytes and side.peak_bytes / 2**30),
    )
    for line, (unit, value) in zip(axes, values, strict=True):
        for axis, (phase, (_, below)) in zip(line, phases.items(), strict=True):
            some = [row for row in rows if row.phase == phase]
            _panel(axis, some, looks, value, bench.peer)
            axis.set(xlabel=below, ylabel=unit)
    for axis, (above, _) in zip(axes[0], phases.values(), strict=True):
        axis.set_title(above, loc="left")
    what, *details = heading(bench)
    sequences = "1 sequence" if batch == 1 else f"{batch} sequences"
    plot_style.headed(figure, f"{what} by length, {sequences}", details, synthetic=False)
    return figure


def _panel(
    axis: Axes, rows: Sequence[Row], looks: Mapping[str, Look], value: Value, peer: str | None
) -> None:
    """A line a model, its peer's dashed; the names at the lines' right ends."""
    axis.grid(axis="y")
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    ends = []
    for name, look in looks.items():
        mine = sorted((row for row in rows if row.work == name), key=lambda row: row.length)
        sides = ((name, lambda row: row.ours), (f"{name}, {peer}", lambda row: row.peer))
        for label, side in sides:
            points = _points(mine, side, value)
            if points:
                theirs: dict[str, Any] = {"ls": "--", "mfc": "white"} if label != name else {}
                axis.plot(
                    *zip(*points, strict=True),
                    ms=4,
                    lw=1.3,
                    **plot_style.line_style(look) | theirs,
                )
                ends.append((points[-1], _ended(label, mine, side), look.color))
    lengths = sorted({row.length for row in rows})
    if not ends:
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", color="#7a7a7a")
        return
    step = 1 if len(lengths) <= 8 else 2
    axis.set_xticks(lengths[::step], [_short(length) for length in lengths[::step]])
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    # The usual one writes powers as formulas, and those are off in our style.
    axis.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))
    axis.minorticks_off()
    # What hardly differs shall look so.
    low, high = axis.get_ylim()
    wider = max(1.0, (_LEAST_RANGE * low / high) ** 0.5)
    axis.set_ylim(low / wider, high * wider)
    span = max(lengths[-1] / lengths[0], 2)
    # The names need that much of the panel.
    axis.set_xlim(lengths[0] / span**0.05, lengths[-1] * span**0.8)
    _name(axis, ends)


def _points(
    rows: Sequence[Row], side: Callable[[Row], Measured | None], value: Value
) -> list[tuple[int, float]]:
    found = [(row.length, side(row)) for row in rows]
    known = [(length, value(one)) for length, one in found if one is not None]
    return [(length, number) for length, number in known if number]


def _ended(label: str, rows: Sequence[Row], side: Callable[[Row], Measured | None]) -> str:
    """The name at a line's end, and why it ends there if it should go on."""
    last = side(rows[-1])
    text = plot_style.shown_name(label)
    return f"{text}: {last.shown}" if last is not None and last.ms is None else text


def _short(length: int) -> str:
    """`128k` for 131,072."""
    return f"{length // 1024}k" if length % 1024 == 0 else f"{length:,}"


def _name(axis: Axes, ends: Sequence[tuple[tuple[int, float], str, str]]) -> None:
    """Names beside the last points, apart from each other where those lie close."""
    low, high = axis.get_ylim()
    to_axes = axis.transAxes.inverted()
    places = []
    for point, text, color in ends:
        _, height = to_axes.transform(axis.transData.transform(point))
        places.append([height, point, text, color])
    axis.set_ylim(low, high)
    places.sort(key=lambda place: place[0])
    for below, above in pairwise(places):
        above[0] = max(above[0], below[0] + _GAP)
    over = places[-1][0] - 1
    if over > 0:
        places[-1][0] = 1.0
        for above, below in zip(places[::-1], places[-2::-1], strict=False):
            below[0] = min(below[0], above[0] - _GAP)
    right = to_axes.transform(axis.transData.transform((max(e[0][0] for e in ends), low)))[0]
    for height, point, text, color in places:
        axis.annotate(
            text,
            xy=point,
            xytext=(right + 0.03, height),
            textcoords="axes fraction",
            color=color,
            fontsize=8,
            va="center",
            arrowprops={"arrowstyle": "-", "color": color, "lw": 0.5, "alpha": 0.5},
        )


def _op_figure(bench: Bench) -> Figure:
    """A pair of bars an op and shape, the floor as a line across ours."""
    rows = bench.rows
    figure = Figure(figsize=(8.4, 1.6 + 0.45 * len(rows)), layout="constrained")
    axis = figure.subplots()
    for place, row in enumerate(rows):
        sides = ((row.ours, plot_style.MODEL, -_BAR), (row.peer, plot_style.GREY, 0.0))
        for side, color, shift in sides:
            if side is not None:
                axis.barh(place + shift, side.ms or 0.0, _BAR, align="edge", color=color)
                axis.annotate(
                    side.shown,
                    (side.ms or 0.0, place + shift + _BAR / 2),
                    xytext=(3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                )
        axis.plot([row.floor_ms] * 2, [place - _BAR, place], color="black", lw=1.5)
    axis.set_yticks(range(len(rows)), [f"{row.work}\n{row.size}" for row in rows], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(
        0, 1.12 * max(side.ms or 0 for row in rows for side in (row.ours, row.peer) if side)
    )
    peer = f", grey: {bench.peer}" if bench.peer else ""
    axis.set_xlabel(f"milliseconds (blue: ours{peer}, black: floor)")
    what, *details = heading(bench)
    plot_style.headed(figure, what, details, synthetic=False)
    return figure
