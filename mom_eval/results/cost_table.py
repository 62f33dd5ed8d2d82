"""What a board's models cost, as a table."""

from typing import Final

from mom_eval.results.board import Board, Row
from mom_eval.results.markdown import escaped, grid

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def cost_table(board: Board) -> list[str]:
    """A title, a table and what it says; nothing where nothing is known."""
    rows = [row for row in board.rows if any(row.costs.record().values())]
    if not rows:
        return []
    tokens = f"{board.group.context_length:,} tokens"
    head = ["Model", "Parameters", "Activated", f"State, {tokens}", "Decode", "Tokens/s", "On"]
    title = (
        f"Cost: parameters, and those that a token uses; bytes of state behind {tokens}, and bytes"
        " read and written for one more of one sequence, both counted; tokens a second, measured,"
        " read, written and scored over a run's whole time:"
    )
    return [escaped(title), grid(head, [_line(row) for row in rows])]


def _line(row: Row) -> list[str]:
    costs = row.costs
    return [
        row.name,
        _count(costs.parameters),
        _count(costs.activated),
        size(costs.state_bytes),
        size(costs.decode_bytes),
        "-" if costs.tokens_per_second is None else f"{costs.tokens_per_second:,.0f}",
        costs.ran_on or "-",
    ]


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def size(value: float | None) -> str:
    """Bytes with three digits: `22.0 KiB`."""
    if value is None:
        return "-"
    step = 0
    while value >= 1000 and step < len(_UNITS) - 1:
        value, step = value / 1024, step + 1
    return f"{value:.3g} {_UNITS[step]}"
