"""How likely texts are behind prompts that are read."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch

from mom_eval.evalsuite.engine.packed import Read, portions
from mom_eval.models.lm import LM, packed


class Scored(NamedTuple):
    """How likely a text is."""

    nats: float
    """Natural log of its probability."""
    greedy: bool
    """Whether greedy decoding would write it."""


def score(
    lm: LM, start: Read, texts: Sequence[tuple[int, Sequence[int]]], room: int
) -> Iterator[list[Scored]]:
    """Score texts behind prompts, as many in one call as fit.

    Args:
        lm: the model that read the prompts.
        start: what they left; it is not changed.
        texts: (prompt, tokens); an empty text is certain.
        room: bytes that the prompts' states, repeated for the texts, and the logits may take.

    Yields:
        What each call found, in the order of the texts.
    """
    state_bytes = start.state.nbytes() // len(start.state)
    token_bytes = 3 * start.logits.shape[-1] * start.logits.element_size()
    piece = max(1, room // token_bytes)
    for some in portions(
        texts, lambda one: state_bytes + token_bytes * min(len(one[1]), piece), room
    ):
        behind = start.pick([prompt for prompt, _ in some])
        yield _score(lm, behind, [text for _, text in some], piece)


@torch.inference_mode()
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
