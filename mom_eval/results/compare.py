"""Two models on the same questions: paired differences by task, and whether they are real."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mom_eval.errors import RunError, SettingError
from mom_eval.results import AVERAGE_QUESTIONS
from mom_eval.results.breakdown import Part, breakdown
from mom_eval.results.group import Gathered, gather, told_apart
from mom_eval.results.notes import task_name, task_order, unfinished
from mom_eval.results.pairs import Pairs, most_different, pairs_of
from mom_eval.results.rows import Entry, entries, named
from mom_eval.results.samples import Said, Sample, sample_of
from mom_eval.results.select import check_asked
from mom_eval.results.sides import Side
from mom_eval.results.significance import from_interval, holm, sign_flip, verdict
from mom_eval.results.sound import check_sample
from mom_eval.results.statistics import Interval, average, mean, paired, proportion

MARGIN = 0.05
"""A difference in contains that is worth knowing of, unless another is named."""
SHOWN = 10
"""Questions that are shown."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Two models on one task, or on average."""

    task: str
    a: Interval
    b: Interval
    """Contains of each."""
    difference: Interval
    """A less B, paired."""
    bits: Interval | None
    """Bits per byte of A less those of B; below 0 A is better. None where one has none."""
    p: float
    test: str
    """`McNemar`, `sign flip` or, of an average, `interval`."""
    adjusted: float
    """Holm's, over all lines of the table."""
    verdict: str
    """On A: see `significance.verdict`."""


class Apart(NamedTuple):
    """A question on which the two differ."""

    sample: Sample
    bits: tuple[float | None, float | None]
    """Bits per byte of the answer."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models on the questions of one group."""

    gathered: Gathered
    title: str
    """The group in words, and the data files where others differ by these alone."""
    names: tuple[str, str]
    margin: float
    tasks: tuple[Difference, ...]
    average: Difference | None
    """Over the tasks of at least 100 common questions, where there are two."""
    by: str | None
    parts: tuple[Part, ...]
    apart: tuple[Apart, ...]
    """The questions on which they differ most."""
    notes: tuple[str, ...]


def compare(
    a: Side,
    b: Side,
    *,
    tasks: Sequence[str] = (),
    by: str | None = None,
    margin: float = MARGIN,
) -> list[Comparison]:
    """Compare A with B in every group (setting and data) in which both answered questions.

    Args:
        a: one model's runs.
        b: another's.
        tasks: only these; none: all.
        by: a key of `breakdown.KINDS`; None: no breakdown.
        margin: differences in contains up to this, from 0 to 1, do not matter.

    Raises:
        RunError: they have no question in common, or one side is two models.
        SettingError: neither was asked a task of that name, or the margin is no share.
    """
    if not 0 < margin < 1:
        raise SettingError(f"a margin of {100 * margin:g} points; give one between 0 and 100")
    asked = list(dict.fromkeys(task for run in (*a.runs, *b.runs) for task in run.questions))
    check_asked(tasks, asked)
    wanted = tasks or asked
    boards = gather([*a.runs, *b.runs])
    titles = told_apart([one.group.title() for one in boards], [one.files for one in boards])
    found: list[Comparison] = []
    alone: dict[str, list[str]] = {a.name: [], b.name: []}
    for gathered, title in zip(boards, titles, strict=True):
        one, other = (_entry(side, gathered, wanted) for side in (a, b))
        pairs = pairs_of(one, other) if one and other else []
        if one and other and pairs:
            found.append(_comparison(gathered, title, one, other, pairs, by, margin))
            continue
        for name, entry in ((a.name, one), (b.name, other)):
            if entry and entry.answers:
                alone[name].append(title)
    if not found:
        raise RunError(_nothing_in_common(a, b, alone))
    left_out = tuple(
        f"Not compared, for want of a question in common: {name} on {'; '.join(some)}."
        for name, some in alone.items()
        if some
    )
    return [*found[:-1], replace(found[-1], notes=(*found[-1].notes, *left_out))]


def _entry(side: Side, gathered: Gathered, tasks: Sequence[str]) -> Entry | None:
    """What the side answered of these tasks in a group; refuses two models of one label."""
    own = {id(run) for run in side.runs}
    found = entries(run for run in gathered.runs if id(run) in own)
    if len(found) > 1:
        names = ", ".join(entry.name for entry in found)
        raise RunError(
            f"{side.name} is more than one model on {gathered.group.title()}: {names}; give the run"
            " folder of one of them, which `mom-eval runs` lists"
        )
    if not found:
        return None
    answers = {task: some for task, some in found[0].answers.items() if task in tasks}
    return replace(found[0], answers=answers)


