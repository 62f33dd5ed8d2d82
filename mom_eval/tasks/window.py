"""Cutting a document to the part that goes into a prompt, as the papers' code does.

Published protocol (Arora et al. 2024, "Just read twice", arXiv 2407.05483, and the MoM paper, arXiv
2502.13685): the document is cut to `size` tokens around the place where the answer stands. That is
an oracle cut: half of the window lies before the answer, whoever the model is. Two of its habits
look odd and are kept, since they decide what a prompt holds: a document that would fit whole still
loses its head when the answer stands after the first half window, and a document in which the
answer is not found keeps only about its last half window.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mom_eval.tasks.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Which tokens of a document stand in the prompt, and what was cut off the prompt's head."""

    start: int
    """First token kept."""
    end: int
    """One past the last token kept."""
    of: int
    """Tokens of the whole document."""
    anchor: str
    """`found`: centred on an anchor; `missing`: anchors given, none found; `head`: no anchor asked
    for, kept from the head; `none`: not cut at all."""
    left: int = 0
    """Tokens cut from the left of the built prompt."""


def whole(document: str, tokens: Tokens) -> Cut:
    """The cut that keeps everything."""
    count = len(tokens.encode(document))
    return Cut(start=0, end=count, of=count, anchor="none")


def around(
    document: str,
    anchors: Sequence[str],
    size: int,
    tokens: Tokens,
    second: Sequence[str] = (),
    token_position: int | None = None,
) -> tuple[str, Cut]:
    """Cut a document around the earliest occurrence of an anchor.

    Args:
        document: the text to cut; white space around it goes first.
        anchors: texts looked for, ignoring case; none at all keeps the head.
        size: tokens to keep.
        tokens: the model's tokenizer, without special tokens.
        second: looked for one after the other where no anchor is found.
        token_position: where the answer stands by the data set's own account, in tokens; used
            where it is not found and the document is longer than `size`.
    """
    document = document.strip()
    ids = tokens.encode(document)
    position = _earliest(document, anchors) if anchors else 0
    for text in second:
        if position is None:
            position = _earliest(document, [text])
    if position is None:
        # Published: position -1 is used as an index, so all but the last character lies "before".
        before = len(tokens.encode(document[:-1]))
        if token_position is not None and before > size:
            before = token_position
    else:
        before = len(tokens.encode(document[:position]))
    start = max(0, before - size // 2)
    end = min(len(ids), start + size)
    anchor = "head" if not anchors else "missing" if position is None else "found"
    return tokens.decode(ids[start:end]), Cut(start=start, end=end, of=len(ids), anchor=anchor)


def _earliest(document: str, anchors: Sequence[str]) -> int | None:
    found = (re.search(re.escape(anchor), document, re.IGNORECASE) for anchor in anchors)
    return min((match.start() for match in found if match), default=None)


def keep_right(prompt: str, size: int, tokens: Tokens) -> tuple[str, int]:
    """Cut a prompt from the left to `size` tokens; also returns how many tokens went.

    The text that is left may tokenise differently at its new head, so it is cut further until it
    fits: the model then has nothing left to cut by itself.
    """
    ids = tokens.encode(prompt)
    if len(ids) <= size:
        return prompt, 0
    for keep in range(size, 0, -1):
        text = tokens.decode(ids[len(ids) - keep :])
        if len(tokens.encode(text)) <= size:
            return text, len(ids) - keep
    raise ValueError(f"no end of the prompt fits {size} tokens")
