"""Time and memory against length, a figure a batch; times of ops beside peer and floor."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from mom_eval.results import plot_style
from mom_eval.results.bench import heading, on_cpu, shown, size_text
from mom_eval.results.plot_frame import Lines, measured, records
from mom_eval.results.plot_style import Look

_PHASES: Final = {
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
_FILE: Final = "bench.csv"
_ALIKE: Final = ("kind", "device", "dtype", "kernels", "random_weights", "versions", "peer")
_SIZES: Final = ("batch", "length", "heads", "key")
_SIDES: Final = ("", "peer_")
"""What the columns of a side begin with."""
_LEAST_RANGE: Final = 4.0
"""How many times its lower end an axis of times or bytes reaches to, at least."""
_GAP: Final = 0.06
"""Least distance of two labels, as a share of the panel's height."""
_BAR: Final = 0.36


@style.context(plot_style.STYLE)
def bench_figure(frame: pd.DataFrame) -> Figure:
    """Of ops a pair of bars each; of models time above and memory below, a column a kind of work.

    Args:
        frame: what `pandas.read_csv` reads of `bench.csv`, or lines of it, or those of several such
            files that were measured alike; of models those of one batch. Ops and models as in the
            table.

    Raises:
        SettingError: it is none.
    """
    lines = _checked(frame)
    if lines["kind"].iloc[0] == "op":
        return _op_figure(lines)
    return _model_figure(measured(lines, _FILE, alike=["batch"]), _looks(lines))


@style.context(plot_style.STYLE)
def figures(frame: pd.DataFrame) -> Mapping[str, Figure]:
    """`bench`, or one figure a batch where there are several of models: `bench-batch-8`.

    Args:
        frame: as `bench_figure` takes it, with any batches.

    Raises:
        SettingError: it is none.
    """
    lines = _checked(frame)
    batches = sorted(set(lines["batch"]))
    if len(batches) == 1 or lines["kind"].iloc[0] == "op":
        return {"bench": bench_figure(lines)}
    looks, by_batch = _looks(lines), lines.groupby("batch")
    return {f"bench-batch-{n}": _model_figure(by_batch.get_group(n), looks) for n in batches}


def _checked(frame: pd.DataFrame) -> Lines:
    sides = [f"{side}{name}" for side in _SIDES for name in ("ms", "peak_bytes", "note")]
    return measured(
        frame, _FILE, alike=_ALIKE, drawn=("work", "phase", *_SIZES, *sides, "floor_ms")
    )


def _looks(lines: Lines) -> Mapping[str, Look]:
    return plot_style.model_looks(list(lines["work"].unique()))


def _model_figure(lines: Lines, looks: Mapping[str, Look]) -> Figure:
    """Time above, memory below; a column a phase that there is."""
    about = records(lines)[0]
    found, peer = set(lines["phase"]), about["peer"]
    phases = {phase: words for phase, words in _PHASES[about["kind"]].items() if phase in found}
    figure = Figure(figsize=(5.6 * len(phases), 7.2), layout="constrained")
    axes = figure.subplots(2, len(phases), squeeze=False)
    # On a CPU it is the process' own, with all that was held before.
    held = "peak of the process, GiB" if on_cpu(about) else "peak memory, GiB"
    values = (("milliseconds a call", "ms", 1), (held, "peak_bytes", 2**30))
    for line, (label, column, unit) in zip(axes, values, strict=True):
        for axis, (phase, (_, below)) in zip(line, phases.items(), strict=True):
            _panel(axis, lines[lines["phase"] == phase], looks, column, unit, peer)
            axis.set(xlabel=below, ylabel=label)
    for axis, (above, _) in zip(axes[0], phases.values(), strict=True):
        axis.set_title(above, loc="left")
    what, *details = heading(about)
    sequences = "1 sequence" if about["batch"] == 1 else f"{about['batch']} sequences"
    plot_style.headed(figure, f"{what} by length, {sequences}", details, synthetic=False)
    return figure


def _panel(
    axis: Axes, lines: Lines, looks: Mapping[str, Look], column: str, unit: float, peer: str | None
) -> None:
    """A line a model, its peer's dashed; the names at the lines' right ends."""
    axis.grid(axis="y")
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    ends = []
    for name, look in looks.items():
        mine = lines[lines["work"] == name].sort_values("length", kind="stable")
        for side in _SIDES:
            known = mine[mine[f"{side}{column}"] > 0]
            if known.empty:
                continue
            lengths, values = known["length"], known[f"{side}{column}"] / unit
            theirs: dict[str, Any] = {"ls": "--", "mfc": "white"} if side else {}
            axis.plot(lengths, values, ms=4, lw=1.3, **plot_style.line_style(look) | theirs)
            label = _ended(f"{name}, {peer}" if side else name, mine, side)
            ends.append(((lengths.iloc[-1], values.iloc[-1]), label, look.color))
    if not ends:
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", color="#7a7a7a")
        axis.set(xticks=[], yticks=[])
        axis.minorticks_off()
        return
    _scale(axis, sorted(set(lines["length"])))
    _name(axis, ends)


def _ended(label: str, lines: Lines, side: str) -> str:
    """The name at a line's end, and why it ends there if it should go on."""
    last = records(lines)[-1]
    text, ms, note = plot_style.shown_name(label), last[f"{side}ms"], last[f"{side}note"]
    return f"{text}: {shown(ms, note)}" if ms is None and note else text


def _scale(axis: Axes, lengths: Sequence[int]) -> None:
    """Ticks that can be read, and limits that leave room for names on the right."""
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
    leader = {"arrowstyle": "-", "relpos": (0.0, 0.5), "lw": 0.5, "alpha": 0.5}
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
            # To the name's left end: on the way to its middle may stand other names.
            arrowprops=leader | {"color": color},
        )


def _op_figure(lines: Lines) -> Figure:
    """A pair of bars an op and shape, the floor as a line across ours."""
    figure = Figure(figsize=(8.4, 1.6 + 0.45 * len(lines)), layout="constrained")
    axis = figure.subplots()
    ops = records(lines)
    for place, op in enumerate(ops):
        sides = (("", plot_style.MODEL, -_BAR), ("peer_", plot_style.GREY, 0.0))
        for side, color, shift in sides:
            ms, note = op[f"{side}ms"], op[f"{side}note"]
            if ms is not None or note:
                at = place + shift
                axis.barh(at, ms or 0.0, _BAR, align="edge", color=color)
                axis.annotate(
                    shown(ms, note),
                    (ms or 0.0, at + _BAR / 2),
                    xytext=(3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                )
        axis.plot([op["floor_ms"]] * 2, [place - _BAR, place], color="black", lw=1.5)
    sizes = [size_text(*(op[name] for name in _SIZES)) for op in ops]
    names = [f"{op['work']}\n{size}" for op, size in zip(ops, sizes, strict=True)]
    axis.set_yticks(range(len(ops)), names, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.12 * lines[["ms", "peer_ms", "floor_ms"]].max(axis=None))
    peer = f", grey: {ops[0]['peer']}" if ops[0]["peer"] else ""
    axis.set_xlabel(f"milliseconds (blue: ours{peer}, black: floor)")
    what, *details = heading(ops[0])
    plot_style.headed(figure, what, details, synthetic=False)
    return figure
