"""What one side of a comparison names -> the runs of one model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mom_eval.errors import RunError, nearest
from mom_eval.results.rows import by_identity, named
from mom_eval.results.store import Run, read_runs


class Side(NamedTuple):
    """One model, or one row made by code."""

    name: str
    runs: Sequence[Run]


def side(text: str, folder: Path) -> Side:
    """The model that a path or a name stands for.

    Args:
        text: a run folder; a folder that holds runs of one model (beside reference rows, perhaps);
            or a row's name as leaderboards show it.
        folder: where names are looked up: a folder that holds run folders.

    Raises:
        RunError: nothing is there, or more than one model.
    """
    path = Path(text)
    if path.is_dir():
        return _only(text, _by_name(_ours(read_runs([path]))))
    if not folder.is_dir():
        raise RunError(
            f"{text} is no folder, and there is no folder {folder} to look the name up in; give a"
            " run folder, or the folder of your runs with --runs"
        )
    runs = _ours(read_runs([folder]))
    rows = _by_name(runs)
    # Boards name their rows each by itself: `head` there may be told apart by tokenizers here.
    labelled = [run for run in runs if run.info["label"] == text]
    if text not in rows and not labelled:
        longer = [name for name in sorted(rows) if name.startswith(text)]
        hint = f"did you mean {' or '.join(longer)}?" if longer else nearest(text, sorted(rows))
        raise RunError(f"{text} is neither a folder nor a row of the runs in {folder}; {hint}")
    return Side(text, rows.get(text, labelled))


def _ours(runs: Sequence[Run]) -> list[Run]:
    """Those of recall tasks; lm-eval's own stand in tables of their own."""
    ours = [run for run in runs if run.info["kind"] != "lm-eval"]
    if not ours:
        raise RunError(
            "there are runs of lm-eval's own tasks alone; name runs of the recall tasks, whose"
            " questions are kept"
        )
    return ours


def _by_name(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by the names of their rows, were all of them on one board."""
    found = by_identity(runs)
    names = named(list(found))
    return {names[identity]: members for identity, members in found.items()}


def _only(text: str, rows: Mapping[str, list[Run]]) -> Side:
    models = {n: runs for n, runs in rows.items() if runs[0].info["kind"] != "reference"} or rows
    if len(models) > 1:
        raise RunError(
            f"{text} holds runs of {', '.join(sorted(models))}; give the name of one of them and"
            f" --runs {text}, or a single run folder"
        )
    return Side(*next(iter(models.items())))
