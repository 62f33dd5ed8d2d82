"""What a board's models cost, as a table."""

from typing import Final

from mom_eval.results.board import Board
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
_SAID: Final = {
    "parameters": "parameters",
    "activated": "parameters that a token uses",
    "state_bytes": "bytes of state behind {tokens}, counted",
    "decode_bytes": "bytes read and written for one more token of one sequence, counted",
    "tokens_per_second": "tokens a second, measured: read, written and scored in a whole run",
}
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def cost_table(board: Board) -> list[str]:
    """A title, a table and what it says; nothing where nothing is known."""
    rows = [row for row in board.rows if any(row.costs.record().values())]
    known = [key for key in COST_NAMES if any(getattr(row.costs, key) is not None for row in rows)]
    if not known:
        return []
    tokens = f"{board.group.context_length:,} tokens"
    said = "; ".join(_SAID[key].format(tokens=tokens) for key in known)
    head = [COST_NAMES[key] + (f", {tokens}" if key == "state_bytes" else "") for key in known]
    lines = [
        [row.name, *(cost_words(row.costs, key) for key in known), row.costs.ran_on or "-"]
        for row in rows
    ]
    return [escaped(f"Cost: {said}:"), grid(["Model", *head, "On"], lines)]


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
