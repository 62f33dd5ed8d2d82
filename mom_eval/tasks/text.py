"""A text file -> tokens and the bytes that each of them stands for.

Bits are comparable across tokenizers only by the byte, so every byte of the text is counted once:
a token stands for the bytes from the end of the token before it to its own end. Of a character that
is split over tokens the first one has all the bytes; what a tokenizer leaves out (spaces, for some)
goes to the token behind it, at the end to the last one.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mom_eval.errors import DataError
from mom_eval.tasks.files import BROKEN_GZIP, opened, unreadable
from mom_eval.tasks.tokens import HFTokens, Span

_PIECE = 1 << 20
"""Characters that are encoded at once: offsets of a whole book shelf would fill the memory."""


class EncodedText(NamedTuple):
    """Tokens of a text, or of its beginning."""

    ids: list[int]
    bytes: list[int]
    """UTF-8 bytes of the text that each token stands for."""


def read_text(path: Path) -> str:
    """A text file in UTF-8, gzip'd where its name ends in `.gz`.

    Raises:
        DataError: it is missing, broken, empty or not UTF-8.
    """
    try:
        with opened(path) as file:
            held = file.read()
    except BROKEN_GZIP as error:
        raise DataError(f"{path} is no whole gzip file ({error}); copy it again") from None
    except OSError as error:
        raise unreadable(path, error) from None
    try:
        text = held.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start + 1} is not UTF-8; save the file as UTF-8 text"
        ) from None
    if not text:
        raise DataError(f"{path} is empty; give a file with text")
    return text


def encoded(text: str, tokens: HFTokens, most: int | None) -> EncodedText:
    """Encode a text from its beginning to at least `most` tokens; None: to its end.

    Raises:
        ModelError: the tokenizer does not say where its tokens stand.
    """
    out = EncodedText([], [])
    for piece in _pieces(text):
        ids, spans = tokens.encode_with_spans(piece)
        out.ids.extend(ids)
        out.bytes.extend(span_bytes(piece, spans))
        if most is not None and len(out.ids) >= most:
            break
    return out


def span_bytes(text: str, spans: Sequence[Span]) -> list[int]:
    """UTF-8 bytes of each token, from where they stand in characters; they add up to the text's."""
    if not spans:
        return []
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    sizes = 1 + sum((points >= first).astype(np.int64) for first in (0x80, 0x800, 0x10000))
    before = np.concatenate([[0], np.cumsum(sizes)])
    ends = np.maximum.accumulate([end for _, end in spans])
    ends[-1] = len(text)
    return np.diff(before[ends], prepend=0).tolist()


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces that end with a line, where a line ends in time."""
    start = 0
    while start < len(text):
        end = start + _PIECE
        if end < len(text):
            end = text.rfind("\n", start, end) + 1 or end
        yield text[start:end]
        start = end
