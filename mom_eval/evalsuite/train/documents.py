"""Documents to train on, by number.

A source is a pure function from a number to a document, so a training that goes on after a kill
needs to know no more than how many documents it has drawn.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol

from mom_eval.tasks.mqar import Ids
from mom_eval.tasks.tokens import HFTokens


class Document(NamedTuple):
    """All [n] int64; the model reads `tokens` and `labels` is what follows each."""

    tokens: Ids
    labels: Ids
    times: Ids | None = None
    """How many times each label counts; None: once, as that of IGNORE counts never."""


class Reader(NamedTuple):
    """A source that is read in."""

    documents: int | None
    """None: without end."""
    document: Callable[[int], Document]
    left_out: int = 0
    """Questions that are not among them, since no answer stands in their prompt."""
    together: int | None = None
    """Documents that are made at once, where a GPU would wait for them; None: it would not."""

    @property
    def account(self) -> str | None:
        """What is left out, in words; None: nothing. Documents may hold several questions."""
        if not self.left_out:
            return None
        verb = "question is" if self.left_out == 1 else "questions are"
        return (
            f"{self.left_out:,} {verb} left out, since no answer stands in the prompt; the others"
            f" make {self.documents:,} document{'' if self.documents == 1 else 's'}"
        )


class Source(Protocol):
    """A section [[data]] or [[heldout]]."""

    kind: ClassVar[str]
    paths: ClassVar[tuple[str, ...]]
    needs_tokenizer: ClassVar[bool]

    @property
    def weight(self) -> float:
        """Its share of the training tokens, beside the others' weights."""
        ...

    @property
    def length(self) -> int:
        """Tokens of a document, at most."""
        ...

    @property
    def name(self) -> str:
        """How curves call it."""
        ...

    def reader(self, tokens: HFTokens | None, vocab: int, seed: int, *, heldout: bool) -> Reader:
        """Open it; held-out documents of a generator are others than those trained on."""
        ...
