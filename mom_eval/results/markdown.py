"""Tables in Markdown that a terminal shows as well."""

import re
from collections.abc import Sequence


def grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned for the eye and no wider than its words."""
    rows = [[escaped(text) for text in line] for line in (head, *lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * max(width, 3) for width in widths])
    padded = [map(str.ljust, row, widths) for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line and inside one cell."""
    text = re.sub(r"([\\`*\[\]<>|~&])", r"\\\1", one_line(text))
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)


def one_line(text: str) -> str:
    """Text without line breaks, nor anything else that cannot be printed."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
