"""Tokens as the tasks see them: text to a list and back, without special tokens.

Windows are measured in the model's own tokens, so two models with different tokenizers read
different text (every line of a run holds its prompt's hash). Without a model, the sample's own
splitter stands in.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from mom_eval.errors import ModelError
from mom_eval.tasks.sample.pieces import pieces

Span = tuple[int, int]
"""Where a token stands in its text: first character, one past the last."""


class Tokens(Protocol):
    """What a window needs of a tokenizer."""

    name: str
    """How tables and run folders call it."""
    sha256: str
    """Of its vocabulary and rules: decides, with the text, what a window holds."""

    def encode(self, text: str) -> list[Any]:
        """Tokens of the text, no special ones among them."""
        ...

    def decode(self, ids: list[Any]) -> str:
        """The text of these tokens."""
        ...


class PieceTokens:
    """Words and punctuation: the sample's own splitter, for runs without a model."""

    name = "words"
    sha256 = hashlib.sha256(b"words 1").hexdigest()

    def encode(self, text: str) -> list[str]:
        """Pieces of the text; joined they are the text again."""
        return pieces(text)

    def decode(self, ids: list[str]) -> str:
        """The pieces joined."""
        return "".join(ids)


class HFTokens:
    """A Hugging Face tokenizer, special tokens left out on the way in and out."""

    def __init__(self, tokenizer: Any, name: str) -> None:
        """`tokenizer` is a `PreTrainedTokenizer(Fast)`.

        Raises:
            ModelError: it lacks what windows and prompts need.
        """
        for need in ("encode", "decode"):
            if not callable(getattr(tokenizer, need, None)):
                raise ModelError(
                    f"the tokenizer {name} ({type(tokenizer).__name__}) has no {need}();"
                    " give one from transformers with --tokenizer"
                )
        self.tokenizer = tokenizer
        self.name = name
        self.sha256 = _fingerprint(tokenizer)
        # Several questions are asked on one document: encode it once.
        self._encode = lru_cache(maxsize=256)(self._encode_once)

    def _encode_once(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def encode(self, text: str) -> list[int]:
        """Token ids."""
        return list(self._encode(text))

    def decode(self, ids: list[int]) -> str:
        """The text of token ids, special tokens skipped."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        """Token ids, and where each of them stands in the text.

        Raises:
            ModelError: the tokenizer is one of those in Python, which do not know.
        """
        if not getattr(self.tokenizer, "is_fast", False):
            raise ModelError(
                f"the tokenizer {self.name} does not say where its tokens stand in a text; give a"
                " fast one (with a tokenizer.json) with --tokenizer"
            )
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return found["input_ids"], found["offset_mapping"]

    def adds_bos(self) -> bool:
        """Whether the tokenizer by itself puts a beginning-of-sequence token before a text."""
        with_special = self.tokenizer("a")["input_ids"]
        bos = getattr(self.tokenizer, "bos_token_id", None)
        return bos is not None and bool(with_special) and with_special[0] == bos


def _fingerprint(tokenizer: Any) -> str:
    """Hash of what maps text to tokens: a fast tokenizer's definition, else the vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(text.encode()).hexdigest()


def load_tokens(
    name: str,
    *,
    gguf_file: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> HFTokens:
    """Load a tokenizer from a folder, a hub id, or out of a GGUF file in a folder.

    Raises:
        ModelError: not found, no network, or not loadable.
    """
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    extra: dict[str, Any] = {"gguf_file": gguf_file} if gguf_file else {}
    if revision:
        extra["revision"] = revision
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            name, trust_remote_code=trust_remote_code, **extra
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"no tokenizer could be loaded from {Path(name).name} ({first}); give one with"
            " --tokenizer"
        ) from error
    return HFTokens(tokenizer, gguf_file or (Path(name).name if Path(name).exists() else name))
