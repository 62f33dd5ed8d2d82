"""Run folders as a listing: what is there, in what state; and removing those not wanted."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from mom_eval.errors import RunError
from mom_eval.results.frames import age, answered, run_record
from mom_eval.results.group import group_of
from mom_eval.results.markdown import one_line
from mom_eval.results.select import check_known, is_called
from mom_eval.results.store import Run, check_unused, disk_errors, read_runs

_OURS: Final = ("run.json", "run.json.new", "lock")
"""What a run folder holds besides its `.jsonl` files."""


class Listing(NamedTuple):
    """What a folder holds."""

    runs: list[Run]
    """The oldest first."""
    unreadable: list[str]
    """A sentence on each folder with a `run.json` that cannot be read."""


def state(run: Run) -> str:
    """`finished` or `unfinished`: going on, or stopped."""
    return "unfinished" if run.info["finished"] is None else "finished"


def find_runs(
    folder: Path,
    *,
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    only: str | None = None,
) -> Listing:
    """The runs that lie directly in a folder, or the one that it is.

    Args:
        folder: of run folders, or one itself.
        models: labels or patterns such as `mom-*`; none: all.
        tasks: that asked one of these; none: all.
        only: in this state; None: in both.

    Raises:
        RunError: the folder is not there, or holds no run.
        SettingError: a pattern fits no label, or no run asked a task.
    """
    runs, unreadable = [], []
    places = [folder]
    if folder.is_dir() and not (folder / "run.json").exists():
        places = [file.parent for file in sorted(folder.glob("*/run.json"))] or places
    for place in places:
        try:
            runs += read_runs([place])
        except RunError as error:
            if len(places) == 1:
                raise
            unreadable.append(str(error))
    labels = sorted({run.info["label"] for run in runs})
    check_known(models, tasks, labels, sorted({task for run in runs for task in run.info["tasks"]}))
    kept = [
        run
        for run in runs
        if is_called(run.info["label"], models)
        and (not tasks or set(tasks) & set(run.info["tasks"]))
        and (only is None or state(run) == only)
    ]
    return Listing(sorted(kept, key=age), unreadable)


def records(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Each run as plain values for JSON: the fields of `load_runs().runs`, and its state."""
    return [
        run_record(run)
        | {name: run.info[name] for name in ("started", "finished")}
        | {"state": state(run)}
        for run in runs
    ]


def lines(runs: Sequence[Run]) -> list[str]:
    """The runs as aligned lines under a heading; how each was asked stands at its end."""
    head = ("run", "started (UTC)", "state", "answers", "model", "tasks", "asked")
    rows = [head, *map(_words, runs)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head) - 1)]
    return ["  ".join([*map(str.ljust, row, widths), row[-1]]) for row in rows]


def _words(run: Run) -> tuple[str, ...]:
    info = run.info
    kind = "" if info["kind"] == "model" else f" ({info['kind']})"
    return (
        run.folder.name,
        (info["started"] or "-")[:16].replace("T", " "),
        state(run),
        f"{answered(run):,}",
        one_line(info["label"]) + kind,
        ",".join(info["tasks"]),
        group_of(run).title(),
    )


def remove(runs: Sequence[Run], say: Callable[[str], None]) -> None:
    """Remove run folders; none is touched before all have been looked at. Links are not followed.

    Raises:
        RunError: one is a link, holds what no run holds, is being written, or the disk refuses.
    """
    for run in runs:
        _check_ours(run.folder)
        check_unused(run.folder)
    for run in runs:
        with disk_errors(run.folder):
            shutil.rmtree(run.folder)
        say(f"removed {run.folder}")


def _check_ours(folder: Path) -> None:
    for place in (folder, folder.parent):
        if place.is_symlink():
            raise RunError(
                f"{place} is a link, and links are not followed; nothing is removed: name the"
                " folder that it leads to"
            )
    foreign = ", ".join(_foreign(folder))
    if foreign:
        raise RunError(
            f"{folder} also holds {foreign}, which no run writes; nothing is removed: take it out"
            " first, or remove the folder by hand"
        )


def _foreign(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        plain = path.is_file() and not path.is_symlink()
        if not plain or not (path.name in _OURS or path.suffix == ".jsonl"):
            yield path.name
