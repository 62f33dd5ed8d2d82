"""Tables in Markdown that a terminal shows as well."""

import re
from collections.abc import Sequence

from mom_eval.results.statistics import Interval


def grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned for the eye and no wider than its words."""
    rows = [[escaped(text) for text in line] for line in (head, *lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * max(width, 3) for width in widths])
    padded = [map(str.ljust, row, widths) for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)


def shown(value: Interval | None, scale: float, decimals: int, sign: str = "") -> str:
    """`1.31 1.22-1.41`, and with the sign "+" `-0.12 -0.15/+0.09`.

    The mean alone where there is no interval, a dash where there is neither.
    """
    if value is None:
        return "-"
    form = f"{sign}z.{decimals}f"
    mean = f"{scale * value.value:{form}}"
    if value.low is None or value.high is None:
        return mean
    between = "/" if sign else "-"
    return f"{mean} {scale * value.low:{form}}{between}{scale * value.high:{form}}"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line and inside one cell."""
    text = re.sub(r"([\\`*\[\]<>|~&])", r"\\\1", one_line(text))
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)


def one_line(text: str) -> str:
    """Text without line breaks, nor anything else that cannot be printed."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
