"""The curves of a training: loss, held-out loss and held-out accuracy against tokens."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mom_eval.results import plot_style
from mom_eval.results.plot_files import write_figures

POINTS = 50
"""The line of the training loss has at most so many: means over as many stretches of steps."""

Rows = Sequence[Mapping[str, str]]
"""The lines of a CSV file."""


def write(folder: Path, loss: Rows, heldout: Rows, model: str) -> list[Path]:
    """Draw the lines of `loss.csv` and `heldout.csv` into `loss.png` and `loss.svg`.

    Raises:
        RunError: the folder cannot be written.
    """
    return write_figures({"loss": curves(_table(loss), _table(heldout), model)}, folder)


@style.context(plot_style.STYLE)
def curves(loss: pd.DataFrame, heldout: pd.DataFrame, model: str) -> Figure:
    """One panel, and a second one for accuracy where something was held out.

    Args:
        loss: `loss.csv`, a line a step.
        heldout: `heldout.csv`, a line a measurement and source; may be empty.
        model: its name, for the title.
    """
    panels = 1 if heldout.empty else 2
    figure = Figure(figsize=(4.1 * panels + 2.3, 3.2), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False).flat)
    _loss(axes[0], loss)
    sources = [] if heldout.empty else heldout.groupby("source", sort=False)
    for place, (source, part) in enumerate(sources):
        colors, markers = plot_style.PALETTE[1:], plot_style.MARKERS
        look: Any = {"color": colors[place % len(colors)], "ms": 3.5, "lw": 1.3}
        look["marker"] = markers[place % len(markers)]
        axes[0].plot(part["tokens"], part["loss"], label=f"held out: {source}", **look)
        axes[1].plot(part["tokens"], 100 * part["accuracy"], **look)
    for axis, label in zip(axes, ("loss, nats a label", "held out, % right"), strict=False):
        axis.grid(axis="y")
        axis.set_xlabel("tokens trained on")
        axis.set_ylabel(label)
        axis.xaxis.set_major_formatter(plot_style.shorter)
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
    # Beside the panels: inside, it would lie over a curve of most trainings.
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    if panels == 2:
        axes[1].set_ylim(0, 102)
    title = f"{model}, {len(loss):,} steps"
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def _loss(axis: Axes, loss: pd.DataFrame) -> None:
    """Every step faintly, and means over neighbours as a line."""
    color, tokens, losses = plot_style.PALETTE[0], *(loss[n].to_numpy() for n in ("tokens", "loss"))
    axis.plot(tokens, losses, color=color, lw=0.6, alpha=0.3)
    parts = min(POINTS, len(losses))
    means = [[part.mean() for part in np.array_split(values, parts)] for values in (tokens, losses)]
    axis.plot(*means, color=color, lw=1.4, label="training")


def _table(rows: Rows) -> pd.DataFrame:
    table = pd.DataFrame([*rows])
    return table.astype({name: float for name in table if name != "source"})
