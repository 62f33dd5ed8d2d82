"""Prose on one subject: facts that are asked for, scattered among sentences that are not."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from mom_eval.tasks.sample.pieces import pieces
from mom_eval.tasks.sample.world import World

_PIECES_A_TEXT = 380
_PIECES_A_FACT = 55
"""At most one fact in so many pieces, so that most of a document is not asked for."""


class Relation(NamedTuple):
    """A fact with its question; all but `kind` are templates, `{answer}` stands in the first."""

    kind: str
    """The answer's kind, a method of `World`."""
    sentence: str
    question: str
    statement: str = ""
    """The question as a statement that stops right before the answer (SQuAD's form)."""


class Topic(NamedTuple):
    """What can be said on one kind of subject."""

    names: dict[str, str]
    """Slot -> kind: the subject and what belongs to it, the same in the whole document."""
    title: str
    opening: tuple[str, ...]
    """Sentences at the head, without any answer."""
    relations: tuple[Relation, ...]
    others: tuple[str, ...]
    """Sentences nobody asks about; each stands on its own, in any order."""
    headings: tuple[str, ...] = ("History",)


class Asked(NamedTuple):
    """A question on a document."""

    relation: Relation
    question: str
    statement: str
    answer: str


class Text(NamedTuple):
    """A text on one subject, not yet laid out: facts in random places behind its opening."""

    topic: Topic
    title: str
    opening: list[str]
    sentences: list[str]
    asked: list[Asked]


def length(texts: Iterable[str]) -> int:
    """Pieces of texts that one piece of white space or none joins."""
    return sum(len(pieces(text)) for text in texts)


def padded(texts: list[str], other: Callable[[], str], room: int, joint: int = 0) -> list[str]:
    """`texts` and as many others as fit into `room` pieces; never less than `texts`.

    `joint` is what joining adds to the pieces of each text.
    """
    texts = list(texts)
    left = room - length(texts) - joint * len(texts)
    while left > 0:
        text = other()
        size = len(pieces(text)) + joint
        if size > 2 * left:
            break
        texts.append(text)
        left -= size
    return texts


def compose(world: World, topics: tuple[Topic, ...], tokens: int) -> list[Text]:
    """Texts of about `tokens` pieces in all, each on a subject of its own.

    A text of more than `_PIECES_A_TEXT` would run out of things to say on one subject.
    """
    number = max(1, round(tokens / _PIECES_A_TEXT))
    return [_text(world, world.next(topics), tokens // number) for _ in range(number)]


def _text(world: World, topic: Topic, tokens: int) -> Text:
    known = {slot: world.keep(kind) for slot, kind in topic.names.items()}
    opening = [world.fill(template, known) for template in topic.opening]
    room = tokens - length(opening)
    number = max(1, min(len(topic.relations), room // _PIECES_A_FACT))
    facts: list[str] = []
    asked: list[Asked] = []
    for relation in world.rng.sample(topic.relations, number):
        answer = world.keep(relation.kind)
        known_here = known | {"answer": answer}
        facts.append(world.fill(relation.sentence, known_here))
        asked.append(
            Asked(
                relation,
                world.fill(relation.question, known),
                world.fill(relation.statement, known),
                answer,
            )
        )
    sentences = padded(facts, lambda: world.fill(world.next(topic.others), known), room)
    world.rng.shuffle(sentences)
    return Text(topic, world.fill(topic.title, known), opening, sentences, asked)


def questions_on(world: World, texts: list[Text], most: int) -> list[Asked]:
    """At most so many questions, from any of the texts."""
    asked = [asked for text in texts for asked in text.asked]
    return world.rng.sample(asked, min(most, len(asked)))


def paragraphs(world: World, sentences: list[str]) -> list[str]:
    """The sentences in paragraphs of three to six."""
    out, start = [], 0
    while start < len(sentences):
        size = world.rng.randint(3, 6)
        out.append(" ".join(sentences[start : start + size]))
        start += size
    return out
