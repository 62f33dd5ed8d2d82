"""The embedded sample: synthetic documents in the six shapes, of any length and number.

Made from a seed out of templates and invented names, so that answers stand only in the document,
anywhere in it. It shows that a whole run works and how recall depends on length; its scores say
nothing about the real tasks, and whatever shows them calls them synthetic.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

from mom_eval.tasks.sample import drop, fda, nq, squad, swde, triviaqa
from mom_eval.tasks.sample.pieces import pieces
from mom_eval.tasks.sample.world import SPLITS, World

__all__ = ["FEWEST_TOKENS", "SPLITS", "generate", "pieces"]

FEWEST_TOKENS = 128
"""A shorter document holds little but its head."""

_MAKERS: dict[str, Callable[[World, int], Iterator[dict[str, Any]]]] = {
    "fda": fda.questions,
    "swde": swde.questions,
    "squad": squad.questions,
    "nq": nq.questions,
    "triviaqa": triviaqa.questions,
    "drop": drop.questions,
}


def generate(
    task: str, split: str = "test", *, seed: int = 0, questions: int = 40, tokens: int = 320
) -> list[dict[str, Any]]:
    """Rows of one task in the fields of the real one, and `source`: "synthetic".

    The same arguments give the same rows anywhere, and fewer questions give the first of them.
    Splits share no name and no figure.

    Args:
        task: one of the six.
        split: "test" or "train".
        seed: any number.
        questions: rows wanted; several may be on one document.
        tokens: length of a document in `pieces`, question not counted; at least
            `FEWEST_TOKENS`, kept to within 40 pieces or 3 per cent.
    """
    if task not in _MAKERS:
        raise ValueError(f"the sample has no task {task!r}; known: {', '.join(_MAKERS)}")
    if questions < 1 or tokens < FEWEST_TOKENS:
        raise ValueError(f"{questions} questions on {tokens} tokens: need 1 and {FEWEST_TOKENS}")
    rows: list[dict[str, Any]] = []
    document = 0
    while len(rows) < questions:
        rng = random.Random(f"{task}/{split}/{seed}/{document}")
        for number, row in enumerate(_MAKERS[task](World(rng, split), tokens)):
            name = f"sample-{task}-{split}-{seed}-{document:05d}-{number}"
            rows.append({"doc_id": name, "source": "synthetic", **row})
        document += 1
    return rows[:questions]
