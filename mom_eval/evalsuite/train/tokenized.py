"""Documents as token ids, made once: what a file gives is kept in the user's cache.

A corpus takes minutes to be tokenized and cut, and trainings of a sweep read the same. What is kept
hangs on everything that it was made of, the code too.
"""

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import mom_eval.tasks
from mom_eval.evalsuite.train.documents import Document
from mom_eval.tasks.mqar import IGNORE

CACHE = "tokens"


class Tokenized(NamedTuple):
    """Documents one after the other."""

    ids: NDArray[Any]
    """[ids] of a type as small as they allow."""
    ends: NDArray[np.int64]
    """[N + 1], where each document begins and the last ends."""
    asked: NDArray[np.bool_]
    """[ids], whether a token is what a question asks for; of a text all are."""
    left_out: int = 0

    @property
    def documents(self) -> int:
        """How many there are."""
        return len(self.ends) - 1

    def document(self, n: int, times: int = 1, others: int = 1) -> Document:
        """Number n; see `labelled`."""
        here = slice(self.ends[n], self.ends[n + 1])
        return labelled(self.ids[here].astype(np.int64), self.asked[here], times, others)


def labelled(
    ids: NDArray[np.int64], asked: NDArray[np.bool_], times: int = 1, others: int = 1
) -> Document:
    """Ids [n + 1] -> tokens and labels [n]: those `asked` [n + 1] count so often, others so."""
    count = np.where(asked[1:], times, others)
    return Document(ids[:-1], np.where(count > 0, ids[1:], IGNORE), count)


def joined(
    documents: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]], left_out: int = 0
) -> Tokenized:
    """Of the ids of each, and which of them are asked for."""
    ends = np.cumsum([0, *(len(ids) for ids, _ in documents)], dtype=np.int64)
    largest = max((int(ids.max(initial=0)) for ids, _ in documents), default=0)
    flat = np.empty(ends[-1], np.uint16 if largest < 1 << 16 else np.uint32)
    wanted = np.empty(ends[-1], np.bool_)
    for (ids, asked), end in zip(documents, ends[1:], strict=True):
        flat[end - len(ids) : end], wanted[end - len(ids) : end] = ids, asked
    return Tokenized(flat, ends, wanted, left_out)


def kept(about: Mapping[str, Any], make: Callable[[], Tokenized]) -> Tokenized:
    """What an earlier call has made of the same, or what is made now and kept.

    Args:
        about: all that it is made of: hashes of file and tokenizer, settings. The code of the tasks
            is added.
        make: makes it.
    """
    path = _folder() / f"{_name(about)}.npz"
    try:
        with np.load(path) as found:
            return Tokenized(found["ids"], found["ends"], found["asked"], int(found["left_out"]))
    # Not there, or left by a disk that was full: made anew.
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        made = make()
    _keep(path, made)
    return made


def _keep(path: Path, made: Tokenized) -> None:
    """Whole or not at all; where nothing can be written it is made anew next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Goes with its folder, whatever happens to it.
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder) / path.name
            np.savez(part, **made._asdict())
            part.replace(path)
    except OSError:
        return


def _folder() -> Path:
    cached = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cached) / "mom-eval" / CACHE


def _name(about: Mapping[str, Any]) -> str:
    text = json.dumps({**about, "code": _code()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@lru_cache
def _code() -> str:
    """A hash over what makes prompts and documents, with the version of what makes tokens."""
    folders = (Path(mom_eval.tasks.__file__).parent, Path(__file__).parent)
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    parts = [version("tokenizers").encode(), *(path.read_bytes() for path in files)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
