"""Reading a task's rows from JSON lines, gzip'd or not, and parquet; each row is checked."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow
from pyarrow import parquet

from mom_eval.errors import DataError
from mom_eval.tasks.schema import Row, checked

SUFFIXES = (".jsonl.gz", ".jsonl", ".parquet")
BROKEN_GZIP = (gzip.BadGzipFile, EOFError, zlib.error)
_BATCH = 256


def find(folder: Path, stem: str) -> Path | None:
    """The one file `<stem>.jsonl.gz`, `.jsonl` or `.parquet` in a folder; None if there is none.

    Raises:
        DataError: there are several.
    """
    found = [path for path in (folder / (stem + suffix) for suffix in SUFFIXES) if path.is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise DataError(f"{folder} holds both {names}, so {stem} is ambiguous; keep one of them")
    return found[0] if found else None


def holds(folder: Path, stem: str) -> bool:
    """Whether there is at least one such file."""
    return any((folder / (stem + suffix)).is_file() for suffix in SUFFIXES)


def needed(folder: Path, stem: str) -> Path:
    """As `find`, where the file must be there.

    Raises:
        DataError: there is none, or there are several.
    """
    path = find(folder, stem)
    if path is None:
        near = get_close_matches(f"{stem}.jsonl", data_files(folder), n=1, cutoff=0)
        hint = f"the nearest file there is {near[0]}" if near else "it holds no data file at all"
        raise DataError(f"there is no {stem}{', '.join(SUFFIXES)} in {folder}; {hint}")
    return path


def data_files(folder: Path) -> list[str]:
    """Names of the files in a folder that could hold rows."""
    held = (path for path in folder.iterdir() if path.name.endswith(SUFFIXES))
    return sorted(path.name for path in held if path.is_file())


def sha256(path: Path) -> str:
    """Of a file's bytes.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None


def read_rows(path: Path, task: str) -> Iterator[Row]:
    """The rows of one file, checked one by one.

    Raises:
        DataError: file, line and what is wrong there.
    """
    count = 0
    for where, row in raw_rows(path):
        count += 1
        yield checked(task, row, where)
    if not count:
        raise DataError(f"{path} holds no rows; it should hold a row a question")


def raw_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """(file and line, row) of one file, not yet checked.

    Raises:
        DataError: the file is broken.
    """
    return _parquet_rows(path) if path.suffix == ".parquet" else _json_rows(path)


def _json_rows(path: Path) -> Iterator[tuple[str, Any]]:
    number = 0
    try:
        with opened(path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    where = f"{path}, line {number}"
                    yield where, _json(line, where)
    except BROKEN_GZIP as error:
        raise DataError(
            f"{path} is no whole gzip file: it breaks after line {number} ({error}); copy or"
            " download it again"
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None


def opened(path: Path) -> BinaryIO:
    """A file's bytes, out of the gzip where its name ends in `.gz`."""
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _json(line: bytes, where: str) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: byte {error.start + 1} is not UTF-8; save the file as UTF-8"
        ) from None
    except ValueError as error:
        raise DataError(f"{where} is no JSON: {error}; a line must hold one JSON object") from None
    except RecursionError:
        raise DataError(f"{where} is nested too deeply to be a row of a task") from None


def _parquet_rows(path: Path) -> Iterator[tuple[str, Any]]:
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        first = str(error).strip().partition("\n")[0]
        raise DataError(
            f"{path} is no readable parquet file ({first}); copy or download it again"
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> DataError:
    """What to raise where the disk gives no file."""
    reason = error.strerror or str(error).partition("\n")[0]
    return DataError(f"{path} cannot be read: {reason}")
