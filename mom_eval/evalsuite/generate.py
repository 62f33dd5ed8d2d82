"""Reading, greedy decoding and scoring on our own models, a packed batch at a time.

What reading leaves is a value: the state of every prompt and the logits behind it. Decoding goes on
from there, and so does every text that is to be scored, so a prompt is read once however many
continuations it has. Nothing is padded: no sequence knows of the others in its batch.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from mom_eval.models.lm import LM, packed
from mom_eval.models.state import State

T = TypeVar("T")
Ended = Callable[[int, list[int]], bool]
"""(sequence, the tokens it has written so far) -> whether it ends here."""


class Read(NamedTuple):
    """What N prompts leave behind."""

    logits: Tensor
    """[N, vocab] float32, behind each prompt's last token."""
    state: State

    def pick(self, rows: list[int]) -> "Read":
        """Some of the prompts, repeats allowed; all of them in order cost no copy."""
        if rows == list(range(len(self.state))):
            return self
        return Read(self.logits[rows], self.state[rows])


class Scored(NamedTuple):
    """How likely a continuation is."""

    nats: float
    """Natural log of its probability."""
    greedy: bool
    """Whether greedy decoding would write it."""


@torch.inference_mode()
def read(lm: LM, prompts: Sequence[Sequence[int]]) -> Read:
    """Read prompts, none of them empty, in one call."""
    out = lm(*packed(prompts, lm.embeddings.weight.device))
    return Read(out.logits, out.state)


@torch.inference_mode()
def decode(lm: LM, start: Read, ended: Ended) -> list[list[int]]:
    """Write greedily behind each prompt, a token at a time, until `ended` says so.

    Returns:
        Each prompt's new tokens, the last one included at which it ended.
    """
    written: list[list[int]] = [[] for _ in range(len(start.state))]
    rows, (logits, state) = list(range(len(written))), start
    while True:
        for row, token in zip(rows, logits.argmax(-1).tolist(), strict=True):
            written[row].append(token)
        going = [place for place, row in enumerate(rows) if not ended(row, written[row])]
        if not going:
            return written
        if len(going) < len(rows):
            rows, state = [rows[place] for place in going], state[going]
        tokens, cu_seqlens = packed([written[row][-1:] for row in rows], logits.device)
        logits, state, _ = lm(tokens, cu_seqlens, state, at=cu_seqlens[:-1])


@torch.inference_mode()
def score(
    lm: LM, start: Read, continuations: Sequence[tuple[int, Sequence[int]]], room: int
) -> list[Scored]:
    """Score texts that continue prompts, as many in one call as fit.

    Args:
        lm: the model that read the prompts.
        start: what they left; it is not changed.
        continuations: (prompt, tokens); an empty text is certain.
        room: bytes that the prompts' states, repeated for the texts, and the logits may take.
    """
    state_bytes = start.state.nbytes() // max(1, len(start.state))
    token_bytes = 3 * start.logits.shape[-1] * start.logits.element_size()
    piece = max(1, room // token_bytes)
    out = []
    for some in portions(
        continuations, lambda one: state_bytes + token_bytes * min(len(one[1]), piece), room
    ):
        behind = start.pick([prompt for prompt, _ in some])
        out += _score(lm, behind, [text for _, text in some], piece)
    return out


def _score(lm: LM, behind: Read, texts: list[Sequence[int]], piece: int) -> list[Scored]:
    """Score one text behind each prompt, at most `piece` tokens of each at once."""
    out = [Scored(0.0, True)] * len(texts)
    rows = list(range(len(texts)))
    for begin in range(0, max(map(len, texts)), piece):
        going = [place for place, row in enumerate(rows) if len(texts[row]) > begin]
        rows, behind = [rows[place] for place in going], behind.pick(going)
        parts = [texts[row][begin : begin + piece] for row in rows]
        tokens, cu_seqlens = packed(parts, behind.logits.device)
        every = torch.arange(len(tokens), device=tokens.device)
        logits, state, _ = lm(tokens, cu_seqlens, behind.state, at=every)
        before = logits.roll(1, 0)
        before[cu_seqlens[:-1]] = behind.logits
        nats = before.log_softmax(-1).gather(-1, tokens[:, None])[:, 0].tolist()
        greedy = (before.argmax(-1) == tokens).tolist()
        ends = list(accumulate(map(len, parts)))
        for row, part, end in zip(rows, parts, ends, strict=True):
            these = slice(end - len(part), end)
            out[row] = Scored(
                out[row].nats + sum(nats[these]), out[row].greedy and all(greedy[these])
            )
        behind = Read(logits[cu_seqlens[1:] - 1], state)
    return out


def portions(
    items: Sequence[T], cost: Callable[[T], int], budget: int, rows: int | None = None
) -> Iterator[list[T]]:
    """Split items, in order, into lists of a summed cost within the budget and at most `rows`.

    An item above the budget is a list of its own.
    """
    some: list[T] = []
    spent = 0
    for item in items:
        if some and (spent + cost(item) > budget or len(some) == rows):
            yield some
            some, spent = [], 0
        some.append(item)
        spent += cost(item)
    if some:
        yield some
