"""Greedy decoding in a fixed number of slots, which are filled anew as texts end."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mom_eval.evalsuite.engine.packed import Read
from mom_eval.models.decoder import Decoder
from mom_eval.models.lm import LM

Finish = Callable[[int, list[int]], str | None]
"""(text, the tokens it has so far) -> what it is if it ends here, None while it goes on."""


@dataclass
class Slot:
    """One prompt that is written behind, for every text that is wanted behind it."""

    going: list[int]
    """Its texts that have not ended: greedy decoding writes the same for all of them."""
    next: int
    """The token to be written next, where the step that gave it has ended."""
    tokens: list[int] = field(default_factory=list)


class Slots:
    """Writes a token at a time behind every prompt that has a slot."""

    def __init__(self, lm: LM, count: int, capacity: int, finish: Finish) -> None:
        """`count` slots of `capacity` tokens, prompt and text; allocated with the first prompt."""
        self._lm, self._count, self._capacity, self._finish = lm, count, capacity, finish
        self._slots: dict[int, Slot] = {}
        self._decoder: Decoder | None = None
        self._begun: set[int] | None = None
        """Slots of a step that was begun and not looked at, and are taken by the same prompts."""
        self.written = 0
        """Tokens so far."""

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
        if not texts:
            return
        if self._decoder is None:
            self._decoder = Decoder(self._lm, self._count, self._capacity)
        free = [place for place in range(self._count) if place not in self._slots][: len(texts)]
        self._decoder.write(free, read.state)
        first = read.logits.argmax(-1).tolist()
        for place, some, token in zip(free, texts, first, strict=True):
            self._slots[place] = Slot(list(some), token)

    def step(self) -> dict[int, str]:
        """Write one token in every slot; the texts that end with it.

        A GPU is a step ahead: it reads on behind every text while the host sees which of them end,
        so slots that were filled since the last step are written in by the next.
        """
        out: dict[int, str] = {}
        decoder = self._decoder
        if decoder is None:
            return out
        ahead, reading = self._begun or set(), set(self._slots)
        decoder.begin(
            {place: None if place in ahead else slot.next for place, slot in self._slots.items()}
        )
        # What is looked at now, and what is for the next time.
        last, self._begun = (self._begun, reading) if decoder.ahead else (reading, None)
        if last is None:
            return out
        self.written += len(last)
        for place in sorted(last):
            slot = self._slots[place]
            slot.tokens.append(slot.next)
            for text in list(slot.going):
                ended = self._finish(text, slot.tokens)
                if ended is not None:
                    out[text] = ended
                    slot.going.remove(text)
            if not slot.going:
                del self._slots[place]
        for place, token in decoder.end(sorted(last & self._slots.keys())).items():
            self._slots[place].next = token
        if self._begun is not None:
            self._begun &= self._slots.keys()
            if not self._slots:
                # What was begun is for nobody.
                decoder.end(())
                self._begun = None
        return out
