"""Scores of one output against every alias of the answer.

`contains` is what the recall papers call accuracy: the answer occurs in the output, ignoring case
(Arora et al. 2024, "Just read twice", arXiv 2407.05483). `exact` and `f1` are SQuAD's (Rajpurkar
et al. 2016, arXiv 1606.05250). `bits_per_byte` is smooth, and comparable across vocabularies.
"""

import math
import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Scores(NamedTuple):
    """The four scores of a question; `bits_per_byte` is None where no probability was asked for."""

    contains: int
    exact: int
    f1: float
    bits_per_byte: float | None


def contains(output: str, answers: Sequence[str]) -> int:
    """1 if an answer occurs in the output as it is written, ignoring case; else 0."""
    return int(any(re.search(re.escape(answer), output, re.IGNORECASE) for answer in answers))


def normalise(text: str) -> str:
    """SQuAD's: lower case, no ASCII punctuation, no articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact(output: str, answers: Sequence[str]) -> int:
    """1 if output and an answer are equal once normalised; else 0."""
    return int(normalise(output) in {normalise(answer) for answer in answers})


def f1(output: str, answers: Sequence[str]) -> float:
    """The best overlap of words over the answers: harmonic mean of precision and recall, 0 to 1."""
    return max(_f1(normalise(output).split(), normalise(answer).split()) for answer in answers)


def _f1(output: list[str], answer: list[str]) -> float:
    if not output or not answer:
        return float(output == answer)
    shared = sum((Counter(output) & Counter(answer)).values())
    return 2 * shared / (len(output) + len(answer))


def bits_per_byte(log_probabilities: Sequence[float], answers: Sequence[str]) -> float:
    """The cheapest alias: -log2 p(" " + alias | prompt) over the alias' UTF-8 bytes.

    Args:
        log_probabilities: natural logarithms, one an answer.
        answers: the aliases, none of them empty.
    """
    bits = (
        -nats / math.log(2) / len(answer.encode())
        for nats, answer in zip(log_probabilities, answers, strict=True)
    )
    return min(bits)


def score(output: str, answers: Sequence[str], log_probabilities: Sequence[float] | None) -> Scores:
    """All scores of one question. `log_probabilities` is None for answers made without a model."""
    bits = None if log_probabilities is None else bits_per_byte(log_probabilities, answers)
    return Scores(contains(output, answers), exact(output, answers), f1(output, answers), bits)
