"""Bits per byte of a text by context length and by position: counts -> table, CSV, JSON, files."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mom_eval.results.markdown import escaped, grid, shown
from mom_eval.results.statistics import Interval, ratio
from mom_eval.results.table import as_csv, columns_of

SCHEMA: Final = 1
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Perplexity:
    """What was counted, one column a span of the text; a span is as long as the longest context."""

    about: dict[str, Any]
    """Model, tokenizer and text; `label`, `tokenizer.id`, `text.file` are shown."""
    training_length: int | None
    """Tokens that the model was trained for; None where nothing says."""
    lengths: tuple[int, ...]
    """Context lengths in tokens, shortest first."""
    bits: Floats
    """[lengths, spans], of the tokens that count: the same ones at every length."""
    tokens: Floats
    """[spans]."""
    bytes: Floats
    """[spans], UTF-8."""
    bits_at: Floats
    """[bins, spans], at the longest context, by the bins of `position_bins`."""
    bytes_at: Floats
    """[bins, spans]."""


class AtLength(NamedTuple):
    """One context length."""

    length: int
    bits_per_byte: Interval
    change: Interval | None
    """Against the shortest length, on the same bytes; None for that one."""
    perplexity: float
    """A token: 2 to the power of its mean bits."""


class AtPosition(NamedTuple):
    """The tokens at some positions in the longest context."""

    first: int
    last: int
    """Tokens read before; both ends belong to the bin."""
    bits_per_byte: Interval


def position_bins(longest: int) -> list[tuple[int, int]]:
    """Positions 1-15, 16-31, 32-63, ... to the last of a context of `longest` tokens.

    The first bins of an octave each hold so few bytes that nothing can be told of them.
    """
    firsts = [1, *(2**power for power in range(4, (longest - 1).bit_length()))]
    return [(low, high - 1) for low, high in pairwise([*firsts, longest])]


def by_length(found: Perplexity) -> list[AtLength]:
    """Bits per byte at each context length, with intervals over spans."""
    spans = [str(place) for place in range(len(found.bytes))]
    out = []
    for place, length in enumerate(found.lengths):
        bits = found.bits[place]
        change = ratio(bits - found.bits[0], found.bytes, spans) if place else None
        perplexity = 2 ** float(bits.sum() / found.tokens.sum())
        out.append(AtLength(length, ratio(bits, found.bytes, spans), change, perplexity))
    return out


def by_position(found: Perplexity) -> list[AtPosition]:
    """Bits per byte by position; bins without a byte are left out."""
    spans = [str(place) for place in range(len(found.bytes))]
    bins = position_bins(found.lengths[-1])
    return [
        AtPosition(first, last, ratio(bits, held, spans))
        for (first, last), bits, held in zip(bins, found.bits_at, found.bytes_at, strict=True)
        if held.sum()
    ]


def heading(about: Mapping[str, Any]) -> list[str]:
    """What was measured on what, of a line: the model, then the text and how much of it."""
    spans, trained = about["spans"], about["training_length"]
    return [
        f"Bits per byte of {about['label']}",
        f"{about['text']}",
        f"{spans:,} {'spans' if spans > 1 else 'span'} of {about['span_length']:,} tokens",
        f"{about['bytes']:,} bytes",
        f"tokenizer {about['tokenizer']}",
        *([f"trained at {trained:,}"] if trained else []),
    ]


def lines(found: Perplexity) -> list[dict[str, Any]]:
    """A line a context length, then one a bin of positions; `by` says which.

    What is not known, and what the other kind of line says, is None or not there.
    """
    # Where a line stands comes first.
    about = _about(found) | dict.fromkeys(("by", "length", "first", "last"))
    longest = found.lengths[-1]
    return [
        *(about | {"by": "length"} | _length_record(found, row) for row in by_length(found)),
        *(
            about | {"by": "position", "length": longest} | _position_record(row)
            for row in by_position(found)
        ),
    ]


def _about(found: Perplexity) -> dict[str, Any]:
    return {
        "label": found.about["label"],
        "text": found.about["text"]["file"],
        "tokenizer": found.about["tokenizer"]["id"],
        "training_length": found.training_length,
        "span_length": found.lengths[-1],
        **_size(found),
    }


def _size(found: Perplexity) -> dict[str, int]:
    counted = {"tokens": int(found.tokens.sum()), "bytes": int(found.bytes.sum())}
    return {"spans": len(found.bytes), **counted}


def _length_record(found: Perplexity, row: AtLength) -> dict[str, Any]:
    return {
        "length": row.length,
        **columns_of("bits_per_byte", row.bits_per_byte),
        **columns_of("change", row.change),
        "change_against": found.lengths[0] if row.change else None,
        "perplexity": row.perplexity if math.isfinite(row.perplexity) else None,
    }


def _position_record(row: AtPosition) -> dict[str, Any]:
    return {
        "first": row.first,
        "last": row.last,
        **columns_of("bits_per_byte", row.bits_per_byte),
    }


def markdown(found: Perplexity) -> str:
    """Two tables, by context length and by position."""
    what, *details = heading(_about(found))
    lengths = [
        [
            f"{row.length:,}",
            shown(row.bits_per_byte, 1, 3),
            shown(row.change, 1, 3, "+"),
            f"{row.perplexity:,.2f}",
        ]
        for row in by_length(found)
    ]
    positions = [
        [_positions(row), f"{row.bits_per_byte.value:.3f}", _ends(row.bits_per_byte)]
        for row in by_position(found)
    ]
    change = f"against {found.lengths[0]:,}"
    notes = [
        "- The text is cut anew at each length; the same bytes count at every one of them, and"
        " tokens that open a context at any length do not."
    ]
    if len(found.bytes) == 1:
        notes.append("- One span says nothing of others, so there are no intervals.")
    return "\n\n".join(
        (
            f"## {escaped(what)}",
            escaped(", ".join(details)),
            grid(["Context", "Bits per byte", change, "Perplexity a token"], lengths),
            f"By position in a context of {found.lengths[-1]:,} tokens:",
            grid(["Position", "Bits per byte", "95 %"], positions),
            "\n".join(notes),
        )
    )


def record(found: Perplexity) -> dict[str, Any]:
    """Everything as plain values; what is not known is None."""
    return {
        "schema": SCHEMA,
        **found.about,
        "training_length": found.training_length,
        **_size(found),
        "lengths": [_length_record(found, row) for row in by_length(found)],
        "positions": [_position_record(row) for row in by_position(found)],
    }


def as_json(found: Perplexity) -> str:
    """The record as text."""
    return json.dumps(record(found), indent=1, ensure_ascii=False)


def write(found: Perplexity, out: Path) -> list[Path]:
    """Write `ppl.csv`, `ppl.json`, `ppl.png` and `ppl.svg`; returns the files.

    Raises:
        RunError: the folder cannot be written.
    """
    from mom_eval.results.frames import as_frame
    from mom_eval.results.plot_files import write_report
    from mom_eval.results.plot_perplexity import perplexity_figure

    rows = lines(found)
    texts = {"ppl.csv": as_csv(rows).rstrip("\n"), "ppl.json": as_json(found)}
    return write_report(texts, {"ppl": perplexity_figure(as_frame(rows))}, out)


def _ends(value: Interval) -> str:
    if value.low is None or value.high is None:
        return "-"
    return f"{value.low:.3f}-{value.high:.3f}"


def _positions(row: AtPosition) -> str:
    return f"{row.first:,}" if row.first == row.last else f"{row.first:,}-{row.last:,}"
