"""A progress bar a task on stderr; silent where stderr is no terminal."""

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
from rich.progress import Task as Bar
from rich.text import Text


class _Speed(TextColumn):
    def __init__(self, what: str) -> None:
        super().__init__("")
        self._what = what

    def render(self, task: Bar) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} {self._what}/s" if speed else "", style="dim")


class Bars:
    """The bars of one run."""

    def __init__(self, progress: Progress, label: str) -> None:
        """`label` names the model before each bar."""
        self._progress, self._label = progress, label
        self._bar: TaskID | None = None

    def start(self, task: str, total: int, done: int) -> None:
        """A bar for a task of which `done` questions were answered before."""
        self._bar = self._progress.add_task(f"{self._label}  {task}", total=total, completed=done)

    def advance(self, count: int) -> None:
        """So many questions more."""
        if self._bar is not None:
            self._progress.advance(self._bar, count)

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(text, highlight=False, markup=False)


@contextmanager
def bars(label: str, what: str = "questions") -> Iterator[Bars]:
    """Show the bars of one run while it goes on; they count `what`."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(what),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        yield Bars(progress, label)
