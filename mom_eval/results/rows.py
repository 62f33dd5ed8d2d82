"""From runs to the rows of one board: who answered what, and what that scores."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mom_eval.results import AVERAGE_QUESTIONS
from mom_eval.results.board import LM_EVAL_SCORE, Cell, Column
from mom_eval.results.statistics import Interval, average, mean, paired, proportion
from mom_eval.results.store import Run

Line = Mapping[str, Any]


class Identity(NamedTuple):
    """What makes two runs runs of the same thing; the label alone may be shared by two models."""

    kind: str
    label: str
    weights: str
    dtype: str
    backend: str
    tokenizer: str


class Answers(NamedTuple):
    """One task as one run answered it."""

    run: Run
    lines: Sequence[Line]


@dataclass(frozen=True)
class Entry:
    """All that one model answered in one group."""

    identity: Identity
    answers: Mapping[str, Answers]
    reasons: Mapping[str, str]
    """Task -> why it cannot be answered."""
    name: str


def entries(runs: Iterable[Run]) -> list[Entry]:
    """One entry a model: of runs of one model, task by task the one with most questions."""
    found = by_identity(runs)
    names = named(list(found))
    return [
        Entry(identity, _best_answers(members), _reasons(members), names[identity])
        for identity, members in found.items()
    ]


def by_identity(runs: Iterable[Run]) -> dict[Identity, list[Run]]:
    """The runs of each model."""
    found: dict[Identity, list[Run]] = {}
    for run in runs:
        found.setdefault(_identity(run), []).append(run)
    return found


def score_cells(entry: Entry) -> dict[str, Cell]:
    """The cells of a row of recall tasks, by task."""
    cells = {task: Cell(reason=reason) for task, reason in entry.reasons.items()}
    return cells | {task: Cell(_scores(found.lines)) for task, found in entry.answers.items()}


def lm_eval_cells(entry: Entry, shares: Mapping[str, bool]) -> dict[str, Cell]:
    """The cells of a row of lm-eval's own tasks, by `task metric`; see `all_shares`.

    Values are those that lm-eval reports. They have an interval only where they are plain means:
    how a perplexity or a BLEU varies cannot be told from single questions.
    """
    cells = {}
    for task, found in entry.answers.items():
        for metric, reported in _reported(found.run, task):
            key, lines = _key(task, metric), _of_filter(found.lines, metric)
            documents = [line["document"] for line in lines]
            values = _values(lines, metric)
            if reported["value"] is None:
                cells[key] = Cell(reason="lm-eval reports no finite number")
            elif reported["mean"] and len(values) == len(lines):
                statistic = proportion if shares[key] else mean
                cells[key] = Cell({LM_EVAL_SCORE: statistic(values, documents)})
            else:
                count = len(documents)
                point = Interval(reported["value"], None, None, count, len(set(documents)), None)
                cells[key] = Cell({LM_EVAL_SCORE: point})
    return cells


def all_shares(found: Iterable[Entry]) -> dict[str, bool]:
    """`task metric` -> whether every value of every row lies in [0, 1], as a share does."""
    shares: dict[str, bool] = {}
    for entry in found:
        for task, answers in entry.answers.items():
            for metric, _ in _reported(answers.run, task):
                key = _key(task, metric)
                values = _values(_of_filter(answers.lines, metric), metric)
                shares[key] = shares.get(key, True) and all(0 <= value <= 1 for value in values)
    return shares


def _reported(run: Run, task: str) -> list[tuple[str, Mapping[str, Any]]]:
    """`metric,filter` and what lm-eval reports of it; nothing while a run goes on."""
    return sorted(run.info["results"].get(task, {}).items())


def _key(task: str, metric: str) -> str:
    """A column's key; the filter `none` is lm-eval's word for no filter."""
    return f"{task} {metric.removesuffix(',none')}"


def _of_filter(lines: Iterable[Line], metric: str) -> list[Line]:
    return [line for line in lines if line["filter"] == metric.partition(",")[2]]


def _values(lines: Iterable[Line], metric: str) -> list[float]:
    """A metric's value of each question that has a finite one."""
    found = [line["metrics"].get(metric.partition(",")[0]) for line in lines]
    return [value for value in found if value is not None]


