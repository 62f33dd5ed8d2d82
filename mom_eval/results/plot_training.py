"""The curves of a training: loss, held-out loss and held-out accuracy against tokens."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mom_eval.results import plot_style
from mom_eval.results.store import disk_errors

WINDOW = 50
"""At most so many points of the training loss are drawn as a line: means of as many steps each."""


def write(folder: Path, model: str) -> list[Path]:
    """Draw `loss.csv` and `heldout.csv` of a folder into `loss.png` and `loss.svg`.

    Raises:
        RunError: the folder cannot be written.
    """
    with disk_errors(folder), rc_context(plot_style.STYLE):
        figure = curves(
            pd.read_csv(folder / "loss.csv"), pd.read_csv(folder / "heldout.csv"), model
        )
        paths = [folder / f"loss.{kind}" for kind in ("png", "svg")]
        for path in paths:
            figure.savefig(path)
    return paths


def curves(loss: pd.DataFrame, heldout: pd.DataFrame, model: str) -> Figure:
    """One panel, and a second one for accuracy where something was held out."""
    panels = 2 if len(heldout) else 1
    figure = Figure(figsize=(4.6 * panels, 3.2), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False).flat)
    _loss(axes[0], loss)
    for place, (source, part) in enumerate(heldout.groupby("source", sort=False)):
        look = {"color": plot_style.PALETTE[1 + place % 6], "ms": 3.5, "lw": 1.3}
        marker = plot_style.MARKERS[place % len(plot_style.MARKERS)]
        axes[0].plot(part.tokens, part.loss, marker=marker, label=f"held out: {source}", **look)
        axes[1].plot(part.tokens, 100 * part.accuracy, marker=marker, label=source, **look)
    for axis, label in zip(axes, ("loss, nats a label", "held out, % right"), strict=False):
        axis.grid(axis="y")
        axis.set_xlabel("tokens trained on")
        axis.set_ylabel(label)
        axis.xaxis.set_major_formatter(_short)
        axis.set_ylim(bottom=0)
        axis.legend(frameon=False, fontsize=8)
    if panels == 2:
        axes[1].set_ylim(0, 102)
    title = f"{model}, {int(loss.step.max()):,} steps" if len(loss) else model
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def _loss(axis: Axes, loss: pd.DataFrame) -> None:
    """Every step faintly, and means over neighbours as a line."""
    color = plot_style.PALETTE[0]
    axis.plot(loss.tokens, loss.loss, color=color, lw=0.6, alpha=0.3)
    group = np.arange(len(loss)) * WINDOW // max(len(loss), WINDOW)
    means = loss.groupby(group)[["tokens", "loss"]].mean()
    axis.plot(means.tokens, means.loss, color=color, lw=1.4, label="training")


def _short(value: float, place: int | None = None) -> str:
    """1500 -> 1.5 k, 2000000 -> 2 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
