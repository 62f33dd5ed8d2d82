"""Invented names, places, dates and figures, and templates that draw on them.

Every value is drawn until it belongs to the split asked for: the test split owns a quarter of all
possible values by their checksum, the train split the others. So the splits are made of the same
syllables and templates but share no name and no figure.
"""

import random
import re
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from mom_eval.tasks.sample import vocabulary as words

SPLITS = ("test", "train")
_TEST_SHARE = 4
_TRIES = 10_000
_SLOT = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")

Card = TypeVar("Card")


def split_of(value: str) -> str:
    """The split that owns a value."""
    return "train" if zlib.crc32(value.lower().encode()) % _TEST_SHARE else "test"


class World:
    """The source of all that is drawn for one document."""

    def __init__(self, rng: random.Random, split: str) -> None:
        """`split` is one of `SPLITS`."""
        if split not in SPLITS:
            raise ValueError(f"no split {split!r}; known: {', '.join(SPLITS)}")
        self.rng = rng
        self.split = split
        self._kept: set[str] = set()
        self._keeping = False
        self._decks: dict[int, tuple[Any, list[Any]]] = {}

    def draw(self, make: Callable[[], str]) -> str:
        """A value of this split that is not among those kept for answers."""
        for _ in range(_TRIES):
            value = make()
            if split_of(value) == self.split and value.lower() not in self._kept:
                if self._keeping:
                    self._kept.add(value.lower())
                return value
        raise ValueError(f"{_TRIES} tries gave no new value by {make}")

    def keep(self, kind: str) -> str:
        """A value of a kind (a method's name) that no later draw repeats: an answer."""
        self._keeping = True
        try:
            return self.value(kind)
        finally:
            self._keeping = False

    def keep_text(self, template: str) -> str:
        """A filled template that no later draw repeats: an answer."""
        value = self.draw(lambda: self.fill(template))
        self._kept.add(value.lower())
        return value

    def value(self, kind: str) -> str:
        """A value of a kind: `person`, `person2`, ... all call `person`."""
        return getattr(self, kind.rstrip("0123456789"))()

    def next(self, cards: tuple[Card, ...]) -> Card:
        """The next card of a shuffled deck: none comes twice before all have come once."""
        # The cards themselves may not be hashable; held here, they keep their identity.
        _, deck = self._decks.setdefault(id(cards), (cards, []))
        if not deck:
            deck.extend(self.rng.sample(cards, len(cards)))
        return deck.pop()

    def fill(self, template: str, known: dict[str, str] | None = None) -> str:
        """The text of a template.

        `{a|b}` is one of the alternatives, `{2..9}` a number from 2 to 9, `{person}` a known or a
        new value. A slot that occurs twice is filled alike; `person2` is another person.
        """
        known = {} if known is None else known
        new: dict[str, str] = {}

        def slot(match: re.Match[str]) -> str:
            name = match[1]
            if "|" in name:
                return self.rng.choice(name.split("|"))
            if numbers := _RANGE.fullmatch(name):
                return str(self.rng.randint(int(numbers[1]), int(numbers[2])))
            if name in known:
                return known[name]
            if name not in new:
                new[name] = self.value(name)
            return new[name]

        text = _SLOT.sub(slot, template)
        return text[:1].upper() + text[1:]

    def _root(self, endings: tuple[str, ...]) -> str:
        middle = self.rng.choice(words.MIDDLES) if self.rng.random() < 0.4 else ""
        ending = self.rng.choice(endings)
        if middle and middle[-1] in "aeiou" and ending[0] in "aeiou":
            middle += "l"
        return self.rng.choice(words.STARTS) + middle + ending

    def surname(self) -> str:
        """As in *Ellen Harwick*."""
        return self.draw(lambda: self._root(words.SURNAME_ENDINGS))

    def person(self) -> str:
        """Given name and surname."""
        return f"{self.rng.choice(words.GIVEN_NAMES)} {self.surname()}"

    def place(self) -> str:
        """A town."""
        return self.draw(lambda: self._root(words.PLACE_ENDINGS))

    def river(self) -> str:
        """A river, without *River*."""
        return self.draw(lambda: self._root(words.RIVER_ENDINGS))

    def region(self) -> str:
        """A country or province."""
        return self.draw(lambda: self._root(words.REGION_ENDINGS))

    def brand(self) -> str:
        """A made-up word that could be registered."""
        return self.draw(lambda: self._root(words.BRAND_ENDINGS))

    def product(self) -> str:
        """A brand with a type number."""
        letter = self.rng.choice("ABCDEFGHKLMPQRSTVX")
        return f"{self.brand()} {letter}{self.rng.randint(2, 99)}"

    def company(self) -> str:
        """A firm of any trade."""
        return f"{self.brand()} {self.rng.choice(words.FIRMS)}"

    def laboratory(self) -> str:
        """A firm that makes medical devices."""
        return f"{self.brand()} {self.rng.choice(words.LABORATORIES)}"

    def title(self) -> str:
        """Of a film, a song or a book."""
        return self.draw(
            lambda: " ".join(
                (
                    self.rng.choice(words.TITLE_FIRST),
                    self.rng.choice(words.TITLE_MIDDLE),
                    self.rng.choice(words.TITLE_LAST),
                )
            )
        )

    def team(self) -> str:
        """A football team: town and nickname; only the town is its own."""
        return f"{self.place()} {self.rng.choice(words.COLOURS)} {self.rng.choice(words.ANIMALS)}"

    def year(self) -> str:
        """1702 to 1989."""
        return self.draw(lambda: str(self.rng.randint(1702, 1989)))

    def date(self) -> str:
        """Day, month and year."""
        return self.draw(
            lambda: (
                f"{self.rng.randint(1, 28)} {self.rng.choice(words.MONTHS)}"
                f" {self.rng.randint(1902, 2019)}"
            )
        )

    def month(self) -> str:
        """A month's name; too few to be split."""
        return self.rng.choice(words.MONTHS)

    def count(self) -> str:
        """A number of things: 1,021 to 98,979."""
        return self.draw(lambda: f"{self.rng.randint(1021, 98979):,}")

    def some(self) -> str:
        """A small number; too few to be split, so never an answer."""
        return str(self.rng.randint(3, 48))
