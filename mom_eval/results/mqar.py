"""Accuracy of models on MQAR by length and pairs: counts -> table, CSV, JSON, files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mom_eval.results.markdown import escaped, grid, shown
from mom_eval.results.statistics import Interval, paired, share_of
from mom_eval.results.table import as_csv, columns_of

SCHEMA: Final = 1
ABOUT: Final = ("architecture", "parameters", "state_bytes", "state_bytes_per_token")
"""Of a model."""


class Shape(NamedTuple):
    """One difficulty."""

    length: int
    pairs: int


class Row(NamedTuple):
    """One model."""

    label: str
    about: dict[str, Any]
    """Those of `ABOUT` are shown."""
    right: dict[Shape, NDArray[np.bool_]]
    """[examples, pairs]: which queries were answered right."""


@dataclass(frozen=True, kw_only=True)
class MqarBoard:
    """Models of one vocabulary on the same examples."""

    vocab: int
    examples: int
    seed: int
    shapes: list[Shape]
    rows: list[Row]
    left_out: list[Shape]
    """Asked for, but the pairs and their queries do not fit the length."""
    versions: dict[str, str]

    @property
    def chance(self) -> float:
        """Of a guess among all values."""
        return 1 / self.values

    @property
    def values(self) -> int:
        """Tokens that are values."""
        return self.vocab - self.vocab // 2

    @property
    def lengths(self) -> list[int]:
        """Shortest first."""
        return sorted({shape.length for shape in self.shapes})

    def at(self, length: int) -> list[Shape]:
        """The shapes of a length, fewest pairs first."""
        return sorted(shape for shape in self.shapes if shape.length == length)


def accuracy(row: Row, shape: Shape) -> Interval:
    """The share of queries that are answered right; the queries of an example are one cluster."""
    right = row.right[shape]
    return share_of(right.sum(1, dtype=float), np.full(len(right), float(shape.pairs)))


def difference(row: Row, first: Row, shape: Shape) -> Interval:
    """A model's accuracy less the first one's, on the same queries."""
    a, b = row.right[shape], first.right[shape]
    examples = [str(example) for example in range(len(a)) for _ in range(shape.pairs)]
    return paired(a.ravel().astype(float), b.ravel().astype(float), examples)


def state(about: Mapping[str, Any]) -> str:
    """Bytes that a sequence leaves behind, of a line: `12,296`, `8 + 256 a token`."""
    grows = about["state_bytes_per_token"]
    return f"{about['state_bytes']:,}" + (f" + {grows:,} a token" if grows else "")


def heading(about: Mapping[str, Any]) -> list[str]:
    """What was measured, of a line."""
    return [
        "Multi-query associative recall, synthetic",
        f"vocabulary {about['vocab']:,}",
        f"{about['examples']:,} examples a cell",
        f"seed {about['seed']}",
        "all queries of an example count",
    ]


def lines(board: MqarBoard) -> list[dict[str, Any]]:
    """A line a model and shape. Shares are from 0 to 1; what is not known is None."""
    return [
        {
            **_asked(board),
            "label": row.label,
            **{name: row.about[name] for name in ABOUT},
            **_cell(board, row, shape),
        }
        for row in board.rows
        for shape in board.shapes
    ]


def _asked(board: MqarBoard) -> dict[str, Any]:
    names = ("vocab", "examples", "seed", "chance")
    return {name: getattr(board, name) for name in names}


def _cell(board: MqarBoard, row: Row, shape: Shape) -> dict[str, Any]:
    first = board.rows[0]
    against = None if row is first else difference(row, first, shape)
    return {
        **shape._asdict(),
        **columns_of("accuracy", accuracy(row, shape)),
        **columns_of("against_first", against),
    }


def markdown(board: MqarBoard) -> str:
    """The models; then accuracies and, where there are several, differences, a table a length."""
    what, *details = heading(_asked(board))
    models = [
        [row.label, row.about["architecture"], f"{row.about['parameters']:,}", state(row.about)]
        for row in board.rows
    ]
    parts = [
        f"## {escaped(what)}",
        escaped(", ".join(details)),
        grid(["Model", "Architecture", "Parameters", "State, bytes"], models),
    ]
    for length in board.lengths:
        parts += [f"Queries answered right at {length:,} tokens, %:", _accuracies(board, length)]
        if len(board.rows) > 1:
            first = escaped(board.rows[0].label)
            parts += [f"Against {first}, in points:", _differences(board, length)]
    notes = [
        f"- Chance draws among all {board.values:,} values, *any value read* among those of the"
        " example. 95 % intervals are over examples."
    ]
    if board.left_out:
        words = ", ".join(f"{shape.length}/{shape.pairs}" for shape in board.left_out)
        notes.append(f"- Left out (length/pairs), since pairs and queries do not fit: {words}.")
    return "\n\n".join([*parts, "\n".join(notes)])


def _accuracies(board: MqarBoard, length: int) -> str:
    shapes = board.at(length)
    lines = [
        [row.label, *(shown(accuracy(row, shape), 100, 1) for shape in shapes)]
        for row in board.rows
    ]
    lines.append(["any value read", *(f"{100 / shape.pairs:.1f}" for shape in shapes)])
    lines.append(["chance", *[f"{100 * board.chance:.1f}"] * len(shapes)])
    return grid(["Model", *map(_column, shapes)], lines)


def _differences(board: MqarBoard, length: int) -> str:
    shapes, (first, *others) = board.at(length), board.rows
    lines = [
        [row.label, *(shown(difference(row, first, shape), 100, 1, "+") for shape in shapes)]
        for row in others
    ]
    return grid(["Model", *map(_column, shapes)], lines)


def _column(shape: Shape) -> str:
    return f"{shape.pairs:,} {'pairs' if shape.pairs > 1 else 'pair'}"


def record(board: MqarBoard) -> dict[str, Any]:
    """Everything as plain values; what is not known is None."""
    return {
        "schema": SCHEMA,
        **_asked(board),
        "versions": board.versions,
        "left_out": [shape._asdict() for shape in board.left_out],
        "models": [
            {
                "label": row.label,
                **row.about,
                "cells": [_cell(board, row, shape) for shape in board.shapes],
            }
            for row in board.rows
        ],
    }


def as_json(board: MqarBoard) -> str:
    """The record as text."""
    return json.dumps(record(board), indent=1, ensure_ascii=False)


def write(board: MqarBoard, out: Path) -> list[Path]:
    """Write `mqar.md`, `mqar.csv`, `mqar.json`, `mqar.png` and `mqar.svg`; returns the files.

    Raises:
        RunError: the folder cannot be written.
    """
    from mom_eval.results.frames import as_frame
    from mom_eval.results.plot_files import write_report
    from mom_eval.results.plot_mqar import mqar_figure

    found = lines(board)
    texts = {
        "mqar.md": markdown(board),
        "mqar.csv": as_csv(found).rstrip("\n"),
        "mqar.json": as_json(board),
    }
    return write_report(texts, {"mqar": mqar_figure(as_frame(found))}, out)
