"""Rows of a data file -> the questions a model is asked, in a fixed order, each with its prompt.

Order is a hash of task, document and question: files are grouped by document (the first hundred
rows of an FDA file are eleven documents), so `--limit` must not take them from the top, and it
must take the same ones on every machine.
"""

import hashlib
import os
import random
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from mom_eval.errors import DataError, SettingError
from mom_eval.tasks.haystack import TOO_LITTLE, TOO_LONG, Unfit, hide
from mom_eval.tasks.recall import RECALL, RecallTask, Row
from mom_eval.tasks.score import contains
from mom_eval.tasks.setting import Setting
from mom_eval.tasks.tokens import Tokens
from mom_eval.tasks.window import Cut, around, keep_right, whole

TOO_SHORT = "answer or key of one character, as the papers drop"
EMPTY = "no answer given"
FEW = 64
"""Fewer questions than these are not worth threads."""
_MEND = {
    TOO_LITTLE: "ask for a smaller --haystack",
    TOO_LONG: "ask for a larger --haystack",
    TOO_SHORT: "try --keep-dropped",
    EMPTY: "give rows with answers",
}


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question as it is asked."""

    task: str
    id: str
    """Hash of task, document, question and answer: the same on every machine and in every run."""
    document_id: str
    """Hash of the uncut document: questions that share it are one cluster."""
    prompt: str
    document: str
    """The document as the prompt shows it, without the question."""
    question: str
    """As the prompt ends with it."""
    key: str | None
    """FDA and SWDE: the key asked for."""
    answers: tuple[str, ...]
    prompt_tokens: int
    cut: Cut

    @property
    def prompt_hash(self) -> str:
        """Of the prompt's text: two models read the same prompt only if these are equal."""
        return digest(self.prompt, length=16)

    @property
    def position(self) -> float | None:
        """Where in the shown document an answer first stands, 0 to 1; None where none does."""
        found = [re.search(re.escape(one), self.document, re.IGNORECASE) for one in self.answers]
        starts = [match.start() for match in found if match]
        return min(starts) / len(self.document) if starts else None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as lm-eval's data sets want them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Question":
        """The inverse of `as_dict`."""
        known = {name: values[name] for name in cls.__dataclass_fields__}
        return cls(**known | {"answers": tuple(values["answers"]), "cut": Cut(**values["cut"])})


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A task's questions and an account of what is not among them."""

    questions: list[Question]
    dropped: dict[str, int]
    """Reason -> rows that are not asked."""
    missing_answer: int
    """Questions whose answer the window did not find: only the document's end stands in the
    prompt."""
    hidden_answer: int
    """Questions of which no answer stands in the prompt, so that none can be copied from it."""


def digest(*texts: str, length: int = 12) -> str:
    """Hex digits of a hash over texts, which cannot run into each other."""
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:length]


def drop_reason(task: RecallTask, row: Row) -> str | None:
    """Why the papers' code passes over a row without a word, or None.

    It drops a row whose anchor field (of a list: the first entry) has at most one character.
    """
    for name in task.anchors:
        value = row[name][0] if isinstance(row[name], list) else row[name]
        if len(value) <= 1:
            return TOO_SHORT
    return None


