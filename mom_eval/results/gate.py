"""The regression gate's verdict: did a model get worse on the questions of a baseline?

Every model, every task and all tasks together are compared twice, in bits per byte and in contains,
question by question. A *drop* is how much worse the mean got; a score *fell* when the low end of
its drop's one-sided interval, clustered by document, lies above the tolerance. Ends are at 1 -
FAMILY_ERROR / k for k comparisons (Bonferroni), so the chance that a gate over models none of which
lost more than the tolerance raises an alarm is at most FAMILY_ERROR, however the comparisons hang
together. Holm's procedure would name more scores once one has fallen, but its first step is this
one: it raises an alarm exactly when Bonferroni does, and has no intervals to show.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtri, stdtrit

from mom_eval.results import TASK_NAMES
from mom_eval.results.baseline import Key, Scores
from mom_eval.results.statistics import Interval, mean, paired

FAMILY_ERROR: Final = 0.01
"""Chance of a false alarm of a whole gate, all models and tasks together."""
POWER: Final = 0.8
"""With which a drop that is called detectable is detected."""
BITS, CONTAINS = "bits_per_byte", "contains"
TOLERANCE: Final = {BITS: 0.01, CONTAINS: 0.01}
"""What other machines, kernels and versions of torch and Triton may change in a mean and no model
is to blame for. Numbers of docs/ci.md, "What a clean change does"."""
NOTICE: Final = {BITS: 0.1, CONTAINS: 0.1}
"""Drops that somebody would want to hear of; where a gate cannot detect them it says so."""
MOVED: Final = 1e-3
"""Bits per byte, root mean square over questions: the same weights and code move by less, whatever
the batch. More is said, and no alarm: another model is meant to answer otherwise."""
SPREAD: Final = 1.5
"""How unevenly damage falls on documents: its standard deviation over documents, over its mean.
Numbers of docs/ci.md, "What it catches"."""
ALL: Final = "all"
"""In the place of a task: all of them."""

Floats = NDArray[np.float64]


class Retest(NamedTuple):
    """One task as one model answered it then and now, arrays over its questions."""

    model: str
    task: str
    documents: Sequence[str]
    then: Mapping[str, Floats]
    """`bits_per_byte` and `contains`."""
    now: Mapping[str, Floats]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One score of one model on one task (or on all)."""

    model: str
    task: str
    score: str
    then: float
    now: float
    moved: float
    """Root mean square of the single questions' changes, up or down."""
    drop: Interval
    """How much worse it got: bits per byte more, contains less."""
    documents: Sequence[str]
    """Of each question."""
    level: float
    """Each end of the drop's interval is missed with this probability."""

    @cached_property
    def detectable(self) -> float | None:
        """The smallest drop that would be called one with probability POWER; None: none would."""
        detect = _detectable_bits if self.score == BITS else _detectable_contains
        return detect(self.drop, self.documents, self.level)

    @property
    def tolerance(self) -> float:
        """What the score may lose."""
        return TOLERANCE[self.score]

    @property
    def fell(self) -> bool:
        """Is the drop above the tolerance, and its interval with it?"""
        return self.drop.low is not None and self.drop.low > self.tolerance

    @property
    def rose(self) -> bool:
        """Is it better by more than the tolerance, and its interval with it?"""
        return self.drop.high is not None and self.drop.high < -self.tolerance

    @property
    def unsure(self) -> bool:
        """Is the drop above the tolerance, and its interval not?"""
        return self.drop.value > self.tolerance and not self.fell

    @property
    def blind(self) -> bool:
        """Are there too few questions for a drop that somebody would want to hear of?"""
        return self.detectable is None or self.detectable > NOTICE[self.score]


@dataclass(frozen=True)
class Gate:
    """The verdict over all models."""

    outcomes: Sequence[Outcome]
    remarks: Sequence[str] = ()
    """What else is not as it was."""

    @cached_property
    def fell(self) -> list[Outcome]:
        """What raises the alarm."""
        return [one for one in self.outcomes if one.fell]


