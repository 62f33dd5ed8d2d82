"""What a model is trained on: documents by number, from text, recall questions or a generator.

A source is a pure function from a number to a document, so a training that goes on after a kill
needs to know no more than how many documents it has drawn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from mom_eval.errors import DataError, SettingError
from mom_eval.tasks import TASKS, data
from mom_eval.tasks.mqar import IGNORE, Ids, Mqar
from mom_eval.tasks.questions import Question, prepare
from mom_eval.tasks.recall import ANSWER_LENGTH
from mom_eval.tasks.score import contains
from mom_eval.tasks.setting import Setting
from mom_eval.tasks.text import read_text
from mom_eval.tasks.tokens import HFTokens

BLOCK = 256
"""MQAR examples that are made at once."""
QUESTIONS = 32
"""Synthetic recall questions that are made at once, a task."""
DRAWS = 64
"""Of so many at most, until all prompts of a block hold their answers."""


class Document(NamedTuple):
    """Both [n] int64; the model reads `tokens` and `labels` is what follows each."""

    tokens: Ids
    labels: Ids


class Reader(NamedTuple):
    """A source that is read in."""

    documents: int | None
    """None: without end."""
    document: Callable[[int], Document]
    left_out: int = 0
    """Questions that are not among them, since no answer stands in their prompt."""


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
    def length(self) -> int:
        """Tokens of a document, at most."""
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

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length = {self.length}; it must be 1 or more")
        if self.separator == "":
            raise ValueError("separator is empty; leave it out, or name what stands there")

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
        source = data.resolve(self.data)
        questions: list[Question] = []
        asked = 0
        for task in self.tasks:
            found = data.load(task, source, context_length=self.length)
            rows = found.rows if heldout else found.train_rows()
            if rows is None:
                raise DataError(
                    f"{self.data} holds no {task}.train.*; leave {task} out of tasks, or add it"
                )
            made = prepare(task, rows, tokens, self._setting).questions
            questions += _with_answers(made)
            asked += len(made)
        if not questions:
            raise DataError(
                f"no prompt of {self.length} tokens from {self.data} holds its answer; take a"
                " larger length"
            )
        return Reader(
            len(questions),
            lambda n: self._document(questions[n], tokens),
            asked - len(questions),
        )

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

        return Reader(None, document)

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
        ids = _ids(tokens, f"{question.prompt} {question.answers[0]}\n")[: self.length]
        labels = ids[1:].copy()
        if self.answers_only:
            # Some tokenizers join the prompt's end with what follows: the answer begins there.
            prompt = _ids(tokens, question.prompt)[: len(ids)]
            labels[: max(0, _common(ids, prompt) - 1)] = IGNORE
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
