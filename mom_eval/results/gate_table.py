"""The regression gate's verdict as Markdown: what fell, what rose, what it could not have seen."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from mom_eval.results.gate import (
    ALL,
    BITS,
    CONTAINS,
    FAMILY_ERROR,
    MOVED,
    NOTICE,
    POWER,
    TOLERANCE,
    Gate,
    Outcome,
)
from mom_eval.results.markdown import escaped, grid
from mom_eval.results.notes import task_name


class _Score(NamedTuple):
    name: str
    scale: float
    decimals: int


_SCORES: Final = {BITS: _Score("bits per byte", 1.0, 3), CONTAINS: _Score("contains, %", 100.0, 1)}


def markdown(gate: Gate) -> str:
    """The whole verdict; readable in a terminal and as the summary of a CI job."""
    parts = [f"## {_heading(gate)}"]
    if gate.fell:
        parts.append(_table(gate.fell))
    parts.append(f"All tasks together:\n\n{_table(_of_task(gate, ALL))}")
    if rose := [one for one in gate.outcomes if one.rose]:
        parts.append(f"Better, which is no alarm:\n\n{_table(rose)}")
    parts.append(
        f"Drops that these questions detect with a probability of {100 * POWER:.0f} %, fall they as"
        " unevenly on documents as damage does; a dash where none is sure to be detected:\n\n"
        f"{_powers(gate)}"
    )
    parts.append("\n".join(f"- {escaped(note)}" for note in _notes(gate)))
    return "\n\n".join(parts) + "\n"


def _heading(gate: Gate) -> str:
    if not gate.fell:
        undecided = sum(one.unsure for one in gate.outcomes)
        return "Regression gate: nothing fell" + (
            f" for sure, undecided drops: {undecided}" if undecided else ""
        )
    models = list(dict.fromkeys(one.model for one in gate.fell))
    return escaped(f"Regression gate: worse than the baseline: {', '.join(models)}")


def _table(outcomes: Sequence[Outcome]) -> str:
    """*Drop* is how much worse the mean got, *At least* the low end of its interval."""
    head = ["Model", "Task", "Score", "Baseline", "Now", "Drop", "At least", "Tolerance"]
    return grid(head, [_line(one) for one in outcomes])


def _line(one: Outcome) -> list[str]:
    return [
        one.model,
        _task(one.task),
        _SCORES[one.score].name,
        _number(one.then, one.score),
        _number(one.now, one.score),
        _number(one.drop.value, one.score, "+"),
        _number(one.drop.low, one.score, "+"),
        _number(one.tolerance, one.score),
    ]


def _powers(gate: Gate) -> str:
    """One line a task: its documents decide, and the models hardly."""
    lines = []
    for task in _tasks(gate):
        found = _of_task(gate, task)
        counts = found[0].drop.questions, found[0].drop.documents
        least = [_number(_detectable(gate, task, score), score) for score in _SCORES]
        lines.append([_task(task), *(f"{count:,}" for count in counts), *least])
    return grid(["Task", "Questions", "Documents", *(one.name for one in _SCORES.values())], lines)


def _detectable(gate: Gate, task: str, score: str) -> float | None:
    """What is detected of any model; None: nothing is, of one at least."""
    sizes = [one.detectable for one in _of_task(gate, task) if one.score == score]
    known = [size for size in sizes if size is not None]
    return max(known) if len(known) == len(sizes) else None


def _notes(gate: Gate) -> list[str]:
    notes = [
        "A score fell where its drop, at the low end of its interval, is above the tolerance."
        f" {len(gate.outcomes)} comparisons of the same questions then and now, paired and"
        f" clustered by document: the chance of any false alarm is {100 * FAMILY_ERROR:.0f} % at"
        " most."
    ]
    if unsure := [one for one in gate.outcomes if one.unsure]:
        drops = (
            f"{one.model} on {_task(one.task)} ({_SCORES[one.score].name}"
            f" {_number(one.drop.value, one.score, '+')})"
            for one in unsure
        )
        notes.append(
            "Above the tolerance, but with its interval not, so that there are too few questions to"
            f" tell: {', '.join(drops)}."
        )
    for score, words in _SCORES.items():
        blind = dict.fromkeys(
            _task(one.task) for one in gate.outcomes if one.score == score and one.blind
        )
        if blind:
            notes.append(
                f"Too few questions to detect a drop of {_number(NOTICE[score], score)}"
                f" ({words.name}): {', '.join(blind)}."
            )
    blunt = [
        f"{_number(TOLERANCE[score], score)} ({words.name})"
        for score, words in _SCORES.items()
        if all(
            (size := _detectable(gate, task, score)) is None or size > TOLERANCE[score]
            for task in _tasks(gate)
        )
    ]
    if blunt:
        notes.append(
            "Drops as small as the tolerance are sure to be detected of no task, nor of all"
            f" together: {', '.join(blunt)}."
        )
    if moved := [one for one in _of_task(gate, ALL) if one.score == BITS and one.moved > MOVED]:
        sizes = ", ".join(f"{one.model} by {_number(one.moved, BITS)}" for one in moved)
        notes.append(
            "Single questions moved, up or down, by more bits per byte (root mean square) than"
            f" another run of the same weights and code moves them: {sizes}."
        )
    return [*notes, *gate.remarks]


def _tasks(gate: Gate) -> list[str]:
    return list(dict.fromkeys(one.task for one in gate.outcomes))


def _of_task(gate: Gate, task: str) -> list[Outcome]:
    return [one for one in gate.outcomes if one.task == task]


def _task(task: str) -> str:
    return "all tasks" if task == ALL else task_name(task)


def _number(value: float | None, score: str, sign: str = "") -> str:
    one = _SCORES[score]
    return "-" if value is None else f"{one.scale * value:{sign}z.{one.decimals}f}"
