"""Greedy decoding in a fixed number of slots, which are filled anew as texts end."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from mom_eval.evalsuite.engine.packed import Read
from mom_eval.models.lm import LM, packed

Finish = Callable[[int, list[int]], str | None]
"""(text, the tokens it has so far) -> what it is if it ends here, None while it goes on."""


@dataclass
class Slot:
    """One prompt that is written behind, for every text that is wanted behind it."""

    going: list[int]
    """Its texts that have not ended: greedy decoding writes the same for all of them."""
    tokens: list[int] = field(default_factory=list)


class Slots:
    """Writes a token at a time behind every prompt that has a slot."""

    def __init__(self, lm: LM, count: int, finish: Finish) -> None:
        """`count` slots."""
        self._lm, self._count, self._finish = lm, count, finish
        self._slots: list[Slot] = []
        self._read: Read | None = None

    @property
    def active(self) -> int:
        """Slots that are taken."""
        return len(self._slots)

    @property
    def free(self) -> int:
        """Slots that are not."""
        return self._count - len(self._slots)

    def fill(self, texts: list[list[int]], read: Read) -> None:
        """Give slots to prompts: for each the texts to be written behind it, and what it left."""
        assert len(texts) <= self.free, "more prompts than free slots"
        if texts:
            self._slots += [Slot(list(some)) for some in texts]
            self._read = read if self._read is None else Read.cat([self._read, read])

    @torch.inference_mode()
    def step(self) -> dict[int, str]:
        """Write one token in every slot; the texts that end with it."""
        if self._read is None:
            return {}
        out: dict[int, str] = {}
        for slot, token in zip(self._slots, self._read.logits.argmax(-1).tolist(), strict=True):
            slot.tokens.append(token)
            for place in list(slot.going):
                text = self._finish(place, slot.tokens)
                if text is not None:
                    out[place] = text
                    slot.going.remove(place)
        rows = [row for row, slot in enumerate(self._slots) if slot.going]
        self._slots = [self._slots[row] for row in rows]
        self._read = self._push(self._read.pick(rows)) if rows else None
        return out

    def _push(self, read: Read) -> Read:
        last = [slot.tokens[-1:] for slot in self._slots]
        tokens, cu_seqlens = packed(last, read.logits.device)
        logits, state, _ = self._lm(tokens, cu_seqlens, read.state, at=cu_seqlens[:-1])
        return Read(logits, state)
