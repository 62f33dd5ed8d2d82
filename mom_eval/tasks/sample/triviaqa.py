"""TriviaQA-like rows: evidence in marked paragraphs, and an answer with several aliases."""

from collections.abc import Iterator
from typing import Any

from mom_eval.tasks.sample.prose import Text, compose, paragraphs, questions_on
from mom_eval.tasks.sample.trivia_topics import TOPICS
from mom_eval.tasks.sample.world import World

_PROSE = 0.927
"""The share of the evidence that is prose; titles and marks are the rest."""


def questions(world: World, tokens: int) -> Iterator[dict[str, Any]]:
    """Rows on one document of about `tokens` pieces."""
    texts = compose(world, TOPICS, round(_PROSE * tokens))
    context = " ".join(_page(world, text) for text in texts)
    for asked in questions_on(world, texts, 1):
        yield {
            "context": context,
            "question": asked.question,
            "orig_question": asked.question,
            "answers": aliases(asked.relation.kind, asked.answer),
        }


def _page(world: World, text: Text) -> str:
    blocks = (text.title, " ".join(text.opening), *paragraphs(world, text.sentences))
    return "[DOC] [TLE] " + " [PAR] ".join(blocks)


def aliases(kind: str, answer: str) -> list[str]:
    """The answer as it stands in the evidence, then other ways to write it."""
    first, _, rest = answer.partition(" ")
    others = {
        "person": [rest, f"{first[0]}. {rest}", f"{rest}, {first}"],
        "place": [f"City of {answer}", f"{answer} (town)"],
        "river": [f"River {answer}", f"{answer} River"],
        "region": [f"Republic of {answer}", f"Kingdom of {answer}"],
        "company": [first, f"{first} Co."],
        "title": [answer.removeprefix("The "), answer.upper()],
        "brand": [answer.upper()],
    }
    return list(dict.fromkeys([answer, *others[kind]]))
