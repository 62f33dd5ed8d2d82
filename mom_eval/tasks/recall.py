"""The six recall tasks: one class, a table of six rows.

A task says which text of a row is the document, how the question stands behind it, where a window
is centred, and which answers count. Prompts are those of the papers' code (Arora et al. 2024,
"Just read twice", arXiv 2407.05483; used by MoM, arXiv 2502.13685), zero-shot:

    FDA, SWDE            <document>. <Key>:
    SQuAD                <text>                      (the text ends in the question or statement)
    NQ, TriviaQA, DROP   <context>. <question>

A row is never changed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

ANSWER_LENGTH = 48
"""Tokens an answer may have."""
STOP = "\n"
PROTOCOL_VERSION = 1
"""Goes up when a prompt, a window or a score changes, so that no old run is taken for a new one."""
_SWDE_QUESTION = "Summary of information above..."
_TRIVIAQA_MARKS = re.compile(r"\[PAR\]|\[DOC\]|\[TLE\]")


@dataclass(frozen=True, kw_only=True)
class RecallTask:
    """One row of the table below; every function takes a row as it stands in the data file."""

    name: str
    source: Callable[[Row], str]
    """The text that a window cuts."""
    anchors: tuple[str, ...]
    """Fields of which the earliest occurrence centres the window; none: it starts at the head."""
    body: Callable[[str, Row], str]
    """(cut text, row) -> the document as the prompt shows it, without the question."""
    ask: Callable[[Row], str]
    """The question as the prompt ends with it."""
    opening: Callable[[Row], str]
    """The question as it stands before a document that is repeated."""
    answers: Callable[[Row], list[str]]
    """Every alias, the reference first."""
    document: Callable[[Row], str]
    """The document without any question: questions that share it are one cluster."""
    passage: bool
    """Whether the document is a passage that `--haystack` can hide among others."""
    glued: bool = False
    """Whether source holds document and question in one text (SQuAD): it is the prompt as it is."""

    def prompt(self, cut: str, row: Row) -> str:
        """The prompt over a cut source text."""
        if self.glued:
            return cut.strip()
        return f"{self.body(cut, row)} {self.ask(row)}"

    def prompt_on(self, document: str, row: Row) -> str:
        """The row's question on some other document; on none at all if that is empty."""
        return f"{document} {self.ask(row)}" if document else self.ask(row)


def _key(row: Row) -> str:
    return row["key"][0].upper() + row["key"][1:] + ":"


def _drop_trailing(text: str, question: str) -> str:
    while question and text[-len(question) :].lower() == question.lower():
        text = text[: -len(question)]
    return text


def _with_period(text: str) -> str:
    return text if text.endswith(".") else text + "."


def _fda_body(text: str, row: Row) -> str:
    return _with_period(_drop_trailing(text, row["key"] + ":").strip("\n").strip("."))


def _swde_body(text: str, row: Row) -> str:
    text = _drop_trailing(text.split(_SWDE_QUESTION)[0], row["key"] + ":")
    return text.strip().strip(".") + "."


def _passage_body(text: str, row: Row) -> str:
    return _drop_trailing(text.strip(), row["question"].strip()).strip().strip(".") + "."


def _triviaqa_body(text: str, row: Row) -> str:
    return _passage_body(_TRIVIAQA_MARKS.sub("", text), row)


def _squad_question(row: Row) -> str:
    """What stands behind the context in `text`: a question, or a statement to be completed."""
    context = row.get("context", "").strip()
    text = row["text"].strip()
    if context and text.startswith(context):
        return text[len(context) :].strip()
    return row.get("question", "").strip()


def _squad_body(text: str, row: Row) -> str:
    return text.strip().removesuffix(_squad_question(row)).strip()


def _swde_source(row: Row) -> str:
    return row["text"].split(_SWDE_QUESTION)[0]


def _question(row: Row) -> str:
    return row["question"].strip()


def _original_question(row: Row) -> str:
    return (row.get("orig_question") or row["question"]).strip(":")


def _about_key(row: Row) -> str:
    return f"Information about {_key(row).strip(':')}."


def _value(row: Row) -> list[str]:
    return [row["value"]]


def _answers(row: Row) -> list[str]:
    """Aliases in their order, each once; empty ones go, since every output contains them."""
    return list(dict.fromkeys(answer for answer in row["answers"] if answer))


def _context(row: Row) -> str:
    return row["context"]


_BY_KEY = {
    "anchors": ("key", "value"),
    "ask": _key,
    "opening": _about_key,
    "answers": _value,
    "passage": False,
}
_BY_QUESTION = {
    "source": _context,
    "ask": _question,
    "opening": _original_question,
    "answers": _answers,
    "document": _context,
}
RECALL: dict[str, RecallTask] = {
    task.name: task
    for task in (
        RecallTask(
            name="fda",
            source=lambda row: row["text"],
            body=_fda_body,
            document=lambda row: _fda_body(row["text"], row),
            **_BY_KEY,
        ),
        RecallTask(
            name="swde",
            source=_swde_source,
            body=_swde_body,
            document=lambda row: _swde_body(row["text"], row),
            **_BY_KEY,
        ),
        RecallTask(
            name="squad",
            source=lambda row: row["text"],
            anchors=("value",),
            body=_squad_body,
            ask=_squad_question,
            opening=_question,
            answers=_value,
            document=lambda row: row.get("context") or _squad_body(row["text"], row),
            passage=True,
            glued=True,
        ),
        RecallTask(
            name="nq", anchors=("answers",), body=_passage_body, passage=True, **_BY_QUESTION
        ),
        RecallTask(name="triviaqa", anchors=(), body=_triviaqa_body, passage=False, **_BY_QUESTION),
        RecallTask(name="drop", anchors=(), body=_passage_body, passage=True, **_BY_QUESTION),
    )
}
"""Task name -> task, in the papers' order."""
