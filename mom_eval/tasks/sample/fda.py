"""FDA-like rows: the decision summary of a device, section after section, and a key to look up."""

from collections.abc import Iterator
from itertools import count
from string import ascii_uppercase
from typing import Any

from mom_eval.tasks.sample import fda_words as words
from mom_eval.tasks.sample.prose import length, padded
from mom_eval.tasks.sample.world import World

_PIECES_A_KEY = 34
_MOST_QUESTIONS = 8
_NUMBERING = 3
"""Pieces that number and line break add to a section."""


def questions(world: World, tokens: int) -> Iterator[dict[str, Any]]:
    """Rows on one document of about `tokens` pieces."""
    head = world.fill(words.HEAD)
    title, purpose = words.PURPOSE
    purpose = f"{title}:\n{world.fill(purpose)}"
    room = tokens - length((head, purpose)) - _NUMBERING
    number = max(1, min(len(words.KEYS), room // _PIECES_A_KEY))
    keys = world.rng.sample(sorted(words.KEYS), number)
    values = {key: world.keep_text(words.KEYS[key]) for key in keys}
    gap = world.rng.choice((" ", "\n"))
    sections = [f"{key}:{gap}{value}" for key, value in values.items()]
    sections = padded(sections, lambda: _narrative(world), room, _NUMBERING)
    world.rng.shuffle(sections)
    sections.insert(0, purpose)
    lines = (f"{n}. {text}" for n, text in zip(_numbers(len(sections)), sections, strict=False))
    document = "\n".join((head, *lines))
    file_name = f"{world.product().replace(' ', '_')}_review.txt"
    for key in keys[:_MOST_QUESTIONS]:
        yield {
            "file_name": file_name,
            "key": key.lower(),
            "value": values[key],
            "text": f"{document}\n{key}:",
        }


def _narrative(world: World) -> str:
    title, sentences = world.next(words.NARRATIVES)
    chosen = world.rng.sample(sentences, 2)
    return f"{title}:\n{' '.join(world.fill(sentence) for sentence in chosen)}"


def _numbers(needed: int) -> Iterator[str]:
    """A, B, ... as the form has them, or 1, 2, ... where the alphabet is too short."""
    return iter(ascii_uppercase) if needed <= len(ascii_uppercase) else map(str, count(1))
