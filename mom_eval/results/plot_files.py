"""Figures -> PNG and SVG files."""

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib import style
from matplotlib.figure import Figure

from mom_eval.errors import RunError
from mom_eval.results.plot_style import STYLE


def write_figures(draw: Callable[[], Mapping[str, Figure]], out: Path) -> list[Path]:
    """Draw and write figures into the folder `out`, which is made if need be; returns the files.

    Args:
        draw: gives figures by their file names without suffix; called with our style in force.
        out: the folder.

    Raises:
        RunError: the folder cannot be written.
    """
    written = []
    # A fixed salt and no date: the same figures give the same bytes.
    with style.context({**STYLE, "svg.hashsalt": "mom-eval"}):
        for stem, figure in draw().items():
            for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None})):
                path = out / f"{stem}{suffix}"
                try:
                    out.mkdir(parents=True, exist_ok=True)
                    figure.savefig(path, metadata=metadata)
                except OSError as error:
                    reason = error.strerror or error
                    raise RunError(
                        f"{path} cannot be written ({reason}); name another folder"
                    ) from error
                written.append(path)
    return written
