"""Figures -> SVG texts for a page, each with words for those who do not see it."""

from collections.abc import Iterable
from io import StringIO
from typing import NamedTuple

from matplotlib import style
from matplotlib.figure import Figure

from mom_eval.results.plot_style import STYLE


class Picture(NamedTuple):
    """One figure of a page."""

    title: str
    """Its heading, on one line."""
    words: str
    """Heading and panels; the numbers stand in the page's tables."""
    svg: str
    width: float
    """In inches."""
    height: float


def pictures(figures: Iterable[Figure]) -> list[Picture]:
    """Figures as SVG on no ground, with text as text."""
    with style.context({**STYLE, "svg.hashsalt": "mom-eval", "svg.fonttype": "none"}):
        return [_picture(figure) for figure in figures]


def _picture(figure: Figure) -> Picture:
    out = StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    heading = figure.get_suptitle().split("\n")
    panels = [axis.get_title(loc="left") for axis in figure.axes]
    shown = "; ".join(filter(None, panels))
    return Picture(
        title=heading[0],
        words=f"{' '.join(heading)}. Panels: {shown}." if shown else " ".join(heading),
        svg=out.getvalue(),
        width=float(figure.get_figwidth()),
        height=float(figure.get_figheight()),
    )
