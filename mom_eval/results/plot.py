"""Plots of leaderboards, as PNG and SVG."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib import style
from matplotlib.figure import Figure

from mom_eval.results.board import Board
from mom_eval.results.group import LM_EVAL, short_hash
from mom_eval.results.plot_files import write_figures
from mom_eval.results.plot_haystack import haystack_by_depth
from mom_eval.results.plot_length import score_by_length
from mom_eval.results.plot_pareto import drawable, recall_by_cost
from mom_eval.results.plot_scores import scores_by_task
from mom_eval.results.plot_steps import score_by_step, trainings
from mom_eval.results.plot_style import STYLE


def figures(boards: Sequence[Board]) -> dict[str, Figure]:
    """Every plot that the boards give, by a file name (no suffix) that no other one has.

    Scores by task for each board without a haystack, and where it holds some: checkpoints of a
    training by step, models with known costs by these. Score against context length for boards
    that differ in nothing else; depth by length for boards with a haystack. Boards of lm-eval's
    own tasks are left out: their metrics share no axis.
    """
    with style.context(STYLE):
        drawn = list(_drawn(boards))
    named: dict[str, Figure] = {}
    for stem, figure in drawn:
        count = sum(name == stem or name.startswith(f"{stem}~") for name in named)
        named[f"{stem}~{count + 1}" if count else stem] = figure
    return named


def _drawn(boards: Sequence[Board]) -> Iterator[tuple[str, Figure]]:
    recall = [board for board in boards if board.group.tasks != LM_EVAL]
    plain = [board for board in recall if board.group.haystack is None]
    for board in plain:
        yield _stem("scores", board), scores_by_task(board)
        if trainings(board):
            yield _stem("steps", board), score_by_step(board)
        if drawable(board):
            yield _stem("pareto", board), recall_by_cost(board)
    for family in _families(plain, "context_length"):
        if len({board.group.context_length for board in family}) > 1:
            yield _stem("lengths", family[0]), score_by_length(family)
    hidden = [board for board in recall if board.group.haystack is not None]
    for family in _families(hidden, "haystack", "depth", "context_length"):
        yield _stem("haystack", family[0]), haystack_by_depth(family)


def write(boards: Sequence[Board], out: Path) -> list[Path]:
    """Write every plot into the folder `out`, which is made if need be; returns the files.

    Raises:
        RunError: the folder cannot be written.
    """
    return write_figures(lambda: figures(boards), out)


def _families(boards: Sequence[Board], *free: str) -> list[list[Board]]:
    """Boards that are equal but for the `free` fields of their groups, in their given order.

    Data files may differ too, as NQ has one a length; only where two boards would then lie on one
    spot of the plot are they kept apart by their files.
    """
    families: dict[str, list[Board]] = {}
    for board in boards:
        fixed = {key: value for key, value in board.group.record().items() if key not in free}
        families.setdefault(repr(fixed), []).append(board)
    parts: list[list[Board]] = []
    for family in families.values():
        by_files: dict[str, list[Board]] = {}
        alone = len({board.group for board in family}) == len(family)
        for board in family:
            by_files.setdefault("" if alone else short_hash(board.files), []).append(board)
        parts += by_files.values()
    return parts


def _stem(kind: str, board: Board) -> str:
    """A file name that says what is in it: `scores-paper-2048-local`."""
    group = board.group
    words = [kind, group.protocol]
    words += [] if kind in ("lengths", "haystack") else [str(group.context_length)]
    words.append(group.source)
    words += [f"repeat{group.repeat}"] if group.repeat > 1 else []
    words += [group.control] if group.control else []
    return "-".join(words)
