"""What kinds of tokens a prompt is made of: digits, punctuation, answers, ...

A token may be of several kinds; `other` are those of none: words in lower case that stood before.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mom_eval.tasks.questions import Question
from mom_eval.tasks.tokens import Span

KINDS: Final = {
    "digits": "a digit in it",
    "punctuation": "a mark or symbol in it, no letter and no digit",
    "capitals": "a capital letter in it",
    "first": "not in the prompt before",
    "answer": "part of an answer in the document",
    "other": "none of these",
}
"""Kind -> what its tokens have."""


def token_kinds(question: Question, ids: Sequence[int], spans: Sequence[Span]) -> NDArray[np.bool_]:
    """[L, kinds]: which kinds each token of the question's prompt is of.

    Args:
        question: with its prompt.
        ids: the prompt's tokens.
        spans: where each of them stands in the prompt.
    """
    out = np.zeros((len(ids), len(KINDS)), dtype=bool)
    answers = answer_spans(question)
    seen: set[int] = set()
    for row, (token, (start, end)) in enumerate(zip(ids, spans, strict=True)):
        text = question.prompt[start:end]
        digits = any(c.isdigit() for c in text)
        marks = any(unicodedata.category(c)[0] in "PS" for c in text)
        out[row, :-1] = (
            digits,
            marks and not any(c.isalnum() for c in text),
            any(c.isupper() for c in text),
            token not in seen,
            any(start < stop and begin < end for begin, stop in answers),
        )
        seen.add(token)
    out[:, -1] = ~out.any(axis=1)
    return out


def answer_spans(question: Question) -> list[Span]:
    """Where answers stand in the prompt before its question, as words of their own.

    Case is ignored, as by the score `contains`; 3 is not found in 1863.
    """
    document = question.prompt.removesuffix(question.question)
    return [
        found.span()
        for answer in question.answers
        for found in re.finditer(rf"(?<!\w){re.escape(answer)}(?!\w)", document, re.IGNORECASE)
    ]
