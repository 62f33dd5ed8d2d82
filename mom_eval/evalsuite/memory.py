"""When memory runs out: batches are halved, and how much memory a run took at most."""

import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from mom_eval.errors import RunError

Item = TypeVar("Item")
Result = TypeVar("Result")


class Halving(Generic[Item]):
    """Does batches in as many parts as memory asks for; later ones are split in advance."""

    def __init__(self, what: str, alone: Callable[[Item], str], say: Callable[[str], None]) -> None:
        """`what` the items are; `alone` ends the sentence on one that does not fit by itself."""
        self._what, self._alone, self._say = what, alone, say
        self._rows: int | None = None

    def parts(
        self, batch: Sequence[Item], do: Callable[[Sequence[Item]], list[Result]]
    ) -> Iterator[tuple[Sequence[Item], list[Result]]]:
        """`do` the batch; yields each part with its results.

        Raises:
            RunError: memory runs out on a single item.
        """
        rows = min(self._rows or len(batch), len(batch))
        start = 0
        while start < len(batch):
            part = batch[start : start + rows]
            results = self._try(part, do)
            if results is None:
                # Only here, with the error gone, are its tensors gone too.
                release_memory()
                rows = self._rows = len(part) // 2
                self._say(
                    f"out of memory with {len(part)} {self._what} at once; going on with {rows}"
                )
                continue
            yield part, results
            start += len(part)

    def _try(
        self, part: Sequence[Item], do: Callable[[Sequence[Item]], list[Result]]
    ) -> list[Result] | None:
        try:
            return do(part)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            if len(part) == 1:
                raise RunError(f"out of memory on {self._alone(part[0])}") from error
            return None


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