def net(lines: Sequence[Line], control: Sequence[Line], metric: str) -> Interval | None:
    """The metric with the document minus under the control, on the questions answered in both."""
    other = {line["id"]: line[metric] for line in control if line[metric] is not None}
    both = [line for line in lines if line["id"] in other and line[metric] is not None]
    if not both:
        return None
    documents = [line["document"] for line in both]
    first, second = [line[metric] for line in both], [other[line["id"]] for line in both]
    if metric == "bits_per_byte":
        return mean([a - b for a, b in zip(first, second, strict=True)], documents)
    return paired(first, second, documents)


def average_cell(cells: Mapping[str, Cell], columns: Iterable[Column]) -> Cell:
    """Averages over the averaged columns: of each metric and control that all of them have."""
    parts = [cells.get(column.key, Cell()) for column in columns if column.averaged]
    if not parts:
        return Cell()
    return Cell(_averages([part.scores for part in parts]), _averages([part.net for part in parts]))


def _averages(parts: Sequence[Mapping[str, Interval]]) -> dict[str, Interval]:
    enough = [
        {key: score for key, score in part.items() if score.questions >= AVERAGE_QUESTIONS}
        for part in parts
    ]
    return {
        key: average([part[key] for part in enough]) for key in enough[0] if _in_all(key, enough)
    }


def _in_all(key: str, parts: Sequence[Mapping[str, Interval]]) -> bool:
    return all(key in part for part in parts)


def _scores(lines: Sequence[Line]) -> dict[str, Interval]:
    documents = [line["document"] for line in lines]
    scores = {
        metric: proportion([line[metric] for line in lines], documents)
        for metric in ("contains", "exact", "f1")
    }
    measured = [line for line in lines if line["bits_per_byte"] is not None]
    if measured:
        values = [line["bits_per_byte"] for line in measured]
        scores["bits_per_byte"] = mean(values, [line["document"] for line in measured])
    return scores


def _identity(run: Run) -> Identity:
    """Weights without a hash (a reference, a hub model not hashed) go by revision, then by id."""
    kind, model, tokenizer = run.info["kind"], run.info["model"] or {}, run.info["tokenizer"] or {}
    weights = model.get("weights_sha256") or model.get("revision") or model.get("id") or ""
    words = tokenizer.get("id") or tokenizer.get("sha256") or ""
    dtype, backend = model.get("dtype") or "", model.get("backend") or ""
    return Identity(kind, run.info["label"], weights, dtype, backend, words)


def named(identities: Sequence[Identity]) -> dict[Identity, str]:
    """Labels, and where two share one, what tells them apart."""
    names = {}
    for identity in identities:
        twins = [other for other in identities if other.label == identity.label]
        parts = []
        for field, shorten in (
            ("weights", 8),
            ("dtype", None),
            ("backend", None),
            ("tokenizer", None),
        ):
            values = Counter(getattr(twin, field) for twin in twins)
            if len(values) > 1:
                parts.append(getattr(identity, field)[:shorten] or f"no {field}")
        names[identity] = f"{identity.label} ({', '.join(parts)})" if parts else identity.label
    return names


def _best_answers(runs: Sequence[Run]) -> dict[str, Answers]:
    """Most questions first; of two with as many, the one started last."""
    best: dict[str, Answers] = {}
    for run in sorted(runs, key=lambda run: run.info["started"] or ""):
        for task, lines in run.questions.items():
            if lines and (task not in best or len(lines) >= len(best[task].lines)):
                best[task] = Answers(run, lines)
    return best


def _reasons(runs: Sequence[Run]) -> dict[str, str]:
    return {task: reason for run in runs for task, reason in run.info["no_score"].items()}
