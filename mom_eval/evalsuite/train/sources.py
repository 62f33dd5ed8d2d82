"""What a model is trained on: documents by number, from text, recall questions or a generator.

A source is a pure function from a number to a document, so a training that goes on after a kill
needs to know no more than how many documents it has drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from mom_eval.errors import DataError, SettingError
from mom_eval.tasks import TASKS, data
from mom_eval.tasks.mqar import IGNORE, Ids, Mqar
from mom_eval.tasks.questions import Question, prepare
from mom_eval.tasks.setting import Setting
from mom_eval.tasks.text import read_text
from mom_eval.tasks.tokens import HFTokens

BLOCK = 256
"""MQAR examples that are made at once."""
QUESTIONS = 32
"""Synthetic recall questions that are made at once, a task."""


class Document(NamedTuple):
    """Both [n] int64; the model reads `tokens` and `labels` is what follows each."""

    tokens: Ids
    labels: Ids


class Reader(NamedTuple):
    """A source that is read in."""

    documents: int | None
    """None: without end."""
    document: Callable[[int], Document]


class Source(Protocol):
    """A section [[data]] or [[heldout]]."""

    kind: ClassVar[str]
    paths: ClassVar[tuple[str, ...]]
    needs_tokenizer: ClassVar[bool]

    @property
    def weight(self) -> float:
        """Its share of the training tokens, beside the others' weights."""
        ...

    @property
    def name(self) -> str:
        """How curves call it."""
        ...

    def reader(self, tokens: HFTokens | None, vocab: int, seed: int, *, heldout: bool) -> Reader:
        """Open it; held-out documents of a generator are others than those trained on."""
        ...


@dataclass(frozen=True, kw_only=True)
class TextSource:
    """A text file, gzip'd or not, cut into pieces of `length` tokens."""

    kind: ClassVar[str] = "text"
    paths: ClassVar[tuple[str, ...]] = ("file",)
    needs_tokenizer: ClassVar[bool] = True
    file: str
    length: int
    separator: str | None = None
    """What stands between documents; None: the file is one."""
    weight: float = 1.0

    @property
    def name(self) -> str:
        """The file's."""
        return Path(self.file).name

    def reader(self, tokens: HFTokens | None, vocab: int, seed: int, *, heldout: bool) -> Reader:
        """Read and tokenize the whole file; no piece spans two documents."""
        assert tokens is not None
        eos = getattr(tokens.tokenizer, "eos_token_id", None)
        text = read_text(Path(self.file))
        pieces: list[Ids] = []
        for part in filter(None, text.split(self.separator) if self.separator else [text]):
            ids = _ids(tokens, part, *([] if eos is None else [eos]))
            starts = range(0, len(ids) - 1, self.length)
            pieces += [ids[start : start + self.length + 1] for start in starts]
        if not pieces:
            raise DataError(f"{self.file} holds a single token; nothing follows it")
        return Reader(len(pieces), lambda n: Document(pieces[n][:-1], pieces[n][1:]))


@dataclass(frozen=True, kw_only=True)
class RecallSource:
    """Questions of the recall tasks with their answers, in the prompts of `mom-eval run`."""

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
        for task in self.tasks:
            if task not in TASKS:
                raise ValueError(f"tasks = {list(self.tasks)}; known: {', '.join(TASKS)}")

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
        source = data.resolve(self.data)
        questions: list[Question] = []
        for task in self.tasks:
            found = data.load(task, source, context_length=self.length)
            rows = found.rows if heldout else found.train_rows()
            if rows is None:
                raise DataError(
                    f"{self.data} holds no {task}.train.*; leave {task} out of tasks, or add it"
                )
            questions += prepare(task, rows, tokens, self._setting).questions
        return Reader(len(questions), lambda n: self._document(questions[n], tokens))

    def _synthetic(self, tokens: HFTokens, seed: int, *, heldout: bool) -> Reader:
        split = "test" if heldout else "train"

        @lru_cache(maxsize=2)
        def block(number: int) -> list[Question]:
            made = []
            for task in self.tasks:
                rows = data.sample.generate(
                    task,
                    split,
                    seed=_block_seed(seed, number),
                    questions=QUESTIONS,
                    tokens=max(self.length // 2, data.sample.FEWEST_TOKENS),
                )
                made += prepare(task, rows, tokens, self._setting).questions
            order = np.random.default_rng([seed, number]).permutation(len(made))
            return [made[place] for place in order]

        def document(n: int) -> Document:
            number, place = divmod(n, QUESTIONS * len(self.tasks))
            return self._document(block(number)[place], tokens)

        return Reader(None, document)

    @property
    def _setting(self) -> Setting:
        return Setting(context_length=self.length, keep_dropped=True)

    def _document(self, question: Question, tokens: HFTokens) -> Document:
        ids = _ids(tokens, f"{question.prompt} {question.answers[0]}\n")
        labels = ids[1:].copy()
        if self.answers_only:
            labels[: len(_ids(tokens, question.prompt)) - 1] = IGNORE
        return Document(ids[:-1], labels)


@dataclass(frozen=True, kw_only=True)
class MqarSource:
    """Multi-query associative recall; see `tasks.mqar`."""

    kind: ClassVar[str] = "mqar"
    paths: ClassVar[tuple[str, ...]] = ()
    needs_tokenizer: ClassVar[bool] = False
    length: int
    pairs: int
    weight: float = 1.0

    @property
    def name(self) -> str:
        """`mqar 64/4`."""
        return f"mqar {self.length}/{self.pairs}"

    def reader(self, tokens: HFTokens | None, vocab: int, seed: int, *, heldout: bool) -> Reader:
        """Examples over the model's vocabulary, a block at a time."""
        try:
            shape = Mqar(vocab=vocab, length=self.length, pairs=self.pairs)
        except ValueError as error:
            raise SettingError(f"{self.name}: {error}") from None

        @lru_cache(maxsize=2)
        def block(number: int) -> tuple[Ids, Ids]:
            key = [seed, int(heldout), self.length, self.pairs, number]
            return shape.draw(np.random.default_rng(key), BLOCK)

        def document(n: int) -> Document:
            examples, labels = block(n // BLOCK)
            return Document(examples[n % BLOCK], labels[n % BLOCK])

        return Reader(None, document)


KINDS = {kind.kind: kind for kind in (TextSource, RecallSource, MqarSource)}


def _ids(tokens: HFTokens, text: str, *more: int) -> Ids:
    """Token ids of a document, and what ends it; no first token, as the papers' protocol has none.

    Past the cache of `HFTokens.encode`: a corpus is read once.
    """
    return np.array([*tokens.tokenizer.encode(text, add_special_tokens=False), *more], np.int64)


def _block_seed(seed: int, number: int) -> int:
    """A seed of its own for each block; the evaluation's sample has seed 0."""
    return seed * 1_000_003 + number + 1
