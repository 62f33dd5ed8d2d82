"""Accuracy of models on MQAR by length and pairs: counts -> table, JSON, files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mom_eval.results.markdown import escaped, grid
from mom_eval.results.statistics import Interval, paired, proportion
from mom_eval.results.store import disk_errors

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
        return 1 / (self.vocab - self.vocab // 2)


def accuracy(row: Row, shape: Shape) -> Interval:
    """The share of queries that are answered right; the queries of an example are one cluster."""
    right = row.right[shape]
    return proportion(right.ravel().astype(float), _examples(right))


def difference(row: Row, first: Row, shape: Shape) -> Interval:
    """A model's accuracy less the first one's, on the same queries."""
    a, b = row.right[shape], first.right[shape]
    return paired(a.ravel().astype(float), b.ravel().astype(float), _examples(a))


def heading(board: MqarBoard) -> list[str]:
    """What was measured."""
    return [
        "Multi-query associative recall, synthetic",
        f"vocabulary {board.vocab:,}",
        f"{board.examples:,} examples a cell",
        "all queries of an example count",
    ]


def markdown(board: MqarBoard) -> str:
    """A table of accuracies, and one of differences where there are several models."""
    what, *details = heading(board)
    names = [f"{shape.length}/{shape.pairs}" for shape in board.shapes]
    lines = [
        [row.label, row.about["architecture"], f"{row.about['parameters']:,}", _state(row)]
        + [_shown(accuracy(row, shape)) for shape in board.shapes]
        for row in board.rows
    ]
    lines.append(["chance", "", "", ""] + [f"{100 * board.chance:.1f}"] * len(names))
    parts = [
        f"## {escaped(what)}",
        escaped(", ".join(details)),
        "Queries answered right in %, by length/pairs, with 95 % intervals:",
        grid(["Model", "Architecture", "Parameters", "State, bytes", *names], lines),
    ]
    if len(board.rows) > 1:
        first, *others = board.rows
        lines = [
            [row.label] + [_shown(difference(row, first, shape), "+") for shape in board.shapes]
            for row in others
        ]
        parts += [f"Against {escaped(first.label)}, in points:", grid(["Model", *names], lines)]
    if board.left_out:
        words = ", ".join(f"{shape.length}/{shape.pairs}" for shape in board.left_out)
        parts.append(f"- Left out, since pairs and queries do not fit: {words}.")
    return "\n\n".join(parts)


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
    from mom_eval.results.plot_files import write_figures
    from mom_eval.results.plot_mqar import mqar_figure

    texts = {"mqar.json": as_json(board), "mqar.md": markdown(board)}
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (out / name).write_text(text + "\n", encoding="utf-8")
    figures = write_figures(lambda: {"mqar": mqar_figure(board)}, out)
    return [*(out / name for name in texts), *figures]


def _examples(right: NDArray[np.bool_]) -> list[str]:
    examples, pairs = right.shape
    return [str(example) for example in range(examples) for _ in range(pairs)]


def _state(row: Row) -> str:
    grows = row.about["state_bytes_per_token"]
    return f"{row.about['state_bytes']:,}" + (f" + {grows:,} a token" if grows else "")


def _record(name: str, value: Interval) -> dict[str, float | None]:
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}


def _shown(value: Interval, sign: str = "") -> str:
    """`97.1 96.5-97.6`; `+1.2 +0.8/+1.6` with a sign."""
    shown = f"{100 * value.value:{sign}z.1f}"
    if value.low is None or value.high is None:
        return shown
    between = "/" if sign else "-"
    return f"{shown} {100 * value.low:{sign}z.1f}{between}{100 * value.high:{sign}z.1f}"
