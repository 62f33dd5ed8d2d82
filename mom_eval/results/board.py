"""What a leaderboard holds, before anybody formats it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from mom_eval.results.costs import Costs
from mom_eval.results.group import Group
from mom_eval.results.statistics import Interval


class Metric(NamedTuple):
    """How a score is shown: its name, the factor from stored to shown values, its decimals."""

    name: str
    scale: float
    decimals: int
    lower_is_better: bool = False


METRICS: Final = {
    "contains": Metric("contains", 100.0, 1),
    "exact": Metric("exact match", 100.0, 1),
    "f1": Metric("F1", 100.0, 1),
    "bits_per_byte": Metric("bits per byte", 1.0, 2, lower_is_better=True),
}
LM_EVAL_SCORE: Final = "score"
"""The one metric of a board of lm-eval's own tasks: its columns are pairs of task and metric."""


def shown(metric: str) -> Metric:
    """How a metric is shown."""
    return METRICS.get(metric) or Metric(metric, 1.0, 3)


@dataclass(frozen=True)
class Cell:
    """The scores of one row on one task, or its averages over tasks."""

    scores: Mapping[str, Interval] = field(default_factory=dict)
    """Metric -> mean and interval, in stored units: shares in [0, 1], bits per byte."""
    net: Mapping[str, Interval] = field(default_factory=dict)
    """Control -> the board's metric with the document minus under the control, paired."""
    reason: str | None = None
    """Why there is no score."""

    @property
    def questions(self) -> int:
        """How many questions the scores rest on."""
        return max((score.questions for score in self.scores.values()), default=0)


@dataclass(frozen=True)
class Row:
    """One model, reference or published result."""

    name: str
    kind: str
    """`model`, `reference`, `published` or `lm-eval`."""
    cells: Mapping[str, Cell]
    """Column key -> cell."""
    average: Cell
    runs: tuple[str, ...]
    """The ids of the runs that the row is made of."""
    costs: Costs = field(default_factory=Costs)


@dataclass(frozen=True)
class Column:
    """One task."""

    key: str
    name: str
    questions: int
    """The most that any row answered."""
    averaged: bool


@dataclass(frozen=True)
class Board:
    """Rows that may be compared, best first; references and published rows after the models."""

    group: Group
    title: str
    caption: str
    """What the numbers are and over which tasks the average goes."""
    metric: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    files: Mapping[str, str]
    """Task -> sha256 of its data file."""

    @property
    def shown(self) -> Metric:
        """How the board's metric is shown."""
        return shown(self.metric)

    @property
    def controls(self) -> tuple[str, ...]:
        """The controls that at least one row was also asked under."""
        cells = [cell for row in self.rows for cell in (*row.cells.values(), row.average)]
        return tuple(sorted({control for cell in cells for control in cell.net}))

    @property
    def shows_average(self) -> bool:
        """Whether an average says more than the columns do."""
        return len(self.averaged) > 1

    @property
    def averaged(self) -> tuple[Column, ...]:
        """The columns that the average goes over; empty where there is no average."""
        return tuple(column for column in self.columns if column.averaged)

    def record(self) -> dict[str, Any]:
        """What identifies the board, as a plain dict."""
        return {"title": self.title, "metric": self.metric, "synthetic": self.group.synthetic} | {
            "setting": self.group.record(),
            "files": dict(self.files),
        }
