"""When memory runs out: half as many at once, and how much memory a run took at most."""

import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from mom_eval.errors import RunError

Item = TypeVar("Item")
Result = TypeVar("Result")
Ask = Callable[[Sequence[Item], int | None], Iterator[list[tuple[Item, Result]]]]
"""(items, how many at once; None: as many as there is room for) -> items and results."""


class OutOfMemory(Exception):
    """Memory ran out; never shown to a user."""

    def __init__(self, at_once: int) -> None:
        """`at_once`: how many items were in flight."""
        super().__init__(at_once)
        self.at_once = at_once


@contextmanager
def at_once(items: int) -> Iterator[None]:
    """Do something with so many items in flight.

    Raises:
        OutOfMemory: memory ran out over it, on a GPU or on the machine.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise OutOfMemory(items) from error


class Halving(Generic[Item, Result]):
    """Asks for results; when memory runs out, for those that are missing, half as many at once."""

    def __init__(
        self, what: str, alone: Callable[[Sequence[Item]], str], say: Callable[[str], None]
    ) -> None:
        """`what` the items are; `alone(missing)` ends the sentence where one does not fit alone."""
        self._what, self._alone, self._say = what, alone, say
        self._rows: int | None = None

    def results(
        self, items: Sequence[Item], ask: Ask[Item, Result]
    ) -> Iterator[list[tuple[Item, Result]]]:
        """What `ask` finds, as it comes.

        Raises:
            RunError: memory runs out on a single item.
        """
        missing = list(items)
        while missing:
            done: set[Item] = set()
            try:
                for some in ask(missing, self._rows):
                    done.update(item for item, _ in some)
                    yield some
                return
            except OutOfMemory as error:
                missing = [item for item in missing if item not in done]
                if error.at_once == 1:
                    raise RunError(f"out of memory on {self._alone(missing)}") from error
                at_most = error.at_once
            # Only here, with the error gone, are its tensors gone too.
            release_memory()
            self._rows = at_most // 2
            self._say(
                f"out of memory with {at_most} {self._what} at once; going on with {self._rows}"
            )


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or on the machine."""
    if isinstance(error, MemoryError):
        return True
    text = str(error)
    return (
        type(error).__name__ == "OutOfMemoryError"
        or "not enough memory" in text
        or "out of memory" in text
    )


def release_memory() -> None:
    """Give freed GPU memory back, so that a smaller batch finds it in one piece."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def peak_memory() -> int:
    """Bytes: the GPU's peak where there is one, else the process' largest resident size."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
