"""Recall questions to train on: prompts of `mom-eval run` with their answers."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from mom_eval.errors import DataError, SettingError
from mom_eval.evalsuite.train.documents import Document, Reader, encoded
from mom_eval.evalsuite.train.tokenized import Tokenized, joined, kept
from mom_eval.tasks import TASKS, data, files
from mom_eval.tasks.mqar import IGNORE, Ids
from mom_eval.tasks.questions import Question, prepare
from mom_eval.tasks.recall import ANSWER_LENGTH, RECALL
from mom_eval.tasks.schema import Row
from mom_eval.tasks.score import contains
from mom_eval.tasks.setting import Setting
from mom_eval.tasks.tokens import HFTokens

QUESTIONS = 32
"""Synthetic recall questions that are made at once, a task."""
DRAWS = 64
"""Of so many at most, until all prompts of a block hold their answers."""
ROWS = 128
"""Of a file, that a thread makes questions of at once; of whole documents, so a few more."""


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
    answers_only: bool = False
    """Whether the loss is taken on the answer alone."""
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.tasks or not set(self.tasks) <= set(TASKS):
            raise ValueError(f"tasks = {list(self.tasks)}; known: {', '.join(TASKS)}")
        if self.length < 2 * ANSWER_LENGTH:
            raise ValueError(
                f"length = {self.length}; beside an answer of {ANSWER_LENGTH} tokens it must be"
                f" {2 * ANSWER_LENGTH} or more"
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
            return found[which].document(n - int(ends[which]))

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
        about |= {"length": self.length, "answers_only": self.answers_only}

        def make() -> Tokenized:
            asked = found.rows if heldout else found.train_rows() or []
            if path is not None:
                _check_apart(task, asked, found.rows, path)
            made = _with_answers(_prepared(task, asked, tokens, self._setting))
            # Again in threads, which the tokenizer lets run side by side.
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                ids = list(threads.map(lambda question: self._ids(question, tokens), made))
            return joined(ids, len(asked) - len(made))

        return kept(about, make)

    def _synthetic(self, tokens: HFTokens, seed: int, *, heldout: bool) -> Reader:
        split = "test" if heldout else "train"

        @lru_cache(maxsize=2)
        def block(number: int) -> list[Question]:
            made = []
            for task in self.tasks:
                made += self._block(task, tokens, split, _block_seed(seed, number))
            order = np.random.default_rng([seed, number]).permutation(len(made))
            return [made[place] for place in order]

        def document(n: int) -> Document:
            number, place = divmod(n, QUESTIONS * len(self.tasks))
            return self._document(block(number)[place], tokens)

        return Reader(None, document, together=QUESTIONS * len(self.tasks))

    def _block(self, task: str, tokens: HFTokens, split: str, seed: int) -> list[Question]:
        """`QUESTIONS` questions, of as many draws as it takes."""
        made: list[Question] = []
        for draw in range(DRAWS):
            rows = data.sample.generate(
                task,
                split,
                seed=seed + (draw << 64),
                questions=QUESTIONS,
                tokens=max(self.length // 2, data.sample.FEWEST_TOKENS),
            )
            made += _with_answers(prepare(task, rows, tokens, self._setting).questions)
            if len(made) >= QUESTIONS:
                return made[:QUESTIONS]
        raise SettingError(
            f"prompts of {self.length} tokens hold too few of the sample's answers to {task}; take"
            f" a larger length, or leave {task} out of tasks"
        )

    @property
    def _setting(self) -> Setting:
        return Setting(context_length=self.length, keep_dropped=True)

    def _document(self, question: Question, tokens: HFTokens) -> Document:
        ids, asked = self._ids(question, tokens)
        labels = ids[1:].copy()
        labels[:asked] = IGNORE
        return Document(ids[:-1], labels)

    def _ids(self, question: Question, tokens: HFTokens) -> tuple[Ids, int]:
        """Prompt and answer, and the first label that is asked for."""
        ids = encoded(tokens, f"{question.prompt} {question.answers[0]}\n")[: self.length]
        if not self.answers_only:
            return ids, 0
        # Some tokenizers join the prompt's end with what follows: the answer begins there.
        prompt = encoded(tokens, question.prompt)[: len(ids)]
        return ids, max(0, _common(ids, prompt) - 1)


def _check_apart(task: str, rows: Sequence[Row], heldout: Sequence[Row], path: Path) -> None:
    of = RECALL[task].document
    both = {of(row).strip() for row in rows} & {of(row).strip() for row in heldout}
    if both:
        raise DataError(
            f"{len(both)} documents of {path} are held out in {task}.* beside it too, the first"
            f" begins {min(both)[:40]!r}; take them out of one of the two"
        )


def _prepared(task: str, rows: Sequence[Row], tokens: HFTokens, setting: Setting) -> list[Question]:
    """`prepare`, some documents at a time, so that each is tokenized once for all its questions."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        parts = threads.map(
            lambda some: prepare(task, some, tokens, setting).questions, _by_document(task, rows)
        )
        return [question for part in parts for question in part]


def _by_document(task: str, rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows in lots of `ROWS` and a few more; those of a document are not parted."""
    of_document: dict[str, list[Row]] = {}
    for row in rows:
        of_document.setdefault(RECALL[task].document(row), []).append(row)
    lot: list[Row] = []
    for some in of_document.values():
        lot += some
        if len(lot) >= ROWS:
            yield lot
            lot = []
    if lot:
        yield lot


def _with_answers(questions: Sequence[Question]) -> list[Question]:
    """Questions of which an answer stands in the prompt, each with the first such answer alone."""
    out = []
    for question in questions:
        standing = [one for one in question.answers if contains(question.prompt, [one])]
        if standing:
            out.append(replace(question, answers=(standing[0],)))
    return out


def _common(a: Ids, b: Ids) -> int:
    """How many tokens two texts begin with alike."""
    same = a[: len(b)] == b[: len(a)]
    return len(same) if same.all() else int(same.argmin())


def _block_seed(seed: int, number: int) -> int:
    """A seed of its own for each block; the evaluation's sample has seed 0."""
    return seed * 1_000_003 + number + 1