def prepare(name: str, rows: Sequence[Row], tokens: Tokens, setting: Setting) -> Prepared:
    """Build the questions of a task.

    Args:
        name: the task's.
        rows: its whole file; haystacks and shuffled documents are drawn from all of it.
        tokens: the model's tokenizer.
        setting: the protocol.

    Raises:
        SettingError: the task cannot be asked in this way (a haystack of whole documents).
        DataError: the file holds too little, or no question is left.
    """
    task = RECALL[name]
    if setting.haystack is not None and not task.passage:
        passages = ", ".join(other.name for other in RECALL.values() if other.passage)
        raise SettingError(
            f"{name} asks about whole documents, which no haystack holds; --haystack takes"
            f" {passages}"
        )
    builder = _Builder(task, rows, tokens, setting)
    dropped: Counter[str] = Counter()
    questions: list[Question] = []
    size = setting.limit or len(rows) or 1
    for first in range(0, len(rows), size):
        lot, full = builder.ordered[first : first + size], len(questions) == setting.limit
        for found in map(builder.dropped, lot) if full else _made(builder, lot):
            if isinstance(found, str):
                dropped[found] += 1
            elif len(questions) == setting.limit or found is None:
                continue
            elif isinstance(found, Unfit):
                dropped[found.reason] += 1
            else:
                questions.append(found)
    if not questions:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        mend = next((words for reason, words in _MEND.items() if reason in dropped), "")
        raise DataError(f"no question of {name} is left of {len(rows)} rows ({reasons}); {mend}")
    missing = sum(question.cut.anchor == "missing" for question in questions)
    return Prepared(
        questions=_unique(questions),
        dropped=dict(dropped),
        missing_answer=missing,
        hidden_answer=sum(
            not contains(question.prompt, question.answers) for question in questions
        ),
    )


def _made(builder: "_Builder", lot: Sequence[Row]) -> list[Question | Unfit | str]:
    """Questions, or why there is none, in the order of the rows.

    Those on one document are made together, so that it is tokenized once; several documents side
    by side, which tokenizers allow.
    """
    made: list[Any] = [None] * len(lot)
    places: dict[str, list[int]] = {}
    for place, row in enumerate(lot):
        places.setdefault(builder.task.document(row), []).append(place)

    def make(of_document: list[int]) -> None:
        for place in of_document:
            made[place] = builder.attempt(lot[place])

    if len(lot) < FEW:
        for some in places.values():
            make(some)
    else:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(make, places.values()))
    return made


class Single:
    """The questions of a task one by one, each built when it is first asked for.

    For those who show a few: a long haystack takes a while.
    """

    def __init__(self, name: str, rows: Sequence[Row], tokens: Tokens, setting: Setting) -> None:
        """As `prepare` takes them; whatever the setting's limit, all questions are there."""
        self._builder = _Builder(RECALL[name], rows, tokens, setting)
        self._rows: dict[str, Row] = {}
        seen: Counter[str] = Counter()
        for row in self._builder.ordered:
            own = self._builder.id(row)
            seen[own] += 1
            self._rows[_nth(own, seen[own])] = row
        self._built: dict[str, Question | None] = {}

    def get(self, id_: str) -> Question | None:
        """The question of an id; None where there is none, or it cannot be asked in this way."""
        if id_ not in self._built:
            self._built[id_] = self._build(id_) if id_ in self._rows else None
        return self._built[id_]

    def _build(self, id_: str) -> Question | None:
        try:
            return replace(self._builder.question(self._rows[id_]), id=id_)
        except Unfit:
            return None


def _nth(id_: str, number: int) -> str:
    return id_ if number == 1 else f"{id_}-{number}"


def _unique(questions: list[Question]) -> list[Question]:
    """Give a question that stands in the file twice an id of its own."""
    seen: Counter[str] = Counter()
    out = []
    for question in questions:
        seen[question.id] += 1
        out.append(replace(question, id=_nth(question.id, seen[question.id])))
    return out


