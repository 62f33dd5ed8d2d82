"""Accuracy of models on MQAR by length and pairs: counts -> table, JSON, files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mom_eval.results.markdown import escaped, grid, shown
from mom_eval.results.statistics import Interval, paired, share_of

SCHEMA: Final = 1


class Shape(NamedTuple):
    """One difficulty."""

    length: int
    pairs: int


class Row(NamedTuple):
    """One model."""

    label: str
    about: dict[str, Any]
    """`architecture`, `parameters`, `state_bytes` and `state_bytes_per_token` are shown."""
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


def state(row: Row) -> str:
    """Bytes that a sequence leaves behind: `12,296`, `8 + 256 a token`."""
    grows = row.about["state_bytes_per_token"]
    return f"{row.about['state_bytes']:,}" + (f" + {grows:,} a token" if grows else "")


def heading(board: MqarBoard) -> list[str]:
    """What was measured."""
    return [
        "Multi-query associative recall, synthetic",
        f"vocabulary {board.vocab:,}",
        f"{board.examples:,} examples a cell",
        f"seed {board.seed}",
        "all queries of an example count",
    ]


def markdown(board: MqarBoard) -> str:
    """The models; then accuracies and, where there are several, differences, a table a length."""
    what, *details = heading(board)
    models = [
        [row.label, row.about["architecture"], f"{row.about['parameters']:,}", state(row)]
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
    """Everything as plain values."""
    first = board.rows[0]
    return {
        "schema": SCHEMA,
        "vocab": board.vocab,
        "examples": board.examples,
        "seed": board.seed,
        "chance": board.chance,
        "versions": board.versions,
        "left_out": [shape._asdict() for shape in board.left_out],
        "models": [
            {
                "label": row.label,
                **row.about,
                "cells": [
                    {
                        **shape._asdict(),
                        **_record("accuracy", accuracy(row, shape)),
                        **(
                            {}
                            if row is first
                            else _record("against_first", difference(row, first, shape))
                        ),
                    }
                    for shape in board.shapes
                ],
            }
            for row in board.rows
        ],
    }


def as_json(board: MqarBoard) -> str:
    """The record as text."""
    return json.dumps(record(board), indent=1, ensure_ascii=False)


def write(board: MqarBoard, out: Path) -> list[Path]:
    """Write `mqar.json`, `mqar.md`, `mqar.png` and `mqar.svg`; returns the files.

    Raises:
        RunError: the folder cannot be written.
    """
    from mom_eval.results.plot_files import write_report
    from mom_eval.results.plot_mqar import mqar_figure

    texts = {"mqar.json": as_json(board), "mqar.md": markdown(board)}
    return write_report(texts, {"mqar": mqar_figure(board)}, out)


def _record(name: str, value: Interval) -> dict[str, float | None]:
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
