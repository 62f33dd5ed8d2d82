"""Recall questions to train on: prompts of `mom-eval run` with their answers."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mom_eval.errors import DataError, SettingError
from mom_eval.evalsuite.train.ahead import in_processes, spare_cores
from mom_eval.evalsuite.train.documents import Document, Reader
from mom_eval.evalsuite.train.tokenized import Tokenized, joined, kept, labelled
from mom_eval.tasks import TASKS, data, files
from mom_eval.tasks.mqar import Ids
from mom_eval.tasks.questions import Question, prepare
from mom_eval.tasks.recall import ANSWER_LENGTH, RECALL
from mom_eval.tasks.schema import Row
from mom_eval.tasks.score import contains
from mom_eval.tasks.setting import Setting
from mom_eval.tasks.tokens import HFTokens

DOCUMENTS = 32
"""Synthetic documents that are made at once, a task."""
QUESTIONS = 32
"""That are drawn on such documents at a time."""
DRAWS = 64
"""Of so many at most, until a block is full."""


@dataclass(frozen=True, kw_only=True)
class RecallSource:
    """Questions of the recall tasks with their answers, in the prompts of `mom-eval run`.

    The answer is the first alias that stands in the prompt; a question without one, of which the
    window has lost the answer, would teach to guess and is left out.
    """

    kind: ClassVar[str] = "recall"
    paths: ClassVar[tuple[str, ...]] = ("data",)
    needs_tokenizer: ClassVar[bool] = True
    data: str
    """A folder of `<task>.train.*` files (held out: `<task>.*`), or `sample`: synthetic documents
    without end, which share no name with the ones that are asked in evaluation."""
    length: int
    """Tokens of prompt and answer, as --context-length."""
    tasks: tuple[str, ...] = tuple(TASKS)
    asked: int = 1
    """Questions on a document at most. Further ones stand behind the answer to the one before, if
    their answers are in what the window has left of it; so more is asked of the same tokens."""
    documents: int | None = None
    """Of the sample: so many synthetic documents, which are made by all cores at once and kept for
    other trainings; None: fresh ones without end, made while training."""
    answers_only: bool = False
    """Whether the loss is taken on answers alone."""
    emphasis: int = 1
    """How many times a token of an answer counts in the loss: there are few of them in a prompt."""
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.tasks or not set(self.tasks) <= set(TASKS):
            raise ValueError(f"tasks = {list(self.tasks)}; known: {', '.join(TASKS)}")
        if self.length < 2 * ANSWER_LENGTH:
            raise ValueError(
                f"length = {self.length}; beside an answer of {ANSWER_LENGTH} tokens it must be"
                f" {2 * ANSWER_LENGTH} or more"
            )
        if self.asked < 1:
            raise ValueError(f"asked = {self.asked}; it must be 1 or more")
        if self.emphasis < 1:
            raise ValueError(f"emphasis = {self.emphasis}; it must be 1 or more")
        if self.documents is not None and (self.documents < 1 or self.data != "sample"):
            raise ValueError(
                f"documents = {self.documents}; it must be 1 or more, and is for data = 'sample'"
            )

    @property
    def name(self) -> str:
        """`recall sample`, `recall fda,swde`."""
        which = "" if self.tasks == tuple(TASKS) else f" {','.join(self.tasks)}"
        return f"recall{' sample' if self.data == 'sample' else ''}{which}"

    def reader(self, tokens: HFTokens | None, vocab: int, seed: int, *, heldout: bool) -> Reader:
        """Build the questions of a folder at once, those of the sample a block at a time."""
        assert tokens is not None
        if self.data == "sample":
            return self._synthetic(tokens, seed, heldout=heldout)
        found = [self._of_file(task, tokens, heldout=heldout) for task in self.tasks]
        ends = np.cumsum([0, *(one.documents for one in found)])
        if not ends[-1]:
            raise DataError(
                f"no prompt of {self.length} tokens from {self.data} holds its answer; take a"
                " larger length"
            )

        def document(n: int) -> Document:
            which = int(np.searchsorted(ends, n, side="right")) - 1
            return found[which].document(n - int(ends[which]), *self._counts)

        return Reader(int(ends[-1]), document, sum(one.left_out for one in found))

    def _of_file(self, task: str, tokens: HFTokens, *, heldout: bool) -> Tokenized:
        """The questions of one task's file, with their answers.

        Raises DataError where there is none, or a document to train on is one that is held out.
        """
        source = data.resolve(self.data)
        assert source.folder is not None
        found = data.load(task, source, context_length=self.length)
        path = None if heldout else files.find(source.folder, f"{task}.train")
        if path is None and not heldout:
            raise DataError(
                f"{self.data} holds no {task}.train.*; leave {task} out of tasks, or add it"
            )
        about = {"sha256": [found.sha256, None if path is None else files.sha256(path)]}
        about |= {"task": task, "tokenizer": tokens.sha256}
        about |= {"length": self.length, "asked": self.asked}

        def make() -> Tokenized:
            asked = found.rows if heldout else found.train_rows() or []
            if path is not None:
                _check_apart(task, asked, found.rows, path)
            made = _with_answers(prepare(task, asked, tokens, self._setting).questions)
            # In threads, which the tokenizer lets run side by side.
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                ids = list(threads.map(lambda some: self._ids(some, tokens), self._lots(made)))
            return joined(ids, len(asked) - len(made))

        return kept(about, make)

    def _synthetic(self, tokens: HFTokens, seed: int, *, heldout: bool) -> Reader:
        split = "test" if heldout else "train"

        @lru_cache(maxsize=2)
        def block(number: int) -> list[list[Question]]:
            made = []
            for task in self.tasks:
                made += self._block(task, tokens, split, _block_seed(seed, number))
            order = np.random.default_rng([seed, number]).permutation(len(made))
            return [made[place] for place in order]

        def document(n: int) -> Document:
            number, place = divmod(n, DOCUMENTS * len(self.tasks))
            return labelled(*self._ids(block(number)[place], tokens), *self._counts)

        together = DOCUMENTS * len(self.tasks)
        wanted = self.documents
        if wanted is None:
            return Reader(None, document, together=together)
        about = {"sample": split, "seed": seed, "documents": wanted, "tasks": self.tasks}
        about |= {"tokenizer": tokens.sha256, "length": self.length, "asked": self.asked}

        def of_block(number: int) -> list[tuple[Ids, NDArray[np.bool_]]]:
            return [self._ids(lot, tokens) for lot in block(number)]

        def make() -> Tokenized:
            blocks = in_processes(of_block, range(-(-wanted // together)), spare_cores())
            return joined(list(islice(chain.from_iterable(blocks), wanted)))

        found = kept(about, make)
        return Reader(found.documents, lambda n: found.document(n, *self._counts))

    @property
    def _counts(self) -> tuple[int, int]:
        """How many times a token of an answer counts, and another."""
        return self.emphasis, 0 if self.answers_only else 1

    def _block(self, task: str, tokens: HFTokens, split: str, seed: int) -> list[list[Question]]:
        """Questions on `DOCUMENTS` documents, of as many draws as it takes."""
        made: list[list[Question]] = []
        for draw in range(DRAWS):
            rows = data.sample.generate(
                task,
                split,
                seed=seed + (draw << 64),
                questions=QUESTIONS,
                tokens=max(self.length // 2, data.sample.FEWEST_TOKENS),
            )
            questions = _with_answers(prepare(task, rows, tokens, self._setting).questions)
            made += self._lots(questions)
            if len(made) >= DOCUMENTS:
                return made[:DOCUMENTS]
        raise SettingError(
            f"prompts of {self.length} tokens hold too few of the sample's answers to {task}; take"
            f" a larger length, or leave {task} out of tasks"
        )

    def _lots(self, questions: Sequence[Question]) -> list[list[Question]]:
        """Those asked one after the other: at most `asked` on one document, in its first window."""
        of_document: dict[str, list[Question]] = {}
        for question in questions:
            of_document.setdefault(question.document_id, []).append(question)
        lots = []
        for left in of_document.values():
            while left:
                document = left[0].document
                fit = [one for one in left[1:] if contains(document, one.answers)]
                lots.append([left[0], *fit[: self.asked - 1]])
                taken = {one.id for one in lots[-1]}
                left = [one for one in left if one.id not in taken]
        return lots

    @property
    def _setting(self) -> Setting:
        return Setting(context_length=self.length, keep_dropped=True)

    def _ids(self, lot: Sequence[Question], tokens: HFTokens) -> tuple[Ids, NDArray[np.bool_]]:
        """Ids of a prompt, its answer and what is asked behind it; whether each is of an answer."""
        text, answers = "", []
        for place, question in enumerate(lot):
            text += question.question if place else question.prompt
            begin = len(text)
            text += f" {question.answers[0]}\n"
            answers.append((begin, len(text)))
        length = self.length + ANSWER_LENGTH * (len(lot) - 1)
        found, spans = tokens.encode_with_spans(text)
        # A token that joins the prompt's end with what follows is the answer's first.
        asked = [any(a < end and b > begin for begin, end in answers) for a, b in spans]
        return np.array(found[:length], np.int64), np.array(asked[:length], np.bool_)


def _check_apart(task: str, rows: Sequence[Row], heldout: Sequence[Row], path: Path) -> None:
    of = RECALL[task].document
    both = {of(row).strip() for row in rows} & {of(row).strip() for row in heldout}
    if both:
        raise DataError(
            f"{len(both)} documents of {path} are held out in {task}.* beside it too, the first"
            f" begins {min(both)[:40]!r}; take them out of one of the two"
        )


def _with_answers(questions: Sequence[Question]) -> list[Question]:
    """Questions of which an answer stands in the prompt, each with the first such answer alone."""
    out = []
    for question in questions:
        standing = [one for one in question.answers if contains(question.prompt, [one])]
        if standing:
            out.append(replace(question, answers=(standing[0],)))
    return out


def _block_seed(seed: int, number: int) -> int:
    """A seed of its own for each block; the evaluation's sample has seed 0."""
    return seed * 1_000_003 + number + 1
