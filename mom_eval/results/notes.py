"""The sentences above and under a leaderboard: everything a reader must know to trust it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mom_eval.results import AVERAGE_QUESTIONS, TASK_NAMES
from mom_eval.results.board import METRICS, Column, Row
from mom_eval.results.group import LM_EVAL, Group
from mom_eval.results.rows import Entry

_METRIC_WORDS = {
    "contains": "contains: % of questions whose answer occurs in the output",
    "exact": "exact match: % of questions whose normalised output is the answer",
    "f1": "F1: mean word overlap of output and answer, in %",
    "bits_per_byte": "bits per byte: cost of the best alias of the answer; lower is better",
}

_HIDDEN = "No answer stands in the prompt, as it was cut or the answer is never written there"
_MISSING = "Answer not found in the document, so that only the document's end was kept"


def caption(group: Group, metric: str, columns: Sequence[Column], controls: Sequence[str]) -> str:
    """What the numbers are, and over which tasks the average goes."""
    if group.tasks == LM_EVAL:
        return "As lm-eval scores them, with 95 % intervals; no average, as the metrics differ."
    parts = [f"{_METRIC_WORDS[metric]}, with its 95 % interval clustered by document"]
    averaged = [column.name for column in columns if column.averaged]
    left_out = [f"{c.name} ({c.questions})" for c in columns if not c.averaged]
    if averaged:
        parts.append(f"average of {_listed(averaged)}")
    else:
        parts.append(f"no average, as no task has {AVERAGE_QUESTIONS} questions")
    if averaged and left_out:
        few = f"under {AVERAGE_QUESTIONS} questions and so left out of the average"
        parts.append(f"\u2020 {few}: {_listed(left_out)}")
    if "blind" in controls:
        parts.append(f"net: {METRICS[metric].name} with the document minus without it, paired")
    return "; ".join(parts) + "."


def notes(
    group: Group, found: Sequence[Entry], rows: Sequence[Row], columns: Sequence[Column]
) -> list[str]:
    """Notes on what the runs of a board do not tell by their scores."""
    if group.tasks == LM_EVAL:
        return [*_different_questions(found), *unfinished(found)]
    return [
        *_data(group),
        *_reference_tokens(found),
        *_no_score(rows, columns),
        *_no_average(rows, columns),
        *_different_questions(found),
        *_counted(found, "dropped", "Not asked"),
        *([] if group.control else _counted(found, "missing_answer", _MISSING)),
        *([] if group.control else _counted(found, "hidden_answer", _HIDDEN)),
        *unfinished(found),
    ]


def _data(group: Group) -> list[str]:
    out = []
    if group.synthetic:
        out.append("The documents are synthetic: these are not scores of the real tasks.")
    if group.protocol == "paper" and group.haystack is None and not group.control:
        out.append(
            "As in the papers, documents are cut around the answer (SQuAD, NQ) or around the"
            " earlier of key and answer (FDA, SWDE), which only an oracle can do."
        )
    return out


def _reference_tokens(found: Sequence[Entry]) -> list[str]:
    names = {e.identity.tokenizer for e in found if e.identity.kind == "reference"} - {""}
    if not names:
        return []
    return [f"Reference rows are made by code, in tokens of {_listed(sorted(names))}."]


def _no_score(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """A sentence for each reason, naming the cells it is the reason of."""
    cells: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        for column in columns:
            cell = row.cells.get(column.key)
            if cell and cell.reason:
                cells.setdefault(cell.reason, {}).setdefault(row.name, []).append(column.name)
    return [
        f"No score: {'; '.join(f'{row} on {_listed(names)}' for row, names in by_row.items())}:"
        f" {reason.rstrip('.')}."
        for reason, by_row in cells.items()
    ]


def _no_average(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    averaged = [column for column in columns if column.averaged]
    out = []
    for row in rows:
        if row.average.scores or row.kind == "published":
            continue
        short = []
        for column in averaged:
            cell = row.cells.get(column.key)
            if cell is None:
                short.append(f"{column.name} was not run")
            elif not cell.reason and cell.questions < AVERAGE_QUESTIONS:
                short.append(f"{column.name} has {cell.questions} questions")
        if short:
            out.append(f"{row.name} has no average: {_listed(short)}.")
    return out


def _different_questions(found: Sequence[Entry]) -> list[str]:
    out = []
    for task in sorted({task for entry in found for task in entry.answers}, key=task_order):
        asked = {
            entry.name: {line["id"] for line in entry.answers[task].lines}
            for entry in found
            if task in entry.answers
        }
        common = set.intersection(*asked.values())
        if any(ids != common for ids in asked.values()):
            counts = _by_value({name: len(ids) for name, ids in asked.items()})
            out.append(
                f"{task_name(task)}: not the same questions in every row, {len(common)} in common;"
                f" they answered {counts}."
            )
    return out


def _counted(found: Sequence[Entry], key: str, words: str) -> list[str]:
    """One sentence on counts of questions by task, said apart for rows that differ."""
    by_task: dict[str, dict[str, str]] = {}
    for entry in found:
        for task, answers in entry.answers.items():
            count = answers.run.info[key].get(task)
            if count:
                by_task.setdefault(task, {})[entry.name] = _count_words(count)
    parts = []
    for task in sorted(by_task, key=task_order):
        counts = by_task[task]
        everybody = sum(task in entry.answers for entry in found)
        same = len(set(counts.values())) == 1 and len(counts) == everybody
        parts.append(
            f"{task_name(task)} {next(iter(counts.values())) if same else _by_value(counts)}"
        )
    return [f"{words}: {'; '.join(parts)}."] if parts else []


def _count_words(count: int | Mapping[str, int]) -> str:
    if isinstance(count, int):
        return str(count)
    return " and ".join(f"{number} ({reason})" for reason, number in sorted(count.items()))


def unfinished(found: Sequence[Entry]) -> list[str]:
    """Runs still going on, or killed; their rows are shown as far as they got."""
    names = [
        entry.name
        for entry in found
        if any(answers.run.info["finished"] is None for answers in entry.answers.values())
    ]
    return [f"Not finished, run again to continue: {_listed(names)}."] if names else []


def _by_value(values: Mapping[str, Any]) -> str:
    """`100 (a, b), 50 (c)`."""
    names: dict[Any, list[str]] = {}
    for name, value in values.items():
        names.setdefault(value, []).append(name)
    return ", ".join(f"{value} ({', '.join(group)})" for value, group in names.items())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def task_name(task: str) -> str:
    """The name readers know a task by."""
    return TASK_NAMES.get(task, task)


def task_order(task: str) -> tuple[int, str]:
    """Sorts the recall tasks into their usual order, and others behind them by name."""
    known = list(TASK_NAMES)
    return (known.index(task) if task in known else len(known), task)
