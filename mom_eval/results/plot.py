"""Plots of leaderboards, as PNG and SVG."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from mom_eval.results.board import LM_EVAL_SCORE
from mom_eval.results.plot_files import write_figures
from mom_eval.results.plot_frame import Lines
from mom_eval.results.plot_haystack import haystack_by_depth
from mom_eval.results.plot_length import score_by_length
from mom_eval.results.plot_pareto import points, recall_by_cost
from mom_eval.results.plot_scores import scores_by_task
from mom_eval.results.plot_steps import checkpoints, score_by_step
from mom_eval.results.table import SETTING


def figures(frame: pd.DataFrame) -> dict[str, Figure]:
    """Every plot that leaderboards give, by a file name (no suffix) that no other one has.

    Scores by task for each leaderboard without a haystack, and where it holds some: checkpoints of
    a training by step, models with known costs by these. Score against context length for those
    that differ in nothing else; depth by length for those with a haystack. Leaderboards of
    lm-eval's own tasks are left out: their metrics share no axis.

    Args:
        frame: what `load_leaderboard` gives, or lines of it.
    """
    named: dict[str, Figure] = {}
    for stem, figure in _drawn(frame):
        count = sum(name == stem or name.startswith(f"{stem}~") for name in named)
        named[f"{stem}~{count + 1}" if count else stem] = figure
    return named


def _drawn(frame: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    recall: Lines = frame[frame["metric"] != LM_EVAL_SCORE]
    hidden = recall["haystack"].notna()
    for _, board in recall[~hidden].groupby("board", sort=False):
        yield _stem("scores", board), scores_by_task(board)
        if len(checkpoints(board)):
            yield _stem("steps", board), score_by_step(board)
        if len(points(board)) > 1:
            yield _stem("pareto", board), recall_by_cost(board)
    for family in _families(recall[~hidden], "context_length"):
        if family["context_length"].nunique() > 1:
            yield _stem("lengths", family), score_by_length(family)
    for family in _families(recall[hidden], "haystack", "depth", "context_length"):
        yield _stem("haystack", family), haystack_by_depth(family)


def write(frame: pd.DataFrame, out: Path) -> list[Path]:
    """Write every plot into the folder `out`, which is made if need be; returns the files.

    Raises:
        RunError: the folder cannot be written.
    """
    return write_figures(figures(frame), out)


def _families(frame: Lines, *free: str) -> Iterator[Lines]:
    """Leaderboards that are equal but for the `free` fields of their settings, in their order.

    Data files may differ too, as NQ has one a length; only where two would then lie on one spot of
    the plot are they kept apart by their files.
    """
    fixed = [name for name in SETTING if name not in free]
    for _, family in frame.groupby(fixed, sort=False, dropna=False):
        alone = len(family[[*SETTING]].drop_duplicates()) == family["board"].nunique()
        parts = [] if alone else ["data_files"]
        for _, part in family.groupby([*fixed, *parts], sort=False, dropna=False):
            yield part


def _stem(kind: str, frame: Lines) -> str:
    """A file name that says what is in it: `scores-paper-2048-local`."""
    line = frame.iloc[0]
    words = [kind, line["protocol"]]
    words += [] if kind in ("lengths", "haystack") else [str(line["context_length"])]
    words.append(line["data"])
    words += [f"repeat{line['repeat']}"] if line["repeat"] > 1 else []
    words += [] if pd.isna(line["control"]) else [line["control"]]
    return "-".join(words)
