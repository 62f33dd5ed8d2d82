"""The part of scripts/zoo_results.py on seeds: what is a model's, and what is its training's."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import pandas as pd
from scipy.stats import ttest_ind

from mom_eval.results.board import METRICS, Metric
from mom_eval.results.leaderboard import build
from mom_eval.results.markdown import grid
from mom_eval.results.select import selected
from mom_eval.results.store import Run

MODELS: Final = {"mom-gated-deltanet": "MoM", "gated-deltanet": "Gated DeltaNet"}
"""As configs/zoo/small calls them, and what they are called here; the first less the second."""
NAMES: Final = (
    r"small-(?P<model>.+)-seed-(?P<seed>\d+)",
    r"seed(?P<seed>\d+)-(?P<model>.+)",
    r"small-(?P<model>.+)",
)
"""What scripts/zoo_train.py calls a training of a seed: of `--set seed=N`, of configs/zoo/seedN,
and the seed of configs/zoo/small."""
FEW: Final = 32
"""Pairs of MQAR up to which both models answer nearly all."""


class Measure(NamedTuple):
    """A score of every training, by model and seed, as it is shown."""

    name: str
    metric: Metric
    by_training: Mapping[tuple[str, int], float]


def table(seeds: Sequence[Run], paper: Sequence[Run], mqar: Sequence[pd.DataFrame]) -> str:
    """Scores by training, and the difference of the means with its interval.

    Of trainings in `seeds`, and of those in `paper` whose seed is not there; `mqar`: a table of the
    first and one of the others. A training that was not asked both is left out.
    """
    found = _measures(seeds, paper, mqar)
    trainings = sorted(set.intersection(*(set(measure.by_training) for measure in found)))
    by_model = {model: [one for one in trainings if one[0] == model] for model in MODELS}
    lines = []
    for measure in found:
        first, second = ([measure.by_training[one] for one in own] for own in by_model.values())
        low, high = ttest_ind(first, second, equal_var=False).confidence_interval()
        mean, d = sum(first) / len(first) - sum(second) / len(second), measure.metric.decimals
        cells = [" ".join(f"{value:.{d}f}" for value in values) for values in (first, second)]
        lines.append([measure.name, *cells, f"{mean:+.{d}f} {low:+.{d}f}/{high:+.{d}f}"])
    again = _listed(_trainings(seeds) & _trainings(paper)) or "none"
    words = (
        "Models of 1.75M weights, one configuration each in several seeds, protocol paper; MQAR:"
        " the mean over lengths of 256, 512 and 1,024 tokens and numbers of pairs. Seeds, in their"
        f" order: {_listed(trainings)}. Trained again, and of the later training here:"
        f" {again}. The interval is over trainings (Welch's t, 95 %)."
    )
    head = ["Score", *MODELS.values(), " less ".join(MODELS.values())]
    return f"## Seeds\n\n{words}\n\n{grid(head, lines)}"


def _listed(trainings: Iterable[tuple[str, int]]) -> str:
    """`MoM 0 1, Gated DeltaNet 1`."""
    by_model = {
        model: [seed for own, seed in sorted(trainings) if own == model] for model in MODELS
    }
    return ", ".join(
        " ".join([MODELS[model], *map(str, seeds)]) for model, seeds in by_model.items() if seeds
    )


def _measures(
    seeds: Sequence[Run], paper: Sequence[Run], mqar: Sequence[pd.DataFrame]
) -> list[Measure]:
    there = _trainings(seeds)
    parts = (seeds, there), (paper, _trainings(paper) - there)
    runs = [run for some, own in parts for run in some if _of_paper(run) in own]
    tables = [
        lines[[_training(label) in own for label in lines["label"]]]
        for lines, (_, own) in zip(mqar, parts, strict=True)
    ]
    lines = pd.concat(tables)
    few = lines["pairs"] <= FEW
    trained, transfer = ("fda", "squad"), ("swde", "nq", "drop")
    return [
        _score("FDA, %", runs, ["fda"], "contains"),
        _score("trained forms, %", runs, trained, "contains"),
        _score("their bits per byte", runs, trained, "bits_per_byte"),
        _score("transfer, %", runs, transfer, "contains"),
        _accuracy(f"MQAR, up to {FEW} pairs, %", lines[few]),
        _accuracy(f"MQAR, more than {FEW} pairs, %", lines[~few]),
    ]


def _trainings(runs: Iterable[Run]) -> set[tuple[str, int]]:
    return {training for run in runs if (training := _of_paper(run))}


def _of_paper(run: Run) -> tuple[str, int] | None:
    """The training that was asked real documents, with them; None of other models and runs."""
    setting = run.info["setting"]
    alone = setting["control"] is None and setting["protocol"] == "paper"
    real = run.info["data"]["source"] != "sample"
    return _training(run.info["label"]) if alone and real else None


def _training(label: str) -> tuple[str, int] | None:
    """The model and seed that a row's name says; None of other models."""
    for pattern in NAMES:
        if (found := re.fullmatch(pattern, label)) and found["model"] in MODELS:
            return found["model"], int(found.groupdict().get("seed") or 0)
    return None


def _score(name: str, runs: Iterable[Run], tasks: Sequence[str], metric: str) -> Measure:
    shown, found = METRICS[metric], {}
    for board in build(selected(runs, tasks=tasks)):
        for row in board.rows:
            training, score = _training(row.name), row.average.scores.get(metric)
            if training and score:
                found[training] = shown.scale * score.value
    return Measure(name, shown, found)


def _accuracy(name: str, lines: pd.DataFrame) -> Measure:
    """Means over lengths and numbers of pairs."""
    shown, found = METRICS["contains"], {}
    for label, mean in lines.groupby("label")["accuracy"].mean().items():
        if training := _training(str(label)):
            found[training] = shown.scale * float(mean)
    return Measure(name, shown, found)
