"""The six data sets of the hub: fetched once into the data folder, listed, and checked.

The folder then holds a parquet file a task and `manifest.json`. Nothing else of the package needs
a network for its data.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from pyarrow import parquet

from mom_eval.errors import DataError
from mom_eval.tasks import TASKS, files, manifest
from mom_eval.tasks.data import NQ_LENGTHS, Source, file_stem, load
from mom_eval.tasks.schema import Row, checked

HUB_IDS = {
    "fda": "hazyresearch/based-fda",
    "swde": "hazyresearch/based-swde-v2",
    "squad": "hazyresearch/based-squad",
    "nq": "hazyresearch/based_nq_2048",
    "triviaqa": "hazyresearch/based_triviaqa",
    "drop": "hazyresearch/based_drop",
}
"""Task -> data set; of NQ there are shorter versions, `based_nq_512` and `based_nq_1024`."""
# The name of a split file: a folder or file whose name begins with "val", such as
# data/validation-00000-of-00001.parquet (the hub also has "validaion" in a set of this family).
_VALIDATION = re.compile(r"(?:^|[/._-])val")
_MOST_LEFT_OUT = 0.05
# The hub's own error is an OSError and an error of its HTTP client, whichever that is.
_NETWORK_ERRORS = tuple(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception))


def prepare(
    data_dir: Path, tasks: Sequence[str], *, say: Callable[[str], None] = lambda text: None
) -> list[dict[str, Any]]:
    """Download the data sets of these tasks; what is there and unchanged is kept.

    May be interrupted at any time and called again.

    Args:
        data_dir: the data folder; made if missing.
        tasks: of the six; NQ comes in its three lengths.
        say: gets one sentence a data set.

    Returns:
        As `listing`.

    Raises:
        DataError: no network, a data set in a form not known here, or a folder of other files.
    """
    if data_dir.is_dir() and not manifest.exists(data_dir) and files.data_files(data_dir):
        raise DataError(
            f"{data_dir} holds data files that were not prepared from the hub; choose another"
            " folder with --data-dir"
        )
    entries = manifest.read(data_dir)
    for stem, task, hub in _wanted(tasks):
        entry = entries.get(stem)
        if entry and _unchanged(data_dir, entry):
            say(f"{stem}: {entry.rows} rows are here already")
            continue
        entry = _prepare_one(data_dir, stem, task, hub)
        entries[stem] = entry
        _written(lambda: manifest.write(data_dir, entries), data_dir)
        left_out = f", {entry.left_out} left out that cannot be asked" if entry.left_out else ""
        say(f"{stem}: {entry.rows} rows from {hub} at {entry.revision[:12]}{left_out}")
    return listing(data_dir)


def listing(data_dir: Path) -> list[dict[str, Any]]:
    """What is prepared, a dictionary a file; empty if nothing is.

    Raises:
        DataError: the manifest cannot be read.
    """
    return [
        {
            "name": stem,
            "rows": entry.rows,
            "hub": entry.hub,
            "revision": entry.revision,
            "date": entry.date,
            "file": entry.file,
            "sha256": entry.sha256,
            "columns": entry.columns,
            "left_out": entry.left_out,
        }
        for stem, entry in manifest.read(data_dir).items()
    ]


def check(source: Source) -> list[dict[str, Any]]:
    """Read every row of every task, and compare prepared files with the manifest.

    Of a folder the tasks that it holds are checked; if it holds none, all six are wrong.

    Returns:
        A dictionary a file: `name`, `ok`, and either `rows`, `file` and `sha256` or `problem`.
    """
    prepared = manifest.read(source.folder) if source.kind == "hub" and source.folder else None
    stems = [(task, task, NQ_LENGTHS[-1]) for task in TASKS]
    if source.folder is None:
        held = stems
    elif prepared is None:
        held = [row for row in stems if files.holds(source.folder, row[0])]
    else:
        stems += [(file_stem("nq", length), "nq", length) for length in NQ_LENGTHS[:-1]]
        held = [row for row in stems if row[0] in prepared]
    return [_finding(*row, source) for row in held or stems]


def _finding(stem: str, task: str, length: int, source: Source) -> dict[str, Any]:
    try:
        data = load(task, source, context_length=length)
        train = data.train_rows()
    except DataError as error:
        return {"name": stem, "ok": False, "problem": str(error)}
    return {
        "name": stem,
        "ok": True,
        "rows": len(data.rows),
        "train_rows": len(train or ()),
        "file": data.file,
        "sha256": data.sha256,
    }


def _wanted(tasks: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    for task in tasks:
        if task == "nq":
            for length in reversed(NQ_LENGTHS):
                hub = HUB_IDS[task].replace(str(NQ_LENGTHS[-1]), str(length))
                yield file_stem(task, length), task, hub
        else:
            yield task, task, HUB_IDS[task]


def _unchanged(data_dir: Path, entry: manifest.Entry) -> bool:
    path = data_dir / entry.file
    return path.is_file() and files.sha256(path) == entry.sha256


def _prepare_one(data_dir: Path, stem: str, task: str, hub: str) -> manifest.Entry:
    revision, downloaded = _download(hub)
    rows, left_out = _askable(task, hub, downloaded)
    path = data_dir / f"{stem}.parquet"
    # Arrow would take the first row's fields for all of them.
    columns = list(dict.fromkeys(field for row in rows for field in row))
    try:
        table = pyarrow.table({field: [row.get(field) for row in rows] for field in columns})
    except pyarrow.ArrowException as error:
        raise DataError(
            f"the rows of {hub} do not fit one table ({error}); report this data set and revision"
            f" {revision} to the makers of mom-eval"
        ) from None
    _written(lambda: _write_table(table, path), data_dir)
    return manifest.Entry(
        task=task,
        file=path.name,
        hub=hub,
        revision=revision,
        sha256=files.sha256(path),
        rows=len(rows),
        left_out=left_out,
        columns=columns,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _write_table(table: pyarrow.Table, path: Path) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        parquet.write_table(table, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _written(write: Callable[[], None], data_dir: Path) -> None:
    try:
        write()
    except OSError as error:
        raise DataError(
            f"{data_dir} cannot be written: {error.strerror or error}; free some space or choose"
            " another folder with --data-dir"
        ) from None


def _download(hub: str) -> tuple[str, list[Path]]:
    """The data set's commit and its validation files; a broken download is taken up again."""
    try:
        info = HfApi().dataset_info(hub)
        names = validation_files([sibling.rfilename for sibling in info.siblings or []], hub)
        revision = str(info.sha)
        paths = [
            hf_hub_download(hub, name, repo_type="dataset", revision=revision) for name in names
        ]
    except RepositoryNotFoundError:
        raise DataError(
            f"the hub has no public data set {hub}; if it was made private, log in with `hf auth"
            " login`, else give your own files with --data DIR"
        ) from None
    except _NETWORK_ERRORS as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise DataError(
            f"{hub} cannot be downloaded ({reason}); where there is a network, run `mom-eval data"
            " prepare` (again: it goes on where it stopped) and copy the data folder here, or use"
            " --data DIR or --data sample"
        ) from None
    return revision, [Path(path) for path in paths]


