"""SQuAD-like rows: a paragraph and a statement that stops right before the answer."""

from collections.abc import Iterator
from typing import Any

from mom_eval.tasks.sample.prose import compose, questions_on
from mom_eval.tasks.sample.squad_topics import TOPICS
from mom_eval.tasks.sample.world import World

_MOST_QUESTIONS = 5


def questions(world: World, tokens: int) -> Iterator[dict[str, Any]]:
    """Rows on one document of about `tokens` pieces."""
    texts = compose(world, TOPICS, tokens)
    context = "\n".join(" ".join((*text.opening, *text.sentences)) for text in texts)
    for asked in questions_on(world, texts, _MOST_QUESTIONS):
        yield {
            "title": texts[0].title,
            "context": context,
            "question": asked.question,
            "answers": [asked.answer],
            "text": f"{context} {asked.statement}",
            "value": asked.answer,
        }
