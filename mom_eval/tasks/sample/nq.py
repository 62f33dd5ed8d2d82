"""NQ-like rows: a page with headings, and a question as typed into a search box."""

from collections.abc import Iterator
from typing import Any

from mom_eval.tasks.sample.nq_topics import TOPICS
from mom_eval.tasks.sample.prose import Text, compose, paragraphs, questions_on
from mom_eval.tasks.sample.world import World

_MOST_QUESTIONS = 2
_PROSE = 0.955
"""The share of a page that is prose; titles, headings and line breaks are the rest."""


def questions(world: World, tokens: int) -> Iterator[dict[str, Any]]:
    """Rows on one document of about `tokens` pieces."""
    texts = compose(world, TOPICS, round(_PROSE * tokens))
    context = "\n".join(_page(world, text) for text in texts)
    for asked in questions_on(world, texts, _MOST_QUESTIONS):
        question = asked.question.lower()
        yield {
            "context": context,
            "question": question,
            "orig_question": question,
            "answers": [asked.answer],
        }


def _page(world: World, text: Text) -> str:
    lines = [text.title, " ".join(text.opening)]
    for number, paragraph in enumerate(paragraphs(world, text.sentences)):
        if number and number % 2 == 0:
            lines.append(world.next(text.topic.headings))
        lines.append(paragraph)
    return "\n".join(lines)
