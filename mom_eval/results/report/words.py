"""The words of single questions for the page: question, answers, outputs, prompts."""

import json
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import Any, Final

from mom_eval.results.report.questions import Asked
from mom_eval.results.report.text import Text, Texts
from mom_eval.results.sound import check_sample

TEXT_BYTES: Final = 3_000_000
"""Of words in one page; a browser opens that at once, on a phone as well."""


def words(question: Asked, texts: Texts) -> dict[str, Any]:
    """What is shown of one question when it is opened.

    Raises:
        RunError: a line does not hold what is shown.
    """
    lines = {}
    for place, (_, line, where) in question.lines.items():
        check_sample(line, where)
        lines[place] = line
    first = next(iter(lines.values()))
    return {
        "question": first["question"],
        "answers": first["answers"],
        "outputs": {str(place): line["output"] for place, line in lines.items()},
        "read": _read(question, texts),
    }


def _read(question: Asked, texts: Texts) -> list[dict[str, Any]]:
    """Each different prompt once, with the rows that read it: tokenizers cut at other places."""
    found: dict[Text, list[int]] = {}
    for place, (run, _, _) in question.lines.items():
        text = texts.of(run, question.task, question.id)
        if text is not None:
            found.setdefault(text, []).append(place)
    return [{"rows": rows, **_parts(text)} for text, rows in found.items()]


def _parts(text: Text) -> dict[str, Any]:
    """The prompt, and where the document stands in it, so that nothing is written down twice."""
    if text.prompt is None:
        return {"prompt": None, "document": text.document, "span": None}
    start = text.prompt.find(text.document) if text.document else -1
    if start < 0:
        return {"prompt": text.prompt, "document": text.document, "span": None}
    return {"prompt": text.prompt, "document": None, "span": [start, start + len(text.document)]}


def size(value: Any) -> int:
    """Bytes that a value takes in the page."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def of_tasks(order: Sequence[int], questions: Sequence[Asked]) -> list[list[int]]:
    """The order, parted by task."""
    parts: dict[str, list[int]] = {}
    for place in order:
        parts.setdefault(questions[place].task, []).append(place)
    return list(parts.values())


def within(
    questions: Mapping[int, Sequence[Asked]],
    orders: Mapping[int, Sequence[int]],
    texts: Texts,
    most: int = TEXT_BYTES,
) -> dict[int, dict[str, Any]]:
    """Board -> place of the question -> its words, up to `most` bytes in all.

    Those on which models differ most, of every task of every board. The next is always of the one
    of which there are the fewest bytes, so that a few long prompts crowd out no short ones.
    """
    queues = [
        (board, iter(part))
        for board, order in orders.items()
        for part in of_tasks(order, questions[board])
    ]
    out: dict[int, dict[str, Any]] = {board: {} for board in questions}
    left = most
    turns = [(0, number) for number in range(len(queues))]
    while turns:
        used, number = heappop(turns)
        board, places = queues[number]
        place = next(places, None)
        if place is None:
            continue
        one = words(questions[board][place], texts)
        bytes_ = size(one) + len(f'"{place}":,')
        if bytes_ <= left:
            out[board][str(place)] = one
            left -= bytes_
            heappush(turns, (used + bytes_, number))
    return out
