"""What all plots share: type, colours that the colour-blind can tell apart, panels."""

import math
from collections.abc import Iterable, Sequence
from textwrap import shorten, wrap
from typing import Any, Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mom_eval.results.board import Metric
from mom_eval.results.plot_frame import Lines, asked

STYLE: Final[dict[str, Any]] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "savefig.dpi": 160,
    "figure.dpi": 100,
    "svg.fonttype": "path",
    "text.parse_math": False,
}
"""In force while a figure is made and while it is written; `text.parse_math` keeps `$` in a model's
name a `$`."""

# Okabe and Ito, "Color Universal Design", without its yellow, which is too pale on white.
PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
GREY: Final = "#7a7a7a"
_CHARACTERS: Final = 12.5
"""Of a title, an inch."""
MODEL, REFERENCE, PUBLISHED = PALETTE[0], GREY, PALETTE[1]


class Look(NamedTuple):
    """How one row is drawn wherever it occurs in a plot of lines."""

    color: str
    marker: str
    line: str


def looks(frame: Lines) -> dict[str, Look]:
    """A look for each row, by name, references last: these are grey and dashed."""
    made = frame["kind"] == "reference"
    found = model_looks([*frame["row"][~made].drop_duplicates()])
    for place, name in enumerate(frame["row"][made].drop_duplicates()):
        found[name] = Look(GREY, MARKERS[place % len(MARKERS)], ":")
    return found


def model_looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each model, by name."""
    found = {}
    for place, name in enumerate(names):
        turn = place // len(PALETTE)
        marker = MARKERS[(place + 3 * turn) % len(MARKERS)]
        found[name] = Look(PALETTE[place % len(PALETTE)], marker, "-" if turn % 2 == 0 else "-.")
    return found


def line_style(look: Look) -> dict[str, Any]:
    """The look as options of a line; references have hollow markers."""
    face = "white" if look.color == GREY else look.color
    return {"color": look.color, "marker": look.marker, "ls": look.line, "mfc": face}


def shown_name(name: object, width: int = 30) -> str:
    """A name on one line and no wider than a plot can bear; of a CSV file it may be a number."""
    text = shorten("".join(c if c.isprintable() else " " for c in str(name)), 200)
    return text if len(text) <= width else f"{text[: width // 2 - 1]}…{text[-width // 2 :]}"


def panel_grid(
    count: int, size: tuple[float, float], columns: int = 4, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels and one more for the legend, each of `size` in inches."""
    columns = min(columns, count + 1)
    lines = math.ceil((count + 1) / columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * lines + 0.9), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False, **options).flat)
    for axis in axes[count:]:
        axis.axis("off")
    return figure, axes


def titled(figure: Figure, frame: Lines, what: str, details: Iterable[str]) -> None:
    """Two lines over a figure: what it shows, and of which data."""
    headed(figure, what, details, synthetic=frame["synthetic"].any())


def headed(figure: Figure, what: str, details: Iterable[str], *, synthetic: bool) -> None:
    """As `titled`, where there is no leaderboard; more lines where a figure is too narrow for two.

    Synthetic data is shouted.
    """
    heading = f"{what}: SYNTHETIC SAMPLE, not the real tasks" if synthetic else what
    color = PALETTE[1] if synthetic else "black"
    lines = [heading, *wrap(", ".join(details), int(_CHARACTERS * figure.get_figwidth()))]
    figure.suptitle("\n".join(lines), fontsize=11, color=color, x=0.01, ha="left")


def axis_label(metric: Metric) -> str:
    """`contains, %`."""
    return f"{metric.name}, %" if metric.scale == 100.0 else metric.name


def details(frame: Lines, *left_out: str) -> list[str]:
    """The group in words, but for its first one and those that start or end with `left_out`."""
    title, count = frame["board"].iloc[0].split(", "), asked(frame)
    # Of a whole leaderboard the count is the title's.
    words = [count if word.endswith(" questions") else word for word in title]
    skip = ("Recall", "not the real tasks", *left_out)
    return [w for w in words if w and not w.startswith(skip) and not w.endswith(left_out)]


def limits(axis: Axes, metric: Metric, largest: float, which: str = "x") -> None:
    """From 0 to a round number over `largest`; a share's axis never ends beyond 100."""
    end = largest * 1.06 or 1.0
    if metric.scale == 100.0:
        end = min(max(math.ceil(largest / 10) * 10, 10), 100) * 1.02
    (axis.set_xlim if which == "x" else axis.set_ylim)(-end * 0.02, end)


def shorter(value: float, place: int | None = None) -> str:
    """1500 -> 1.5 k, 2000000 -> 2 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