class _Builder:
    """Builds single questions; holds what they draw from."""

    def __init__(
        self, task: RecallTask, rows: Sequence[Row], tokens: Tokens, setting: Setting
    ) -> None:
        self.task, self.tokens, self.setting = task, tokens, setting
        keyed = [(self._hash(row), number) for number, row in enumerate(rows)]
        self.ordered = [rows[number] for _, number in sorted(keyed)]

    def _hash(self, row: Row) -> str:
        return digest(self.task.name, self.task.document(row), self.task.ask(row), length=64)

    def _draw(self, row: Row) -> random.Random:
        return random.Random(f"{self.setting.seed} {self._hash(row)}")

    def dropped(self, row: Row) -> str | None:
        """Why a row is not asked, whatever is built of it."""
        if not any(self.task.answers(row)):
            return EMPTY
        return None if self.setting.keep_dropped else drop_reason(self.task, row)

    def attempt(self, row: Row) -> Question | Unfit | str:
        """A row's question; what is wrong where its passage fits no haystack; why it is dropped."""
        reason = self.dropped(row)
        if reason is not None:
            return reason
        try:
            return self.question(row)
        except Unfit as unfit:
            return unfit

    def id(self, row: Row) -> str:
        """Of the question of a row, as long as no other is the same."""
        task = self.task
        return digest(task.name, task.document(row), task.ask(row), *task.answers(row))

    @cached_property
    def passages(self) -> list[str]:
        """The file's different documents."""
        return list(dict.fromkeys(self.task.document(row) for row in self.ordered))

    def question(self, row: Row) -> Question:
        """The question of one row; raises `Unfit` where its passage fits no haystack."""
        task = self.task
        if self.setting.haystack is not None:
            document = self._haystack(row)
            prompt, cut = task.prompt_on(document, row), whole(document, self.tokens)
        elif self.setting.control is not None:
            document, cut = self._control(row)
            prompt = self._repeat(document, task.prompt_on(document, row), row)
        else:
            text, cut = self._cut(row)
            document = task.body(text, row)
            prompt = self._repeat(document, task.prompt(text, row), row)
        if self.setting.prompt_limit is not None:
            prompt, left = keep_right(prompt, self.setting.prompt_limit, self.tokens)
            cut = replace(cut, left=left)
            if left:  # the document opens the prompt, so it has lost the same tokens
                document = self.tokens.decode(self.tokens.encode(document)[left:])
        return Question(
            task=task.name,
            id=self.id(row),
            document_id=digest(task.document(row)),
            prompt=prompt,
            document=document,
            question=task.ask(row),
            key=row.get("key"),
            answers=tuple(task.answers(row)),
            prompt_tokens=len(self.tokens.encode(prompt)),
            cut=cut,
        )

    def _cut(self, row: Row) -> tuple[str, Cut]:
        task, text = self.task, self.task.source(row)
        if self.setting.protocol == "full":
            return text, whole(text, self.tokens)
        anchors = [
            row[name][0] if isinstance(row[name], list) else row[name] for name in task.anchors
        ]
        return around(
            text,
            anchors,
            self.setting.window,
            self.tokens,
            second=row.get("alt_answers") or (),
            token_position=row.get("tok_pos"),
        )

    def _repeat(self, document: str, prompt: str, row: Row) -> str:
        """Read twice: the question, the document, and the plain prompt behind it."""
        if self.setting.repeat == 1:
            return prompt
        if not row.get("question") and self.task.glued:
            raise DataError(
                f"{self.task.name}: a row without the field question cannot be repeated; add it, or"
                " leave --repeat out"
            )
        # Without a document (blind) there is nothing to repeat: the question stands there twice.
        copies = f"{document}\n" * (self.setting.repeat - 1) if document else ""
        return f"{self.task.opening(row)} {copies}{prompt}"

    def _control(self, row: Row) -> tuple[str, Cut]:
        """Nothing, or the document that a question on another document is shown."""
        if self.setting.control == "blind":
            return "", Cut(start=0, end=0, of=0, anchor="none")
        own = self.task.document(row)
        others = [other for other in self.ordered if self.task.document(other) != own]
        if not others:
            raise DataError(
                f"{self.task.name}: the file holds one document; --control shuffled needs two"
            )
        other = self._draw(row).choice(others)
        text, cut = self._cut(other)
        return self.task.body(text, other), cut

    def _haystack(self, row: Row) -> str:
        assert self.setting.haystack is not None and self.setting.depth is not None
        own = self.task.document(row)
        return hide(
            own,
            [passage for passage in self.passages if passage != own],
            self.task.answers(row),
            size=self.setting.haystack,
            depth=self.setting.depth,
            tokens=self.tokens,
            draw=self._draw(row),
        )
