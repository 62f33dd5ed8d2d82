"""Comparisons as Markdown, CSV and files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mom_eval.results.breakdown import DOCUMENTS, Part
from mom_eval.results.compare import Apart, Comparison, Difference
from mom_eval.results.markdown import escaped, grid, one_line, shown
from mom_eval.results.notes import task_name
from mom_eval.results.samples import shown as sample_text
from mom_eval.results.statistics import Interval
from mom_eval.results.store import disk_errors
from mom_eval.results.table import as_csv

_BY = {
    "position": "where the answer first stands in what {} is shown",
    "length": "tokens of the prompt that {} is given",
    "document": f"document, the {DOCUMENTS} that differ most",
    "answer-type": "what the answer looks like",
}


def compare_text(found: Sequence[Comparison], form: str) -> str:
    """Comparisons as text; `form` is `md` or `csv`."""
    return csv(found) if form == "csv" else markdown(found)


def write_comparisons(found: Sequence[Comparison], out: Path) -> list[Path]:
    """Write `compare.md` and `compare.csv`; returns the files.

    Raises:
        RunError: the folder cannot be written.
    """
    paths = []
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for form in ("md", "csv"):
            paths.append(out / f"compare.{form}")
            paths[-1].write_text(compare_text(found, form), encoding="utf-8")
    return paths


def markdown(found: Sequence[Comparison]) -> str:
    """Each comparison as a heading, a caption, tables, the questions that differ most, notes."""
    return "\n".join(map(_comparison, found))


def _comparison(one: Comparison) -> str:
    a, b = one.names
    margin = f"{100 * one.margin:g}"
    rows = [*([one.average] if one.average else []), *one.tasks]
    parts = [
        f"## {escaped(f'{a} against {b}')}",
        escaped(f"{one.title}."),
        escaped(
            f"contains, % of questions, and {a} less {b} on the same questions, in points; 95 %"
            f" intervals clustered by document; verdict on {a}, from p values adjusted for"
            f" {len(rows)} tests."
        ),
        grid(
            ["Task", "Questions", "Documents", a, b, "Difference", "Bits per byte", "p", "Verdict"],
            [_line(row, margin) for row in rows],
        ),
    ]
    if one.parts:
        parts.append(_by(one))
    parts.append("The questions on which they differ most:")
    parts += [_apart(question, one.names) for question in one.apart]
    parts.append("\n".join(f"- {escaped(note)}" for note in [*one.notes, *_explained(one, margin)]))
    return "\n\n".join(parts) + "\n"


def _line(row: Difference, margin: str) -> list[str]:
    verdicts = {
        "better": "better",
        "worse": "worse",
        "same": f"no difference larger than {margin}",
        "unknown": "too few questions to tell",
    }
    return [
        "Average" if row.task == "average" else task_name(row.task),
        f"{row.difference.questions:,}",
        f"{row.difference.documents:,}",
        shown(row.a, 100.0, 1),
        shown(row.b, 100.0, 1),
        shown(row.difference, 100.0, 1, "+"),
        shown(row.bits, 1.0, 2, "+"),
        _p(row.adjusted),
        verdicts[row.verdict],
    ]


def _p(value: float) -> str:
    return "under .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def _by(one: Comparison) -> str:
    a, b = one.names
    lines = [
        [
            task_name(part.task),
            part.name,
            f"{part.difference.questions:,}",
            f"{part.difference.documents:,}",
            *(f"{100 * side.value:.1f}" for side in (part.a, part.b)),
            _part_difference(part),
        ]
        for part in one.parts
    ]
    head = ["Task", (one.by or "").capitalize(), "Questions", "Documents", a, b, "Difference"]
    title = f"By {_BY[one.by or ''].format(a)}; for a look, not adjusted for how many there are:"
    return f"{escaped(title)}\n\n{grid(head, lines)}"


def _part_difference(part: Part) -> str:
    """One document says nothing of others: it has no interval."""
    if part.difference.documents == 1:
        return f"{100 * part.difference.value:+.1f}"
    return shown(part.difference, 100.0, 1, "+")


def _apart(question: Apart, names: tuple[str, str]) -> str:
    """Indented, so that Markdown leaves it as it is."""
    text = sample_text(question.sample)
    if None not in question.bits:
        sides = (f"{name} {bits:.2f}" for name, bits in zip(names, question.bits, strict=True))
        text += f"\n  bits per byte of the answer: {one_line(', '.join(sides))}"
    return "\n".join(f"    {line}" for line in text.splitlines())


def _explained(one: Comparison, margin: str) -> Iterator[str]:
    single = [task_name(row.task) for row in one.tasks if row.test == "McNemar"]
    several = [task_name(row.task) for row in one.tasks if row.test != "McNemar"]
    if single:
        yield f"p, {', '.join(single)}: McNemar's exact test, as each document has one question."
    if several:
        yield (
            f"p, {', '.join(several)}: exact, over the signs of the documents' differences: of"
            " equal models each is as likely to be the other way round."
        )
    yield "p values are Holm's: where all are equal, anything is called different in 5 % at most."
    if one.average:
        yield "Average: over tasks with 100 common questions; its p follows from its interval."
    yield (
        f"No difference larger than {margin}: the whole interval lies within {margin} points;"
        " too few questions to tell: it does not, and p is not below .05."
    )
    if any(row.bits for row in one.tasks):
        yield "Bits per byte: those of the first less those of the second; below 0 it is better."


def csv(found: Sequence[Comparison]) -> str:
    """One line a comparison and task (`average` is one more), and one for each part of a task.

    Contains and differences are in percent and points; `p` is as tested, `p_holm` adjusted. Lines
    of parts have no p value and no verdict.
    """
    lines = [line for one in found for line in _records(one)]
    return as_csv(lines)


def _records(one: Comparison) -> Iterator[dict[str, Any]]:
    group = one.gathered.group
    about = {"a": one.names[0], "b": one.names[1], "synthetic": group.synthetic}
    about |= {"data": group.source} | {
        key: getattr(group, key)
        for key in ("protocol", "context_length", "repeat", "haystack", "depth", "control")
    }
    for row in [*one.tasks, *([one.average] if one.average else [])]:
        yield (
            about
            | _scores(row.task, "", "", row)
            | _ends("bits_difference", row.bits, 1.0)
            | {
                "test": row.test,
                "p": row.p,
                "p_holm": row.adjusted,
                "margin": 100 * one.margin,
                "verdict": row.verdict,
            }
        )
    for part in one.parts:
        yield about | _scores(part.task, one.by or "", part.name, part)


def _scores(task: str, by: str, name: str, row: Difference | Part) -> dict[str, Any]:
    counts = {"questions": row.difference.questions, "documents": row.difference.documents}
    scores = {"a_contains": row.a, "b_contains": row.b, "difference": row.difference}
    ends = [_ends(key, value, 100.0) for key, value in scores.items()]
    return {"task": task, "by": by, "part": name} | counts | ends[0] | ends[1] | ends[2]


def _ends(name: str, value: Interval | None, scale: float) -> dict[str, float | None]:
    found = (None, None, None) if value is None else (value.value, value.low, value.high)
    numbers = [None if number is None else round(scale * number, 6) for number in found]
    return dict(zip((name, f"{name}_low", f"{name}_high"), numbers, strict=True))
