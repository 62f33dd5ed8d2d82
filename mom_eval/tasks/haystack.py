"""A passage hidden among passages of other documents of the same file, at a stated depth.

The real documents are short or carry their answers at the head; only this shows recall by length
and position (after Kamradt's "needle in a haystack", with the task's own passages as hay).
"""

import random
from collections.abc import Sequence

from mom_eval.tasks.tokens import Tokens

GAP = "\n\n"
TOO_LONG = "passage longer than the haystack"
TOO_LITTLE = "too little hay: few other passages are without its answer"


class Unfit(Exception):
    """A passage cannot be hidden; `reason` is one of the two above."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def hide(
    passage: str,
    others: Sequence[str],
    answers: Sequence[str],
    *,
    size: int,
    depth: float,
    tokens: Tokens,
    draw: random.Random,
) -> str:
    """A document of about `size` tokens with `passage` at `depth` (0: at its head, 1: at its end).

    Args:
        passage: what is hidden; it is never cut.
        others: passages of other documents; those that contain an answer are passed over.
        answers: every alias.
        size: tokens in all; the joints may add or take a few.
        depth: share of the hay that stands before the passage.
        tokens: the model's tokenizer.
        draw: decides the order of the hay. The same draw at another depth or size takes the same
            passages in the same order, so that positions and lengths are compared on equal hay.

    Raises:
        Unfit: the passage alone is longer than `size`, or the other passages fill less than it.
    """
    room = size - len(tokens.encode(passage))
    if room < 0:
        raise Unfit(TOO_LONG)
    hay = _gather(others, answers, room, tokens, draw)
    before = round(depth * room)
    head, tail = hay[:before], hay[before:]
    parts = (tokens.decode(head).strip(), passage.strip(), tokens.decode(tail).strip())
    return GAP.join(part for part in parts if part)


def _gather(
    others: Sequence[str],
    answers: Sequence[str],
    room: int,
    tokens: Tokens,
    draw: random.Random,
) -> list[int]:
    """The first `room` tokens of the other passages in random order."""
    order = list(range(len(others)))
    draw.shuffle(order)
    lowered = [answer.lower() for answer in answers]
    hay: list[int] = []
    for index in order:
        if len(hay) >= room:
            break
        text = others[index]
        if not any(answer in text.lower() for answer in lowered):
            hay += tokens.encode(text.strip() + GAP)
    if len(hay) < room:
        raise Unfit(TOO_LITTLE)
    return hay[:room]
