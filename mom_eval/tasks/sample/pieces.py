"""A reversible splitter: the unit in which the sample measures length."""

import re

_PIECE = re.compile(r"[^\S\n]?\w+|[^\S\n]?[^\w\s]|\s")


def pieces(text: str) -> list[str]:
    """Words and punctuation marks, each with one space before it; other white space apart.

    Joined, the pieces are the text again. English prose has about 1.15 pieces a word.
    """
    return _PIECE.findall(text)
