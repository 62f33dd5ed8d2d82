"""Differences of two models within a task: by where the answer stands, length, document, kind."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from mom_eval.errors import RunError
from mom_eval.results.pairs import Pairs
from mom_eval.results.rows import Line
from mom_eval.results.statistics import Interval, paired, proportion

DOCUMENTS: Final = 10
"""Of `document` only so many are shown, those that differ most."""
_MONTH = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_YEAR = r"(?<![\d.,])(1\d|20)\d\d(?![\d.,]*\d)"
_DATE = re.compile(rf"\b({_MONTH})[a-z]*\b|{_YEAR}|\d+[/-]\d+[/-]\d+", re.IGNORECASE)


class Part(NamedTuple):
    """Some of a task's questions."""

    task: str
    name: str
    a: Interval
    b: Interval
    difference: Interval


def breakdown(pairs: Pairs, by: str) -> list[Part]:
    """The questions of a task in parts, in order; of documents those that differ most.

    Raises:
        RunError: A's run does not say where answers stand or how long prompts are.
    """
    kind = KINDS[by]
    parts: dict[tuple[float, str], list[int]] = {}
    for place, line in enumerate(pairs.a):
        parts.setdefault(kind(line), []).append(place)
    found = [(key, _part(pairs, key[1], places)) for key, places in parts.items()]
    if by == "document":
        found.sort(key=lambda item: (-_weight(item[1]), item[0]))
        return [part for _, part in found[:DOCUMENTS] if _weight(part)]
    return [part for _, part in sorted(found, key=lambda item: item[0])]


def _part(pairs: Pairs, name: str, places: Sequence[int]) -> Part:
    some = Pairs(pairs.task, *([lines[n] for n in places] for lines in (pairs.a, pairs.b)))
    (first, second), documents = some.scores, some.documents
    a, b = proportion(first, documents), proportion(second, documents)
    return Part(pairs.task, name, a, b, paired(first, second, documents))


def _weight(part: Part) -> float:
    return abs(part.difference.value) * part.difference.questions


def _position(line: Line) -> tuple[float, str]:
    """Fifths of the shown document."""
    position = _kept(line, "position")
    if position is None:
        return 5, "not in the prompt"
    fifth = min(int(5 * position), 4)
    return fifth, f"{20 * fifth} to {20 * fifth + 20} % of the document"


def _length(line: Line) -> tuple[float, str]:
    """Doublings of the prompt's length."""
    tokens = _kept(line, "prompt_tokens")
    top = max(64, 1 << (tokens - 1).bit_length())
    return top, f"up to {top:,} tokens" if top == 64 else f"{top // 2 + 1:,} to {top:,} tokens"


def _document(line: Line) -> tuple[float, str]:
    return 0, line["document"]


def _answer_type(line: Line) -> tuple[float, str]:
    """What the first answer looks like."""
    answer = _kept(line, "answers")[0].strip()
    if _DATE.search(answer) and any(map(str.isdigit, answer)):
        return 0, "date or year"
    if any(map(str.isdigit, answer)):
        return 1, "with a digit"
    if answer[:1].isupper():
        return 2, "begins with a capital"
    return 3, "other words"


def _kept(line: Line, name: str) -> Any:
    if name not in line:
        raise RunError(
            f"the runs do not say {name!r} of {line['id']}: they are older than that; run again"
            " with --force"
        )
    return line[name]


KINDS: Final[dict[str, Callable[[Line], tuple[float, str]]]] = {
    "position": _position,
    "length": _length,
    "document": _document,
    "answer-type": _answer_type,
}
"""What questions can be parted by -> the place and the name of a question's part, from A's line."""
