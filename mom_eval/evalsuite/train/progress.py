"""The bar of a training on stderr: loss, tokens a second, time left."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)


class TrainingBar:
    """Shown while steps are taken; silent where stderr is no terminal."""

    def __init__(self, progress: Progress, bar: TaskID) -> None:
        """`bar` is a task of `progress`."""
        self._progress, self._bar = progress, bar

    def advance(self, loss: float, speed: float) -> None:
        """A step more, of this loss and so many tokens a second."""
        text = f"loss {loss:.4f}  {speed:,.0f} tokens/s"
        self._progress.update(self._bar, advance=1, description=text)


@contextmanager
def training_bar(steps: int, done: int) -> Iterator[TrainingBar]:
    """A bar of `steps` steps, of which some were done before."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        yield TrainingBar(progress, progress.add_task("", total=steps, completed=done))