def validation_files(names: Sequence[str], hub: str) -> list[str]:
    """Of a data set's files those of the validation split: parquet, else JSON lines.

    Raises:
        DataError: there are none; says what was found.
    """
    for suffixes in ((".parquet",), (".jsonl", ".jsonl.gz")):
        found = [name for name in names if name.endswith(suffixes) and _VALIDATION.search(name)]
        if found:
            return sorted(found)
    there = ", ".join(sorted(names)) or "no file"
    raise DataError(
        f"{hub} has no validation split in parquet or JSON lines, only {there}; download it by hand"
        " and give it as <task>.jsonl with --data DIR"
    )


def _askable(task: str, hub: str, paths: list[Path]) -> tuple[list[Row], int]:
    """The rows that can be asked, and how many cannot; a data set may hold a few of these."""
    rows: list[Row] = []
    problems: list[DataError] = []
    for path in paths:
        for where, row in files.raw_rows(path):
            try:
                rows.append(checked(task, row, where.replace(str(path), f"{hub}, {path.name}")))
            except DataError as problem:
                problems.append(problem)
    if not rows or len(problems) > _MOST_LEFT_OUT * (len(rows) + len(problems)):
        first = problems[0] if problems else f"{hub} holds no rows"
        raise DataError(
            f"{len(problems)} of {len(rows) + len(problems)} rows of {hub} are not of the form"
            f" expected, the first: {first}"
        )
    return rows, len(problems)
