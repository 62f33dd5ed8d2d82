"""What a model is trained on: documents from text, recall questions or a generator."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from mom_eval.errors import DataError, SettingError
from mom_eval.evalsuite.train.documents import Document, Reader
from mom_eval.evalsuite.train.recall_source import RecallSource
from mom_eval.evalsuite.train.tokenized import Tokenized, joined, kept
from mom_eval.tasks import files
from mom_eval.tasks.mqar import Ids, Mqar
from mom_eval.tasks.text import read_text
from mom_eval.tasks.tokens import HFTokens

BLOCK = 256
"""MQAR examples that are made at once."""
PARTS = 64
"""Documents of a text that are tokenized at once, by all of the library's threads."""


@dataclass(frozen=True, kw_only=True)
class TextSource:
    """A text file, gzip'd or not, cut into pieces of `length` tokens."""

    kind: ClassVar[str] = "text"
    paths: ClassVar[tuple[str, ...]] = ("file",)
    needs_tokenizer: ClassVar[bool] = True
    file: str
    length: int
    separator: str | None = None
    """What stands between documents; None: the file is one."""
    twice: bool = False
    """Pieces half as long, each read twice in a row: of the second time all can be copied (the
    prompts of arXiv 2407.05483 repeat what is asked about)."""
    weight: float = 1.0

    def __post_init__(self) -> None:
        fewest = 2 if self.twice else 1
        if self.length < fewest:
            raise ValueError(f"length = {self.length}; it must be {fewest} or more")
        if self.separator == "":
            raise ValueError("separator is empty; leave it out, or name what stands there")

    @property
    def name(self) -> str:
        """The file's."""
        return Path(self.file).name + (" twice" if self.twice else "")

    def reader(self, tokens: HFTokens | None, vocab: int, seed: int, *, heldout: bool) -> Reader:
        """Read and tokenize the whole file; no piece spans two documents."""
        assert tokens is not None
        about = {"sha256": files.sha256(Path(self.file)), "tokenizer": tokens.sha256}
        about |= {"length": self.length, "separator": self.separator, "end": _end(tokens)}
        about |= {"twice": self.twice}
        found = kept(about, lambda: self._pieces(tokens))
        if not found.documents:
            raise DataError(
                f"{self.file} holds a single token; nothing follows it, so give more text"
            )
        return Reader(found.documents, found.document)

    def _pieces(self, tokens: HFTokens) -> Tokenized:
        text = read_text(Path(self.file))
        parts = list(filter(None, text.split(self.separator) if self.separator else [text]))
        end, pieces = _end(tokens), []
        for first in range(0, len(parts), PARTS):
            some = parts[first : first + PARTS]
            for part in tokens.tokenizer(some, add_special_tokens=False)["input_ids"]:
                ids = np.array([*part, *([] if end is None else [end])], np.uint32)
                if self.twice:
                    once = self.length // 2
                    cut = (ids[start : start + once] for start in range(0, len(ids), once))
                    found = (np.concatenate([piece, piece]) for piece in cut)
                else:
                    starts = range(0, len(ids) - 1, self.length)
                    found = (ids[start : start + self.length + 1] for start in starts)
                pieces += [(piece, np.ones(len(piece), np.bool_)) for piece in found]
        return joined(pieces)


@dataclass(frozen=True, kw_only=True)
class MqarSource:
    """Multi-query associative recall; see `tasks.mqar`."""

    kind: ClassVar[str] = "mqar"
    paths: ClassVar[tuple[str, ...]] = ()
    needs_tokenizer: ClassVar[bool] = False
    length: int
    pairs: int
    weight: float = 1.0

    @property
    def name(self) -> str:
        """`mqar 64/4`."""
        return f"mqar {self.length}/{self.pairs}"

    def reader(self, tokens: HFTokens | None, vocab: int, seed: int, *, heldout: bool) -> Reader:
        """Examples over the model's vocabulary, a block at a time."""
        try:
            shape = Mqar(vocab=vocab, length=self.length, pairs=self.pairs)
        except ValueError as error:
            raise SettingError(f"{self.name}: {error}") from None

        @lru_cache(maxsize=2)
        def block(number: int) -> tuple[Ids, Ids]:
            key = [seed, int(heldout), self.length, self.pairs, number]
            return shape.draw(np.random.default_rng(key), BLOCK)

        def document(n: int) -> Document:
            examples, labels = block(n // BLOCK)
            return Document(examples[n % BLOCK], labels[n % BLOCK])

        return Reader(None, document)


def _end(tokens: HFTokens) -> int | None:
    """What ends a document, if the tokenizer has it."""
    return getattr(tokens.tokenizer, "eos_token_id", None)


KINDS = {kind.kind: kind for kind in (TextSource, RecallSource, MqarSource)}
