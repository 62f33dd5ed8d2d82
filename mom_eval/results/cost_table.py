"""What a board's models cost, as a table."""

from typing import Final

from mom_eval.results.board import Board, Row
from mom_eval.results.costs import Costs
from mom_eval.results.markdown import escaped, grid

COST_NAMES: Final = {
    "parameters": "Parameters",
    "activated": "Activated",
    "state_bytes": "State",
    "decode_bytes": "Decode",
    "tokens_per_second": "Tokens/s",
}
"""The costs that are numbers, and what tables head them with."""
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def cost_table(board: Board) -> list[str]:
    """A title, a table and what it says; nothing where nothing is known."""
    rows = [row for row in board.rows if any(row.costs.record().values())]
    if not rows:
        return []
    tokens = f"{board.group.context_length:,} tokens"
    head = ["Model", *COST_NAMES.values(), "On"]
    head[3] += f", {tokens}"
    title = (
        f"Cost: parameters, and those that a token uses; bytes of state behind {tokens}, and bytes"
        " read and written for one more of one sequence, both counted; tokens a second, measured,"
        " read, written and scored over a run's whole time:"
    )
    return [escaped(title), grid(head, [_line(row) for row in rows])]


def _line(row: Row) -> list[str]:
    return [row.name, *(cost_words(row.costs, key) for key in COST_NAMES), row.costs.ran_on or "-"]


def cost_words(costs: Costs, key: str) -> str:
    """A cost as tables print it: bytes with their unit, counts with commas."""
    value = getattr(costs, key)
    if key.endswith("_bytes"):
        return size(value)
    return "-" if value is None else f"{value:,.0f}"


def size(value: float | None) -> str:
    """Bytes with three digits: `22.0 KiB`."""
    if value is None:
        return "-"
    step = 0
    while value >= 1000 and step < len(_UNITS) - 1:
        value, step = value / 1024, step + 1
    return f"{value:.3g} {_UNITS[step]}"
