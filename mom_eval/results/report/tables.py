"""Boards for the page: the numbers of the leaderboard, and the words that it prints for them."""

from collections.abc import Mapping, Sequence
from typing import Any

from mom_eval.results import table
from mom_eval.results.board import METRICS, Board, Cell, Metric, Row
from mom_eval.results.cost_table import COST_NAMES, cost_words
from mom_eval.results.statistics import Interval


def record(board: Board, models: Mapping[str, int]) -> dict[str, Any]:
    """One board as plain values.

    Args:
        board: as `build` made it.
        models: id of a run -> place of its model on the page.
    """
    metrics = _metrics(board)
    return {
        "title": board.title,
        "caption": board.caption,
        "notes": list(board.notes),
        "synthetic": board.group.synthetic,
        "metric": board.metric,
        "metrics": {
            key: {"name": metric.name, "lower": metric.lower_is_better}
            for key, metric in metrics.items()
        },
        "columns": _columns(board),
        "rows": [_row(board, row, metrics, models) for row in board.rows],
    }


def _metrics(board: Board) -> dict[str, Metric]:
    """The board's own metric first."""
    if board.metric not in METRICS:
        return {board.metric: board.shown}
    return {board.metric: METRICS[board.metric], **METRICS}


def _columns(board: Board) -> list[dict[str, Any]]:
    """As the leaderboard heads them; `net` belongs to the board's own metric alone."""
    columns = []
    if board.shows_average:
        columns.append(_column("average", f"Average of {len(board.averaged)}"))
    if any("blind" in row.average.net for row in board.rows):
        columns.append(_column("net", "Net"))
    columns += [
        _column(column.key, column.name)
        | {"questions": column.questions, "few": bool(board.averaged) and not column.averaged}
        for column in board.columns
    ]
    return columns + [
        _column(key, name) | {"cost": True}
        for key, name in COST_NAMES.items()
        if any(getattr(row.costs, key) is not None for row in board.rows)
    ]


def _column(key: str, name: str) -> dict[str, Any]:
    return {"key": key, "name": name, "questions": None, "few": False, "cost": False}


def _row(
    board: Board, row: Row, metrics: Mapping[str, Metric], models: Mapping[str, int]
) -> dict[str, Any]:
    cells = {key: _cell(cell, metrics) for key, cell in row.cells.items()}
    if row.average.scores:
        cells["average"] = _cell(row.average, metrics)
    net = row.average.net.get("blind")
    if net is not None:
        text = table.difference_text(net, board.shown)
        cells["net"] = {"scores": {board.metric: _score(net, board.shown, text)}, "reason": None}
    for key in COST_NAMES:
        value = getattr(row.costs, key)
        if value is not None:
            score = [value, None, None, cost_words(row.costs, key)]
            cells[key] = {"scores": dict.fromkeys(metrics, score), "reason": None}
    known = [models[run] for run in row.runs if run in models]
    return {
        "name": row.name,
        "kind": row.kind,
        "model": known[0] if known else None,
        "cells": cells,
    }


def _cell(cell: Cell, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    scores = {
        key: _score(cell.scores[key], metric, table.score_text(cell.scores[key], metric))
        for key, metric in metrics.items()
        if key in cell.scores
    }
    return {"scores": scores, "reason": cell.reason}


def _score(score: Interval, metric: Metric, text: str) -> list[Any]:
    """Mean, the ends of its interval, and all three in words."""
    ends: Sequence[float | None] = (score.value, score.low, score.high)
    shown = [None if end is None else round(end * metric.scale, 6) for end in ends]
    return [*shown, text]
