"""Every question of a board with what each row scored, and which of them the rows differ on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mom_eval.results.board import Board
from mom_eval.results.rows import Answers, Line, entries
from mom_eval.results.store import Run, answers_file


@dataclass(frozen=True)
class Asked:
    """One question and the lines of the rows that answered it."""

    task: str
    id: str
    document: str
    lines: Mapping[int, tuple[Run, Line, str]]
    """Place of the row on the board -> its run, its line, and where that stands."""

    def disagreement(self, models: Sequence[int]) -> tuple[float, float]:
        """How much the models differ: 1 where half of them are right, then spread of their bits.

        The first is 4 p (1 - p) for a share p of right ones; the second, which orders equals, the
        standard deviation of bits per byte.
        """
        lines = [self.lines[place][1] for place in models if place in self.lines]
        if not lines:
            return 0.0, 0.0
        right = float(np.mean([line["contains"] for line in lines]))
        bits = [line["bits_per_byte"] for line in lines if line["bits_per_byte"] is not None]
        return round(4 * right * (1 - right), 6), float(np.std(bits)) if bits else 0.0

    def record(self, rows: int) -> list[Any]:
        """Task, id, document; of each row right or wrong, exact, F1, bits per byte.

        Short, as there may be ten thousand: `1`, `0` or `-` a row in the first two, null elsewhere.
        """
        lines = [self.lines[place][1] if place in self.lines else None for place in range(rows)]
        return [
            self.task,
            self.id,
            self.document,
            "".join("-" if line is None else str(int(line["contains"])) for line in lines),
            "".join("-" if line is None else str(int(line["exact"])) for line in lines),
            [None if line is None else round(line["f1"], 3) for line in lines],
            [None if line is None else _rounded(line["bits_per_byte"]) for line in lines],
        ]


def _rounded(bits: float | None) -> float | None:
    return None if bits is None else round(bits, 3)


def models_of(board: Board) -> list[int]:
    """The places of models among a board's rows; of all rows where code alone answered."""
    places = [place for place, row in enumerate(board.rows) if row.kind == "model"]
    return places or list(range(len(board.rows)))


def asked(board: Board, runs: Sequence[Run]) -> list[Asked]:
    """A board's questions, task by task in the order in which they were answered."""
    found: dict[tuple[str, str], Asked] = {}
    for place, row in enumerate(board.rows):
        for task, answers in _answers(row.runs, runs).items():
            for number, line in enumerate(answers.lines, 1):
                key = task, line["id"]
                one = found.setdefault(key, Asked(task, line["id"], line["document"], {}))
                where = f"{answers.run.folder.name}/{answers_file(task)}, line {number}"
                assert isinstance(one.lines, dict)
                one.lines[place] = answers.run, line, where
    order = {column.key: place for place, column in enumerate(board.columns)}
    return sorted(found.values(), key=lambda one: order[one.task])


def _answers(ids: Sequence[str], runs: Sequence[Run]) -> Mapping[str, Answers]:
    """Task -> lines of one row: its runs are runs of one model, so they make one entry."""
    members = [run for run in runs if run.info["id"] in ids]
    return entries(members)[0].answers if members else {}


def by_disagreement(questions: Sequence[Asked], models: Sequence[int]) -> list[int]:
    """Places of the questions, those first on which the models differ most."""
    keys = [question.disagreement(models) for question in questions]
    return sorted(range(len(questions)), key=lambda place: (*(-key for key in keys[place]), place))
