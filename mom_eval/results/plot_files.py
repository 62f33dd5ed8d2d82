"""Figures -> PNG and SVG files, with texts beside them."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib import style
from matplotlib.figure import Figure

from mom_eval.errors import RunError
from mom_eval.results.plot_style import STYLE
from mom_eval.results.store import disk_errors


def write_figures(figures: Mapping[str, Figure], out: Path) -> list[Path]:
    """Write figures into the folder `out`, which is made if need be; returns the files.

    Args:
        figures: by their file names without suffix.
        out: the folder.

    Raises:
        RunError: the folder cannot be written.
    """
    written = []
    # A fixed salt and no date: the same figures give the same bytes.
    with style.context({**STYLE, "svg.hashsalt": "mom-eval"}):
        for stem, figure in figures.items():
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


def write_report(texts: Mapping[str, str], figures: Mapping[str, Figure], out: Path) -> list[Path]:
    """Write texts by their file names, and figures as `write_figures` does; returns the files.

    Raises:
        RunError: the folder cannot be written.
    """
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (out / name).write_text(text + "\n", encoding="utf-8")
    return [*(out / name for name in texts), *write_figures(figures, out)]
