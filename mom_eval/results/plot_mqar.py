"""Accuracy on MQAR against the number of pairs: one panel a length, one line a model."""

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mom_eval.results import plot_style
from mom_eval.results.mqar import heading, state
from mom_eval.results.plot_frame import Lines, measured, records
from mom_eval.results.plot_style import Look

_SPREAD: Final = 0.12
"""Octaves over which models are set apart, so that their intervals can be told."""
_CHANCE: Final[Any] = {"color": plot_style.GREY, "ls": "--", "lw": 1}
_ANY_VALUE: Final[Any] = {"color": plot_style.GREY, "ls": ":", "lw": 1}


@style.context(plot_style.STYLE)
def mqar_figure(frame: pd.DataFrame) -> Figure:
    """All lengths side by side; the last panel names the models with their states.

    Args:
        frame: what `pandas.read_csv` reads of `mqar.csv`, or lines of it, or those of several such
            files of one vocabulary, number of examples and seed. Models as in the table.

    Raises:
        SettingError: it is none.
    """
    lines = measured(
        frame,
        "mqar.csv",
        alike=("vocab", "examples", "seed", "chance"),
        once=("label", "length", "pairs"),
        drawn=(
            *("state_bytes", "state_bytes_per_token"),
            *("accuracy", "accuracy_low", "accuracy_high"),
        ),
    )
    models = lines.drop_duplicates("label")
    looks, lengths = plot_style.model_looks([*models["label"]]), sorted(set(lines["length"]))
    height = max(2.7, 0.33 * len(looks) + 0.6)
    figure, axes = plot_style.panel_grid(len(lengths), (2.9, height))
    for axis, length in zip(axes, lengths, strict=False):
        _panel(axis, lines[lines["length"] == length], looks)
        axis.set_title(f"{length:,} tokens", loc="left")
    for place in range(0, len(lengths), 4):
        axes[place].set_ylabel("queries answered right, %")
    _legend(axes[len(lengths)], models, looks)
    what, *details = heading(records(lines)[0])
    plot_style.headed(figure, what, details, synthetic=False)
    return figure


def _panel(axis: Axes, lines: Lines, looks: Mapping[str, Look]) -> None:
    pairs = sorted(set(lines["pairs"]))
    axis.grid(axis="y")
    axis.set_xscale("log", base=2)
    axis.axhline(100 * lines["chance"].iloc[0], **_CHANCE)
    axis.plot(pairs, [100 / number for number in pairs], **_ANY_VALUE)
    for place, (name, look) in enumerate(looks.items()):
        own = lines[lines["label"] == name].sort_values("pairs")
        shift = 2 ** (_SPREAD * (place - (len(looks) - 1) / 2) / max(len(looks) - 1, 1))
        at, ends = own["pairs"] * shift, (100 * own["accuracy_low"], 100 * own["accuracy_high"])
        axis.plot([at, at], ends, color=look.color, lw=0.9, alpha=0.7)
        axis.plot(at, 100 * own["accuracy"], ms=4, lw=1.3, **plot_style.line_style(look))
    axis.set_xticks(pairs, [f"{number:,}" for number in pairs])
    axis.minorticks_off()
    axis.set_xlim(pairs[0] / 1.3, pairs[-1] * 1.3)
    axis.set_ylim(-2, 102)
    axis.set_xlabel("pairs")


def _legend(axis: Axes, models: Lines, looks: Mapping[str, Look]) -> None:
    handles = [Line2D([], [], ms=4, **plot_style.line_style(look)) for look in looks.values()]
    names = [
        f"{plot_style.shown_name(model['label'])}\nstate, bytes: {state(model)}"
        for model in records(models)
    ]
    handles += [Line2D([], [], **_ANY_VALUE), Line2D([], [], **_CHANCE)]
    values = 1 / models["chance"].iloc[0]
    names += ["any value read", f"chance, 1 of {values:,.0f} values"]
    axis.legend(handles, names, loc="upper left", frameon=False, fontsize=8, labelspacing=0.5)
