"""Answers made by code: what `contains` gives for nothing.

They go through the same path as models and stand in every leaderboard. Each answer is as long as
a model's may be, 48 tokens, but is not cut at a newline: line breaks become spaces, so that a row
shows what lies there.

    head    the start of the document as the prompt shows it
    echo    the question
    prior   the commonest value of the key in the training file (FDA, SWDE)
    lookup  what follows the key's first occurrence in the document (FDA, SWDE)
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from mom_eval.evalsuite.answerers import Answer
from mom_eval.tasks.questions import Question
from mom_eval.tasks.recall import ANSWER_LENGTH, Row
from mom_eval.tasks.tokens import Tokens

REFERENCES = ("head", "echo", "prior", "lookup")
BY_KEY = ("fda", "swde")


TrainRows = Callable[[str], Sequence[Row]]
"""Task -> the rows of its training file, none where there is no file."""


def why_not(reference: str, task: str, train_rows: TrainRows) -> str | None:
    """Why a reference cannot answer a task, for the dash in its cell; None if it can."""
    if reference in ("prior", "lookup") and task not in BY_KEY:
        return "the task has no key"
    if reference == "prior" and not train_rows(task):
        return f"no {task}.train file beside the task's"
    return None


class ReferenceAnswerer:
    """Answers by one of the four rules above."""

    def __init__(
        self, reference: str, tokens: Tokens, tasks: Sequence[str], train_rows: TrainRows
    ) -> None:
        """Only *prior* asks for the training rows of `tasks`."""
        rules = {"head": head, "echo": echo, "lookup": lookup}
        self.tokens, self.largest_batch, self.count = tokens, 0, None
        if reference == "prior":
            values = {task: commonest(train_rows(task)) for task in tasks}
            self.rule: Callable[[Question], str] = partial(prior, values)
        else:
            self.rule = rules[reference]

    def answers(
        self, questions: Sequence[Question], rows: int | None
    ) -> Iterator[list[tuple[Question, Answer]]]:
        """The rule's text, cut to an answer's length; of all questions at once."""
        self.largest_batch = max(self.largest_batch, len(questions))
        yield [(question, Answer(self._cut(self.rule(question)), None)) for question in questions]

    def _cut(self, text: str) -> str:
        kept = self.tokens.decode(self.tokens.encode(text)[:ANSWER_LENGTH])
        return re.sub(r"\s*\n\s*", " ", kept)


def head(question: Question) -> str:
    """The document from its start."""
    return question.document


def echo(question: Question) -> str:
    """The question itself."""
    return question.question


def lookup(question: Question) -> str:
    """The document behind the key's first occurrence; nothing where the key does not occur."""
    match = re.search(re.escape(question.key or ""), question.document, re.IGNORECASE)
    return question.document[match.end() :] if match else ""


def prior(values: dict[str, dict[str, str]], question: Question) -> str:
    """The training file's commonest value of the key; nothing for a key it does not have."""
    return values[question.task].get((question.key or "").lower(), "")


def commonest(rows: Sequence[Row]) -> dict[str, str]:
    """Key in lower case -> its commonest value, the first met among equals."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row["key"].lower(), Counter())[row["value"]] += 1
    return {key: count.most_common(1)[0][0] for key, count in counts.items()}
