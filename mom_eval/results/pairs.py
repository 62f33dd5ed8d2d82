"""The questions that two models both answered."""

from collections.abc import Sequence
from dataclasses import dataclass

from mom_eval.results.notes import task_order
from mom_eval.results.rows import Entry, Line


@dataclass(frozen=True)
class Pairs:
    """Those of one task, in the order in which A answered them."""

    task: str
    a: Sequence[Line]
    b: Sequence[Line]

    @property
    def documents(self) -> list[str]:
        """Of each question."""
        return [line["document"] for line in self.a]

    @property
    def scores(self) -> tuple[list[int], list[int]]:
        """`contains` of A and of B."""
        return [line["contains"] for line in self.a], [line["contains"] for line in self.b]

    @property
    def bits(self) -> tuple[list[float], list[str]]:
        """Bits per byte of A less those of B where both have them, and the documents of these."""
        found = [
            (x["bits_per_byte"] - y["bits_per_byte"], x["document"])
            for x, y in zip(self.a, self.b, strict=True)
            if None not in (x["bits_per_byte"], y["bits_per_byte"])
        ]
        return [value for value, _ in found], [document for _, document in found]

    @property
    def other_prompts(self) -> int:
        """Questions whose prompts are not the same text."""
        return sum(
            x.get("prompt_hash") != y.get("prompt_hash")
            for x, y in zip(self.a, self.b, strict=True)
        )


def pairs_of(one: Entry, other: Entry) -> list[Pairs]:
    """What both answered, task by task; a task without a common question is left out."""
    found = []
    for task in sorted(one.answers.keys() & other.answers.keys(), key=task_order):
        lines = {line["id"]: line for line in other.answers[task].lines}
        common = [line for line in one.answers[task].lines if line["id"] in lines]
        if common:
            found.append(Pairs(task, common, [lines[line["id"]] for line in common]))
    return found


def most_different(pairs: Sequence[Pairs], count: int) -> list[tuple[str, Line, Line]]:
    """Task and both lines of those that differ most: one right and one wrong, then by bits."""
    both = [(part.task, x, y) for part in pairs for x, y in zip(part.a, part.b, strict=True)]
    return sorted(both, key=lambda item: (*_gap(*item[1:]), item[0], item[1]["id"]))[:count]


def _gap(x: Line, y: Line) -> tuple[float, float]:
    bits = [line["bits_per_byte"] for line in (x, y)]
    gap = 0.0 if None in bits else abs(bits[0] - bits[1])
    return -abs(x["contains"] - y["contains"]), -gap
