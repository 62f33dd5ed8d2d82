"""Documents made by other processes before they are asked for.

A GPU trains on a million tokens a second, and a process makes a fifth of that of synthetic
documents. torch's `DataLoader` makes them in as many processes as there are; since a source is a
function of a number, it does not matter which of them makes what.
"""

import signal
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from torch.utils.data import DataLoader, Dataset

from mom_eval.errors import MomEvalError
from mom_eval.evalsuite.train.documents import Document

AHEAD = 2
"""Lots that wait for each process."""


class Ahead:
    """Documents of a source without end, asked for in order from any number on."""

    def __init__(self, document: Callable[[int], Document], together: int, workers: int) -> None:
        """`together`: documents of a lot, which one process makes; it begins with the first."""
        self._lots, self._workers = _Lots(document, together), workers
        self._loader: Iterator[Any] | None = None
        self._here = -1
        self._lot: list[Document] = []

    def document(self, n: int) -> Document:
        """Number n."""
        lot, place = divmod(n, self._lots.together)
        if lot != self._here:
            self._lot, self._here = self._next(lot), lot
        return self._lot[place]

    def _next(self, lot: int) -> list[Document]:
        if self._loader is None or lot != self._here + 1:
            self._loader = self._begin(lot)
        found = next(self._loader)
        if isinstance(found, MomEvalError):
            raise found
        return found

    def close(self) -> None:
        """End the processes."""
        self._loader = None

    def _begin(self, lot: int) -> Iterator[Any]:
        return iter(
            DataLoader(
                self._lots,
                batch_size=None,
                # Lots in order, without end.
                sampler=count(lot),
                num_workers=self._workers,
                prefetch_factor=AHEAD,
                collate_fn=_as_they_are,
                worker_init_fn=_undisturbed,
                # What documents are made of is not sent, it is there.
                multiprocessing_context="fork",
            )
        )


class _Lots(Dataset):
    def __init__(self, document: Callable[[int], Document], together: int) -> None:
        self._document, self.together = document, together

    def __getitem__(self, index: Any) -> Any:
        """A lot, or what is wrong with it: raised in another process it would come as a trace."""
        first = index * self.together
        try:
            return [self._document(n) for n in range(first, first + self.together)]
        except MomEvalError as error:
            return error


def _undisturbed(worker: int) -> None:
    """A signal to end reaches all processes; what it asks for is that the step be done."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _as_they_are(lot: Any) -> Any:
    return lot