def retests_of(model: str, scores: Scores, lines: Iterable[Mapping[str, Any]]) -> list[Retest]:
    """A baseline's scores beside the lines of a run of the same questions, in any order.

    Raises KeyError where a line is not in the baseline: `check_questions` comes before.
    """
    by_task: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        by_task.setdefault(line["task"], []).append(line)
    return [
        Retest(
            model,
            task,
            [line["document"] for line in found],
            {
                name: np.array([getattr(scores[Key(task, line["id"])], name) for line in found])
                for name in (BITS, CONTAINS)
            },
            {name: np.array([line[name] for line in found], float) for name in (BITS, CONTAINS)},
        )
        for task, found in sorted(by_task.items(), key=lambda item: list(TASK_NAMES).index(item[0]))
    ]


def judge(retests: Sequence[Retest], remarks: Sequence[str] = ()) -> Gate:
    """Compare every task of every model, and all tasks of a model together."""
    models = dict.fromkeys(one.model for one in retests)
    whole = [_together([one for one in retests if one.model == model]) for model in models]
    everything = [
        one
        for model, together in zip(models, whole, strict=True)
        for one in (together, *(part for part in retests if part.model == model))
    ]
    family = 2 * len(everything)
    found = [_compare(one, score, family) for score in (BITS, CONTAINS) for one in everything]
    return Gate(found, remarks)


def _together(parts: Sequence[Retest]) -> Retest:
    """All questions of a model as one task."""

    def joined(side: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
        return {name: np.concatenate([one[name] for one in side]) for name in (BITS, CONTAINS)}

    return Retest(
        parts[0].model,
        ALL,
        [document for one in parts for document in one.documents],
        joined([one.then for one in parts]),
        joined([one.now for one in parts]),
    )


def _compare(one: Retest, score: str, family: int) -> Outcome:
    level = FAMILY_ERROR / family
    then, now = one.then[score], one.now[score]
    return Outcome(
        model=one.model,
        task=one.task,
        score=score,
        then=float(then.mean()),
        now=float(now.mean()),
        moved=float(np.sqrt(np.mean((now - then) ** 2))),
        drop=drop_of(then, now, one.documents, score, level),
        documents=one.documents,
        level=level,
    )


def drop_of(
    then: Floats, now: Floats, documents: Sequence[str], score: str, level: float
) -> Interval:
    """How much worse the mean got, each end of its interval missed with probability `level`."""
    if score == BITS:
        return mean(now - then, documents, confidence=1 - 2 * level)
    return paired(then, now, documents, confidence=1 - 2 * level)


def _detectable_bits(drop: Interval, documents: Sequence[str], level: float) -> float | None:
    """A drop D varies over documents as these do now, or by SPREAD times D if that is more.

    D is detected with probability POWER when it exceeds the tolerance by (t(1 - level) + t(POWER))
    standard errors.
    """
    count = drop.documents
    if count < 2 or drop.variance is None:
        return None
    errors = float(stdtrit(count - 1, 1 - level) + stdtrit(count - 1, POWER))
    # Of the mean over questions: unequal documents make it vary more than over `count` equal ones.
    share = np.unique(np.asarray(documents), return_counts=True)[1] / drop.questions
    spread = SPREAD * float(np.sqrt(np.sum(share**2)))
    if errors * spread >= 1:
        return None
    tolerance = TOLERANCE[BITS]
    return max(tolerance + errors * drop.variance**0.5, tolerance / (1 - errors * spread))


def _detectable_contains(drop: Interval, documents: Sequence[str], level: float) -> float | None:
    """The smallest share of lost answers, spread evenly over documents, that is called a drop."""
    places = np.argsort(_turn_in_document(documents), kind="stable")
    right = np.ones(drop.questions)

    def is_called(lost: int) -> bool:
        now = right.copy()
        now[places[:lost]] = 0
        low = drop_of(right, now, documents, CONTAINS, level).low
        return low is not None and low > TOLERANCE[CONTAINS]

    few, many = 0, drop.questions
    if not is_called(many):
        return None
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if is_called(middle) else (middle, many)
    # So many are lost with probability POWER where each is lost with this one.
    return float(bdtri(many - 1, drop.questions, 1 - POWER)) if many > 1 else POWER


def _turn_in_document(documents: Sequence[str]) -> list[int]:
    """Of each question, how many of its document stand before it."""
    seen: dict[str, int] = {}
    turns = []
    for document in documents:
        turns.append(seen.get(document, 0))
        seen[document] = turns[-1] + 1
    return turns
