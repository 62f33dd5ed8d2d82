"""A board of the recall tasks with its questions, as the page's browser of questions needs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mom_eval.results.board import Board
from mom_eval.results.group import LM_EVAL
from mom_eval.results.report.questions import Asked, asked, by_disagreement, models_of
from mom_eval.results.store import Run


@dataclass(frozen=True)
class Sheet:
    """A board and what was asked for it."""

    board: Board
    questions: Sequence[Asked]
    order: Sequence[int]
    """Places of the questions, those first on which models differ most."""

    def record(self, places: Sequence[int]) -> dict[str, Any]:
        """Some of the questions with all their scores, and which rows are models."""
        rows = len(self.board.rows)
        rank = {place: number for number, place in enumerate(self.order)}
        return {
            "models": models_of(self.board),
            "list": [self.questions[place].record(rows) for place in places],
            "rank": [rank[place] for place in places],
        }


def sheets(boards: Sequence[Board], runs: Sequence[Run]) -> dict[int, Sheet]:
    """Place of the board -> its sheet; lm-eval's own tasks keep no questions."""
    out = {}
    for place, board in enumerate(boards):
        if board.group.tasks != LM_EVAL:
            questions = asked(board, runs)
            order = by_disagreement(questions, models_of(board))
            out[place] = Sheet(board, questions, order)
    return out
