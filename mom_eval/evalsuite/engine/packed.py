"""Reading prompts, or what is left of them behind a state, in one packed call."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from mom_eval.models.lm import LM, packed
from mom_eval.models.state import State

T = TypeVar("T")


class Read(NamedTuple):
    """What N prompts leave behind."""

    logits: Tensor
    """[N, vocab] float32, behind each prompt's last token."""
    state: State

    def pick(self, rows: list[int]) -> "Read":
        """Some of the prompts, repeats allowed; all of them in order cost no copy."""
        if rows == list(range(len(self.state))):
            return self
        return Read(self.logits[rows], self.state[rows].trimmed())

    @classmethod
    def cat(cls, reads: Sequence["Read"]) -> "Read":
        """Several one after the other."""
        state = State.cat([one.state for one in reads])
        return cls(torch.cat([one.logits for one in reads]), state)


@torch.inference_mode()
def read(
    lm: LM, texts: Sequence[Sequence[int]], before: Sequence[State | None], piece: int
) -> Read:
    """Read texts, none of them empty, in one call.

    Args:
        lm: who reads.
        texts: the tokens to be read.
        before: for each, the state of the one sequence that it continues; None is the beginning.
        piece: a text by itself that is longer is read in parts of so many tokens.
    """
    device = lm.embeddings.weight.device
    state = None
    if any(one is not None for one in before):
        nothing = lm.empty_state(1)
        state = State.cat([nothing if one is None else one for one in before])
    if len(texts) == 1:
        while len(texts[0]) > piece:
            state = lm(*packed([texts[0][:piece]], device), state).state
            texts = [texts[0][piece:]]
    out = lm(*packed(texts, device), state)
    return Read(out.logits, out.state)


def portions(items: Sequence[T], cost: Callable[[T], int], budget: int) -> Iterator[list[T]]:
    """Split items, in order, into lists of a summed cost within the budget.

    An item above the budget is a list of its own.
    """
    some: list[T] = []
    spent = 0
    for item in items:
        if some and spent + cost(item) > budget:
            yield some
            some, spent = [], 0
        some.append(item)
        spent += cost(item)
    if some:
        yield some
