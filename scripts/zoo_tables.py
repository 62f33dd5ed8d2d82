"""What tables and plots of scripts/zoo_results.py have in common."""

from collections.abc import Iterator, Sequence

import pandas as pd

from mom_eval.results import table
from mom_eval.results.board import Board
from mom_eval.results.cost_table import size
from mom_eval.results.frames import as_frame


def by_weights(lines: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The small and the medium ones: a plot of all has more than can be told apart."""
    for name in ("small", "medium"):
        some = lines[lines[column].str.contains(rf"^{name}-|-{name}$")]
        if not some.empty:
            yield name, some


def frame(boards: Sequence[Board]) -> pd.DataFrame:
    """Leaderboards as the functions of plots take them."""
    return as_frame(table.lines(boards), table.FIELDS)


def size_text(count: int | None) -> str:
    """Bytes, or a dash."""
    return "-" if count is None else size(count)
