"""Where the rows of a task come from: a folder, what was prepared from the hub, or the sample.

A folder holds `<task>.jsonl.gz`, `.jsonl` or `.parquet` and may hold `<task>.train.*` beside it. If
it also holds `manifest.json`, `mom-eval data prepare` made it, and its files must still be those.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mom_eval.errors import DataError
from mom_eval.tasks import TASKS, files, manifest, sample
from mom_eval.tasks.schema import Row

ENVIRONMENT = "MOM_EVAL_DATA"
NQ_LENGTHS = (512, 1024, 2048)
"""The hub holds NQ cut to three lengths, in tokens."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where to read from; `resolve` makes one."""

    kind: str
    """`local`, `hub` or `sample`."""
    folder: Path | None = None
    """None for the sample."""
    why: str | None = None
    """A sentence for the user where nobody asked for this source: the sample, for want of data."""
    seed: int = 0
    """Of the sample, as are the next two."""
    questions: int = 40
    """A task."""
    tokens: int = 320
    """A document, in `sample.pieces`."""


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """One task's rows and what identifies them."""

    task: str
    rows: list[Row]
    file: str
    """Name of the file, without its folder."""
    sha256: str
    """Of the file's bytes; of the canonical JSON of the sample's rows."""
    source: str
    """`local`, `hub` or `sample`."""
    revision: str | None
    """The data set's commit on the hub."""
    train_rows: Callable[[], list[Row] | None]
    """Reads the training rows when first called (they can be large); None if there are none."""


def data_folder(data_dir: Path | None) -> Path:
    """The folder of prepared data: as given, else `MOM_EVAL_DATA`, else in the user's cache."""
    if data_dir is not None:
        return data_dir.expanduser()
    if named := os.environ.get(ENVIRONMENT):
        return Path(named).expanduser()
    cached = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cached) / "mom-eval" / "data"


def resolve(data: str | None, data_dir: Path | None = None) -> Source:
    """What `--data` and `--data-dir` mean.

    Args:
        data: a folder, `hub`, `sample`, or None: the data folder if it holds data, else the
            sample, with `why` to be shown to the user.
        data_dir: the data folder, if not the usual one.

    Raises:
        DataError: a folder that was named is missing or holds no data.
    """
    if data == "sample":
        return Source(kind="sample")
    if data not in (None, "hub"):
        return _folder_source(Path(data).expanduser(), "--data")
    folder = data_folder(data_dir)
    if data == "hub":
        if not manifest.exists(folder):
            raise DataError(
                f"no data from the hub are prepared in {folder}; run `mom-eval data prepare` once"
                " with a network"
            )
        return Source(kind="hub", folder=folder)
    if data_dir is not None:
        return _folder_source(folder, "--data-dir")
    if os.environ.get(ENVIRONMENT):
        return _folder_source(folder, ENVIRONMENT)
    if folder.is_dir() and (manifest.exists(folder) or files.data_files(folder)):
        return _folder_source(folder, "the user's cache")
    return Source(
        kind="sample",
        why=f"no data are prepared in {folder}, so the questions are the embedded synthetic sample;"
        " `mom-eval data prepare` fetches the real ones, --data DIR reads your own",
    )


def load(task: str, source: Source, *, context_length: int | None = None) -> TaskData:
    """Read and check one task's rows.

    Args:
        task: one of the six.
        source: from `resolve`.
        context_length: decides which of the hub's three versions of NQ is read, the shortest
            that fills the context, the longest for None; nothing else.

    Raises:
        DataError: file, line, field and what was expected there.
    """
    if task not in TASKS:
        raise ValueError(f"no task {task!r}; known: {', '.join(TASKS)}")
    if source.folder is None:
        return _sample(task, source)
    stem = file_stem(task, context_length) if source.kind == "hub" else task
    entry = manifest.read(source.folder).get(stem) if source.kind == "hub" else None
    if source.kind == "hub" and entry is None:
        raise DataError(
            f"{stem} is not prepared in {source.folder}; run `mom-eval data prepare --tasks {task}`"
        )
    path = files.needed(source.folder, stem)
    found = files.sha256(path)
    if entry is not None and found != entry.sha256:
        raise DataError(
            f"{path} has changed since it was prepared; run `mom-eval data prepare --tasks {task}`"
            " to fetch it again"
        )
    folder = source.folder
    return TaskData(
        task=task,
        rows=list(files.read_rows(path, task)),
        file=path.name,
        sha256=found,
        source=source.kind,
        revision=entry.revision if entry else None,
        train_rows=cache(lambda: _train_rows(folder, task)),
    )


def file_stem(task: str, context_length: int | None) -> str:
    """The prepared file of a task: the task's name, but `nq_512` and `nq_1024` for short NQ."""
    if task == "nq" and context_length is not None:
        for length in NQ_LENGTHS[:-1]:
            if context_length <= length:
                return f"nq_{length}"
    return task


def _folder_source(folder: Path, option: str) -> Source:
    if folder.is_file():
        raise DataError(f"{option}: {folder} is a file; name the folder that holds it")
    if not folder.is_dir():
        raise DataError(
            f"{option}: there is no folder {folder}; name one with <task>.jsonl.gz, .jsonl or"
            " .parquet files, or give --data sample"
        )
    if manifest.exists(folder):
        return Source(kind="hub", folder=folder)
    try:
        names = files.data_files(folder)
    except OSError as error:
        raise DataError(
            f"{option}: {folder} cannot be read: {error.strerror}; name another folder"
        ) from None
    if not names:
        raise DataError(
            f"{option}: {folder} holds no .jsonl.gz, .jsonl or .parquet file; name another folder,"
            " or run `mom-eval data prepare`"
        )
    return Source(kind="local", folder=folder)


def _train_rows(folder: Path, task: str) -> list[Row] | None:
    path = files.find(folder, f"{task}.train")
    return None if path is None else list(files.read_rows(path, task))


def _sample(task: str, source: Source) -> TaskData:
    def rows(split: str, questions: int) -> list[Row]:
        return sample.generate(
            task, split, seed=source.seed, questions=questions, tokens=source.tokens
        )

    test = rows("test", source.questions)
    canonical = json.dumps(test, sort_keys=True, separators=(",", ":"))
    return TaskData(
        task=task,
        rows=test,
        file=f"{task}.sample",
        sha256=hashlib.sha256(canonical.encode()).hexdigest(),
        source="sample",
        revision=None,
        train_rows=cache(lambda: rows("train", 10 * source.questions)),
    )
