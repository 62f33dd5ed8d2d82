"""Packed batches out of several sources, by weight and in an order that a seed decides."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mom_eval.evalsuite.train.ahead import Ahead
from mom_eval.evalsuite.train.documents import Document, Reader
from mom_eval.tasks.mqar import IGNORE


class Batch(NamedTuple):
    """Documents one after the other; no state crosses from one to the next."""

    tokens: Tensor
    """[L] int64."""
    cu_seqlens: Tensor
    """[N + 1] int64."""
    at: Tensor
    """[P] int64, the places that have a label, as many times as it counts."""
    labels: Tensor
    """[P] int64."""

    def to(self, device: str) -> "Batch":
        """The same on another device; the host does not wait for a GPU."""
        if torch.device(device).type == "cuda":
            return Batch(*(part.pin_memory().to(device, non_blocking=True) for part in self))
        return Batch(*(part.to(device) for part in self))


def pack(documents: Sequence[Document]) -> Batch:
    """Documents -> one batch."""
    labels = torch.from_numpy(np.concatenate([document.labels for document in documents]))
    times = [
        (document.labels != IGNORE).astype(np.int64) if document.times is None else document.times
        for document in documents
    ]
    at = torch.from_numpy(np.repeat(np.arange(len(labels)), np.concatenate(times)))
    lengths = [0, *(len(document.tokens) for document in documents)]
    return Batch(
        torch.from_numpy(np.concatenate([document.tokens for document in documents])),
        torch.tensor(lengths).cumsum(0),
        at,
        labels[at],
    )


class Mixture:
    """Draws from sources so that each gives its share of the tokens.

    Sources with an end are gone through in a new random order each time. What is drawn next depends
    on the seed and on `drawn` alone.
    """

    def __init__(
        self, readers: Sequence[Reader], weights: Sequence[float], seed: int, workers: int = 0
    ) -> None:
        """`weights` are relative to their sum; `workers` processes make what takes long."""
        each = workers // max(1, sum(reader.together is not None for reader in readers))
        self.ahead = [
            Ahead(reader.document, reader.together, each) if reader.together and each else None
            for reader in readers
        ]
        self.readers = readers
        self.weights, self.seed = weights, seed
        self.drawn = [(0, 0)] * len(readers)
        """Documents and tokens drawn so far, of each source."""
        self._orders: dict[int, tuple[int, np.ndarray]] = {}

    def batch(self, tokens: int, *, once: bool = False) -> Batch:
        """Documents of `tokens` tokens; the last one may reach beyond.

        `once`: fewer at the end of the first source, of which no document comes twice.
        """
        documents: list[Document] = []
        left, end = tokens, self.readers[0].documents if once else None
        while left > 0 and (end is None or self.drawn[0][0] < end):
            documents.append(self._next())
            left -= len(documents[-1].tokens)
        return pack(documents)

    def close(self) -> None:
        """End the processes."""
        for ahead in self.ahead:
            if ahead is not None:
                ahead.close()

    def _next(self) -> Document:
        """From the source that lacks most of its share."""
        shares = [
            count / weight for (_, count), weight in zip(self.drawn, self.weights, strict=True)
        ]
        which = shares.index(min(shares))
        number, count = self.drawn[which]
        document = self._document(which, number)
        self.drawn[which] = (number + 1, count + len(document.tokens))
        return document

    def _document(self, which: int, number: int) -> Document:
        reader = self.readers[which]
        ahead = self.ahead[which]
        if ahead is not None:
            return ahead.document(number)
        if reader.documents is None:
            return reader.document(number)
        turn, place = divmod(number, reader.documents)
        if self._orders.get(which, (None,))[0] != turn:
            draw = np.random.default_rng([self.seed, which, turn])
            self._orders[which] = turn, draw.permutation(reader.documents)
        return reader.document(int(self._orders[which][1][place]))