def _nothing_in_common(a: Side, b: Side, alone: Mapping[str, Sequence[str]]) -> str:
    words = "; ".join(
        f"{name}: {' and '.join(titles) or 'nothing'}" for name, titles in alone.items()
    )
    return (
        f"{a.name} and {b.name} have no question in common ({words}); run both on the same tasks,"
        " data and setting"
    )


def _comparison(
    gathered: Gathered,
    title: str,
    one: Entry,
    other: Entry,
    pairs: Sequence[Pairs],
    by: str | None,
    margin: float,
) -> Comparison:
    raw = [_difference(part) for part in pairs]
    averaged = [row for row in raw if row.difference.questions >= AVERAGE_QUESTIONS]
    raw += [_average(averaged)] if len(averaged) > 1 else []
    rows = judged(raw, margin)
    whole = rows.pop() if len(averaged) > 1 else None
    names = _names(one, other)
    return Comparison(
        gathered=gathered,
        title=title,
        names=names,
        margin=margin,
        tasks=tuple(rows),
        average=whole,
        by=by,
        parts=tuple(part for p in pairs for part in breakdown(p, by)) if by else (),
        apart=tuple(_apart(pairs, names)),
        notes=tuple(_notes((one, other), names, pairs)),
    )


def _names(one: Entry, other: Entry) -> tuple[str, str]:
    """Of one label, with what tells them apart; of one model, which side each is."""
    found = named(list(dict.fromkeys([one.identity, other.identity])))
    first, second = found[one.identity], found[other.identity]
    return (first, second) if first != second else (f"{first} (A)", f"{second} (B)")


def _difference(pairs: Pairs) -> Difference:
    (first, second), documents = pairs.scores, pairs.documents
    bits, measured = pairs.bits
    single = len(set(documents)) == len(documents)
    return Difference(
        task=pairs.task,
        a=proportion(first, documents),
        b=proportion(second, documents),
        difference=paired(first, second, documents),
        bits=mean(bits, measured) if bits else None,
        p=sign_flip(first, second, documents),
        test="McNemar" if single else "sign flip",
        adjusted=1.0,
        verdict="unknown",
    )


def _average(rows: Sequence[Difference]) -> Difference:
    difference = average([row.difference for row in rows])
    bits = [row.bits for row in rows if row.bits is not None]
    return Difference(
        task="average",
        a=average([row.a for row in rows]),
        b=average([row.b for row in rows]),
        difference=difference,
        bits=average(bits) if len(bits) == len(rows) else None,
        p=from_interval(difference),
        test="interval",
        adjusted=1.0,
        verdict="unknown",
    )


def judged(rows: Sequence[Difference], margin: float) -> list[Difference]:
    """The lines of one table with their adjusted p values and verdicts."""
    adjusted = holm([row.p for row in rows])
    return [
        replace(row, adjusted=float(p), verdict=verdict(row.difference, p, margin))
        for row, p in zip(rows, adjusted, strict=True)
    ]


def _apart(pairs: Sequence[Pairs], names: Sequence[str]) -> list[Apart]:
    found = []
    for task, *lines in most_different(pairs, SHOWN):
        for name, line in zip(names, lines, strict=True):
            check_sample(line, f"{name}, {task}, question {line['id']}")
        said = {
            name: Said(line["output"], line["contains"] == 1, model=True)
            for name, line in zip(names, lines, strict=True)
        }
        first, second = lines
        bits = first["bits_per_byte"], second["bits_per_byte"]
        found.append(Apart(replace(sample_of(task, first), said=said), bits))
    return found


def _notes(sides: tuple[Entry, Entry], names: tuple[str, str], pairs: Sequence[Pairs]) -> list[str]:
    one, other = names
    out = []
    for part in pairs:
        task, count = task_name(part.task), len(part.a)
        first, second = (len(entry.answers[part.task].lines) for entry in sides)
        if (first, second) != (count, count):
            out.append(
                f"{task}: {count:,} questions in common, of {first:,} that {one} answered and"
                f" {second:,} of {other}."
            )
        if part.other_prompts:
            out.append(
                f"{task}: {part.other_prompts:,} of {count:,} prompts are not the same text, as"
                " different tokenizers cut documents in different places."
            )
    for name, entry, twin in zip(names, sides, reversed(sides), strict=True):
        alone = sorted(entry.answers.keys() - twin.answers.keys(), key=task_order)
        if alone:
            out.append(f"Only {name} answered {', '.join(map(task_name, alone))}.")
    return [*out, *unfinished([replace(e, name=n) for n, e in zip(names, sides, strict=True)])]
