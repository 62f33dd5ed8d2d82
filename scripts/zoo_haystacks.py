"""The part of scripts/zoo_results.py on haystacks: recall by length, depth and what it costs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from zoo_tables import by_weights, frame, size_text

from mom_eval.results.board import METRICS, Board
from mom_eval.results.markdown import grid
from mom_eval.results.plot_haystack import haystack_by_depth
from mom_eval.results.plot_pareto import recall_by_cost
from mom_eval.results.table import score_text

MIDDLE: Final = (2048, 0.5)
"""Length and depth of the plot beside costs: as long as the documents that were trained on."""


def tables(boards: Iterable[Board]) -> list[str]:
    """A part a source of passages."""
    return [_table(some) for some in _by_source(boards)]


def figures(boards: Iterable[Board]) -> Iterator[tuple[str, Any]]:
    """Names and plots; of real documents small models contain next to nothing, so bits are shown.

    Of the sample also what they recall from the middle of 2,048 tokens, beside what models cost.
    """
    for some in _by_source(boards):
        if not some[0].group.synthetic:
            shown = [replace(board, metric="bits_per_byte") for board in some]
            yield "haystack", haystack_by_depth(frame(shown))
            continue
        middle = [board for board in some if (board.group.haystack, board.group.depth) == MIDDLE]
        if middle:
            yield "haystack-cost", recall_by_cost(frame(middle))
        for name, lines in by_weights(frame(some), "row"):
            yield f"haystack-{name}", haystack_by_depth(lines)


def _by_source(boards: Iterable[Board]) -> list[list[Board]]:
    """Real documents and made up ones have haystacks of their own."""
    of: dict[str, list[Board]] = {}
    for board in boards:
        of.setdefault(board.group.source, []).append(board)
    return [of[source] for source in sorted(of)]


def _table(boards: Sequence[Board]) -> str:
    """Bits per byte of the answer and contains by length and depth, beside what a model costs."""
    lengths = sorted({board.group.haystack or 0 for board in boards})
    places = {(board.group.haystack, board.group.depth): board for board in boards}
    depths = sorted({board.group.depth or 0.0 for board in boards})
    # Attention's state grows, so what a model costs is that of the shortest it was asked.
    longest_first = sorted(boards, key=lambda board: board.group.haystack or 0, reverse=True)
    rows = {row.name: row for board in longest_first for row in board.rows if row.kind == "model"}
    parts = []
    for metric, title in (("bits_per_byte", "Bits per byte"), ("contains", "contains, %")):
        lines = [
            [name, f"{depth:g}", *(
                _cell(places.get((length, depth)), name, metric) for length in lengths
            ), *map(size_text, (rows[name].costs.state_bytes, rows[name].costs.decode_bytes))]
            for name in sorted(rows)
            for depth in depths
        ]  # fmt: skip
        head = [title, "Depth", *(f"{length:,}" for length in lengths), "State", "Moved a token"]
        parts.append(grid(head, lines))
    tasks = ", ".join(column.name for column in boards[0].columns)
    tasks = f"Average of {tasks}" if len(boards[0].columns) > 1 else tasks
    counts = {
        board.group.haystack: sum(column.questions for column in board.columns) for board in boards
    }
    synthetic = boards[0].group.synthetic
    source = "synthetic sample" if synthetic else f"{boards[0].group.source} data"
    asked = ", ".join(f"{counts[length]:,} at {length:,}" for length in lengths)
    words = (
        f"{tasks}: the passage among others, to so many tokens; depth 0 is the beginning. Questions"
        f" a depth: {asked} tokens. The models were trained on 2,048 tokens; those with attention"
        " are made for no more. State, and bytes read and written for one more token, are those"
        f" behind {lengths[0]:,} tokens."
    )
    return f"## Haystack, {source}\n\n{words}\n\n" + "\n\n".join(parts)


def _cell(board: Board | None, name: str, metric: str) -> str:
    row = next((row for row in board.rows if row.name == name), None) if board else None
    if board is None or row is None:
        return "-"
    # Few questions of one task are shown, and averaged with nothing.
    only = len(board.columns) == 1 and not board.averaged
    cell = row.cells.get(board.columns[0].key) if only else row.average
    return score_text(cell and cell.scores.get(metric), METRICS[metric])
