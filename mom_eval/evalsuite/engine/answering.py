"""A set of prompts, and what is wanted behind each, answered as a stream."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from mom_eval.evalsuite.engine.count import TokenCount
from mom_eval.evalsuite.engine.limits import Limits, StateBytes
from mom_eval.evalsuite.engine.packed import read
from mom_eval.evalsuite.engine.score import Scored, score
from mom_eval.evalsuite.engine.slots import Slots
from mom_eval.evalsuite.engine.trie import Node, build
from mom_eval.evalsuite.engine.walk import Walk
from mom_eval.evalsuite.memory import at_once
from mom_eval.models.lm import LM


class Write(NamedTuple):
    """A text to be written behind a prompt."""

    prompt: Sequence[int]
    tokens: int
    """It has at most so many, and ends before the tokenizer's end of sequence."""
    stops: tuple[str, ...]
    """It ends before the first of these."""

    @property
    def end(self) -> int:
        """Tokens that a slot holds of it, at most."""
        # One more: a GPU has read on before the host sees that the text has ended.
        return len(self.prompt) + self.tokens + 1


class Score(NamedTuple):
    """A text to be scored behind a prompt."""

    prompt: Sequence[int]
    text: Sequence[int]


class Part(NamedTuple):
    """Some of the answers."""

    written: dict[int, str]
    """Place of the `Write` -> the text."""
    scored: dict[int, Scored]
    """Place of the `Score` -> what was found."""


class Answering:
    """One pass over a set of prompts; iterate over it for the answers, once."""

    def __init__(
        self,
        lm: LM,
        writes: Sequence[Write],
        scores: Sequence[Score],
        limits: Limits,
        finish: Callable[[Write, list[int]], str | None],
        count: TokenCount,
    ) -> None:
        """Order the prompts; nothing is read yet.

        Args:
            lm: who is asked.
            writes: texts to be written.
            scores: texts to be scored.
            limits: what is done at once.
            finish: the text of some tokens if it ends with the last, None while it goes on.
            count: is added to.
        """
        self._lm, self._limits, self._count = lm, limits, count
        self._writes, self._scores = writes, scores
        # A slot is given only where a quarter is free: single prompts would be read one by one.
        slots = max(1, min(limits.slots, len(writes)))
        self._enough = max(1, slots // 4)
        longest = max((write.end for write in writes), default=0)
        self.slots = Slots(lm, slots, longest, lambda place, ids: finish(writes[place], ids))
        roots = build([one.prompt for one in (*writes, *scores)])
        self.largest = 0
        """Slots that were taken at once, at most."""
        # A method would hold this, and all its memory, until Python looks for cycles.
        self._is_written = partial(_any_below, len(writes))
        self.walk = Walk(roots, self._is_written, StateBytes(lm), limits.bytes)

    def __iter__(self) -> Iterator[Part]:
        """The answers as they come.

        Raises:
            OutOfMemory: memory ran out.
        """
        while self.walk or self.slots.active:
            if self.walk and self.slots.free >= self._enough:
                yield from self._read()
                continue
            before = self.slots.written
            with at_once(self._in_flight()):
                written = self.slots.step()
            self._count.written += self.slots.written - before
            if written:
                yield Part(written, {})

    def _read(self) -> Iterator[Part]:
        """Read the next prompts, score behind them, and let those be written that are to be."""
        wave = self.walk.wave(self._limits.slots, self.slots.free, self._limits.tokens)
        with at_once(self._in_flight(len(wave))):
            texts, before = [node.tokens for node in wave], self.walk.before(wave)
            left = read(self._lm, texts, before, self._limits.tokens)
            self.walk.done(wave, left.state)
            rows = [row for row, node in enumerate(wave) if self._is_written(node)]
            if rows:
                self.slots.fill([self._written(wave[row]) for row in rows], left.pick(rows))
                self.largest = max(self.largest, self.slots.active)
        self._count.read += sum(map(len, wave))
        self._count.unshared += sum(node.end for node in wave if node.ends)
        scored = [(row, place) for row, node in enumerate(wave) for place in self._scored(node)]
        places = iter([place for _, place in scored])
        texts = [(row, self._scores[place].text) for row, place in scored]
        # Halving the slots halves the room of a call, whatever is scored in it.
        with at_once(self._limits.slots):
            for found in score(self._lm, left, texts, self._limits.bytes):
                part = {next(places): one for one in found}
                self._count.scored += sum(len(self._scores[place].text) for place in part)
                yield Part({}, part)

    def _in_flight(self, wave: int = 0) -> int:
        return max(wave, self.slots.active, self.walk.held)

    def _written(self, node: Node) -> list[int]:
        return [place for place in node.ends if place < len(self._writes)]

    def _scored(self, node: Node) -> list[int]:
        first = len(self._writes)
        return [place - first for place in node.ends if place >= first]


def _any_below(places: int, node: Node) -> bool:
    """Whether one of the first `places` ends there."""
    return any(place < places for place in node.ends)
