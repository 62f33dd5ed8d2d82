"""What was read before an answer, for the page: run folders keep its hash and not its words."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from mom_eval.results.store import Run


class Text(NamedTuple):
    """What is at hand of one question as one run was asked it."""

    prompt: str | None
    """As the model read it: its hash is the one that the run keeps. None: not at hand."""
    document: str
    """Of the prompt; the whole one where there is no prompt."""


class Texts(Protocol):
    """Where documents and prompts come from."""

    @property
    def missing(self) -> Sequence[str]:
        """Sentences on what was looked for and is not at hand, in the order in which they arose."""
        ...

    def of(self, run: Run, task: str, question: str) -> Text | None:
        """Of one question, by its id; None: not at hand."""
        ...


class _None:
    """Nothing is at hand."""

    missing: Sequence[str] = ()

    def of(self, run: Run, task: str, question: str) -> Text | None:
        """None."""
        return None


NO_TEXTS: Texts = _None()
"""For a page of scores and outputs."""
