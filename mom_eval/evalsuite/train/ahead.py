"""Documents made by other processes before they are asked for.

A GPU trains on a million tokens a second, and a process makes a fifth of that of synthetic
documents. torch's `DataLoader` makes them in as many processes as there are; since a source is a
function of a number, it does not matter which of them makes what.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from multiprocessing import get_all_start_methods
from typing import Any, TypeVar

from torch.utils.data import DataLoader, Dataset

from mom_eval.errors import MomEvalError
from mom_eval.evalsuite.train.documents import Document

T = TypeVar("T")

AHEAD = 2
"""Lots that wait for each process."""


class Ahead:
    """Documents of a source without end, asked for in order from any number on."""

    def __init__(self, document: Callable[[int], Document], together: int, workers: int) -> None:
        """`together`: documents of a lot, which one process makes; it begins with the first."""
        self._document, self._together, self._workers = document, together, workers
        self._lots: Iterator[list[Document]] | None = None
        self._here = -1
        self._lot: list[Document] = []

    def document(self, n: int) -> Document:
        """Number n."""
        lot, place = divmod(n, self._together)
        if lot != self._here:
            self._lot, self._here = self._next(lot), lot
        return self._lot[place]

    def _next(self, lot: int) -> list[Document]:
        if self._lots is None or lot != self._here + 1:
            # In order, without end.
            self._lots = in_processes(self._make, count(lot), self._workers)
        return next(self._lots)

    def _make(self, lot: int) -> list[Document]:
        first = lot * self._together
        return [self._document(n) for n in range(first, first + self._together)]

    def close(self) -> None:
        """End the processes."""
        self._lots = None


def in_processes(make: Callable[[int], T], numbers: Iterable[int], workers: int) -> Iterator[T]:
    """What `make` makes of each number, in their order; without workers in this process.

    Raises whatever MomEvalError `make` raises, when its turn comes.
    """
    loader = DataLoader(
        _Made(make),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        collate_fn=_as_they_are,
        worker_init_fn=_undisturbed,
        # What it takes is not sent, it is there.
        multiprocessing_context="fork" if workers else None,
    )
    for found in loader:
        if isinstance(found, MomEvalError):
            raise found
        yield found


class _Made(Dataset):
    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make

    def __getitem__(self, index: Any) -> Any:
        """One, or what is wrong with it: raised in another process it would come as a trace."""
        try:
            return self._make(index)
        except MomEvalError as error:
            return error


def spare_cores() -> int:
    """Processes to make documents in, beside what this one does: all cores but two."""
    if "fork" not in get_all_start_methods():
        return 0
    return max(1, len(os.sched_getaffinity(0)) - 2)


def _undisturbed(worker: int) -> None:
    """A signal to end reaches all processes; what it asks for is that the step be done."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _as_they_are(made: Any) -> Any:
    return made
