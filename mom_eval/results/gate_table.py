"""The regression gate's verdict as Markdown: what fell, what rose, and what could not be told."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from mom_eval.results.gate import (
    ALL,
    BITS,
    CONTAINS,
    FAMILY_ERROR,
    NOTICE,
    POWER,
    TOLERANCE,
    Comparison,
    Gate,
)
from mom_eval.results.markdown import escaped, grid
from mom_eval.results.notes import task_name


class _Score(NamedTuple):
    name: str
    scale: float
    decimals: int
    unit: str


_SCORES: Final = {
    BITS: _Score("bits per byte", 1.0, 3, " bits a byte"),
    CONTAINS: _Score("contains", 100.0, 1, " points"),
}


def markdown(gate: Gate) -> str:
    """The whole verdict; readable in a terminal and as a summary of a CI job."""
    parts = [f"## {_heading(gate)}"]
    if gate.fell:
        parts.append(_table(gate.fell))
    parts.append(f"All {len(_tasks(gate))} tasks together:\n\n{_table(_whole(gate))}")
    if rose := [one for one in gate.comparisons if one.rose]:
        parts.append(f"Better, which is no alarm:\n\n{_table(rose)}")
    parts.append("\n".join(f"- {escaped(note)}" for note in _notes(gate)))
    return "\n\n".join(parts) + "\n"


def _heading(gate: Gate) -> str:
    if not gate.fell:
        return "Regression gate: nothing fell"
    models = list(dict.fromkeys(one.model for one in gate.fell))
    return escaped(f"Regression gate: worse than the baseline: {', '.join(models)}")


def _table(comparisons: Sequence[Comparison]) -> str:
    """`Drop` is the difference of the means, `at least` the low end of its interval."""
    head = ["Model", "Task", "Score", "Baseline", "Now", "Drop", "At least", "Tolerance"]
    return grid(head, [_line(one) for one in comparisons])


def _line(one: Comparison) -> list[str]:
    score = _SCORES[one.score]
    drop = one.drop

    def shown(value: float | None, sign: str = "") -> str:
        return "-" if value is None else f"{score.scale * value:{sign}z.{score.decimals}f}"

    return [
        one.model,
        _task(one.task),
        score.name,
        *map(shown, (one.then, one.now)),
        shown(drop.value, "+"),
        shown(drop.low, "+"),
        shown(one.tolerance),
    ]


def _notes(gate: Gate) -> list[str]:
    questions = next(iter(_whole(gate))).drop.questions
    rules = " and ".join(
        f"{_size(TOLERANCE[name], name)} of {_SCORES[name].name}" for name in _SCORES
    )
    notes = [
        f"A score fell where its drop, at the low end of its interval, is above the tolerance,"
        f" {rules}. {len(gate.comparisons)} comparisons of the same {questions:,} questions, paired"
        f" and clustered by document: the chance of any false alarm is {FAMILY_ERROR:.0%} at most."
    ]
    if unsure := [one for one in gate.comparisons if one.unsure]:
        notes.append(
            "Above the tolerance, but not beyond its interval, so that these questions are too few"
            f" to tell: {_listed(unsure)}."
        )
    for score in _SCORES:
        blind = [one for one in gate.comparisons if one.score == score and one.blind]
        if blind:
            notes.append(
                f"Too few questions to detect a drop of {_size(NOTICE[score], score)} of"
                f" {_SCORES[score].name} with a probability of {POWER:.0%}: {_by_task(blind)}."
            )
        seen = [one.detectable for one in _whole(gate) if one.score == score]
        known = [size for size in seen if size is not None]
        if known and len(known) == len(seen):
            notes.append(
                f"All tasks together detect a drop of {_SCORES[score].name} from"
                f" {_size(max(known), score)} on."
            )
    return [*notes, *gate.remarks]


def _whole(gate: Gate) -> list[Comparison]:
    return [one for one in gate.comparisons if one.task == ALL]


def _tasks(gate: Gate) -> set[str]:
    return {one.task for one in gate.comparisons} - {ALL}


def _task(task: str) -> str:
    return "all" if task == ALL else task_name(task)


def _size(value: float, score: str) -> str:
    one = _SCORES[score]
    return f"{one.scale * value:.{one.decimals}f}{one.unit}"


def _listed(comparisons: Iterable[Comparison]) -> str:
    return "; ".join(
        f"{one.model} on {_task(one.task)}, {_size(one.drop.value, one.score)}"
        for one in comparisons
    )


def _by_task(comparisons: Iterable[Comparison]) -> str:
    """The tasks, with the models where not all of them are meant: they hang on documents alone."""
    found = dict.fromkeys(_task(one.task) for one in comparisons)
    return ", ".join(found)
