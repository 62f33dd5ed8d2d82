"""Run folders: what ran (`run.json`) and one line a question (`<task>.jsonl`), nothing derived.

A folder is written once: lines are appended as answers come, `finished` is set at the end, and
nothing is changed after that. A run that was killed is continued from its lines; a last line that
was cut off half-way is dropped and asked again.
"""

import errno
import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import IO, Any

from mom_eval.errors import RunError
from mom_eval.results.sound import check_info, check_line

try:
    import fcntl
except ImportError:  # Windows has no flock; there the lock only names the holder
    fcntl = None

SCHEMA = 1


@dataclass(frozen=True)
class Run:
    """One run as read from its folder."""

    folder: Path
    info: dict[str, Any]
    """`run.json`."""
    questions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Task name -> its lines, in the order in which they were answered."""


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a `.jsonl`; a last line without its newline (a killed run) is left out.

    Raises:
        RunError: a line in the middle is no JSON.
    """
    lines = path.read_bytes().split(b"\n")[:-1]
    out = []
    for number, line in enumerate(lines, 1):
        try:
            out.append(json.loads(line))
        except ValueError as error:
            raise RunError(
                f"{path.parent.name}/{path.name}, line {number} is no JSON ({error}): the run"
                " folder was changed by hand; remove it and run again"
            ) from None
    return out


def read_run(folder: Path) -> Run:
    """Read one run folder.

    Raises:
        RunError: no readable `run.json`, or one of a newer schema.
    """
    try:
        info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"{folder} holds no run.json, so it is no run folder; name one that `mom-eval run`"
            " wrote"
        ) from None
    except ValueError as error:
        raise RunError(
            f"{folder}/run.json is no JSON ({error}); remove the folder and run again"
        ) from None
    if not isinstance(info, dict) or not isinstance(info.get("tasks"), list):
        raise RunError(
            f"{folder}/run.json is not what `mom-eval run` writes; remove the folder and run again"
        )
    if info.get("schema") != SCHEMA:
        raise RunError(
            f"{folder}/run.json has schema {info.get('schema')}, this mom-eval reads {SCHEMA};"
            " use the version that wrote it"
        )
    files = {task: folder / answers_file(task) for task in info["tasks"]}
    return Run(
        folder, info, {task: read_lines(file) for task, file in files.items() if file.exists()}
    )


def read_runs(paths: Iterable[Path]) -> list[Run]:
    """Read run folders, or every run folder that lies directly in a given folder.

    Raises:
        RunError: a path does not exist, or nothing at all was found.
    """
    paths, runs = list(paths), []
    for path in paths:
        if not path.is_dir():
            raise RunError(
                f"{path} is no folder; give run folders or the folder that holds them"
                " (`mom-eval run --out`)"
            )
        if (path / "run.json").exists():
            runs.append(_sound(read_run(path)))
        else:
            runs += [_sound(read_run(file.parent)) for file in sorted(path.glob("*/run.json"))]
    if not runs:
        raise RunError(
            f"no run was found in {', '.join(map(str, paths))}; make one with `mom-eval run`"
        )
    return runs


def _sound(run: Run) -> Run:
    """The run, if a leaderboard can read it."""
    where = run.folder.name
    check_info(run.info, f"{where}/run.json")
    for task, lines in run.questions.items():
        for number, line in enumerate(lines, 1):
            check_line(line, run.info["kind"], f"{where}/{answers_file(task)}, line {number}")
    return run


def answers_file(task: str) -> str:
    """The name of a task's file of answers.

    `lm-eval:triviaqa` and paths hold characters that file systems refuse.
    """
    return "".join(c if c.isalnum() or c in "._-" else "." for c in task) + ".jsonl"


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what a disk can refuse into one sentence.

    Raises:
        RunError: disk full, read-only, not permitted, or whatever else it says.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = "the disk is full; free some room and run again, it continues where it stopped"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            why = "writing is not permitted there; choose another folder with --out"
        elif error.errno in (errno.EEXIST, errno.ENOTDIR):
            why = "a file stands where a folder is needed; choose another folder with --out"
        else:
            reason = error.strerror or type(error).__name__
            why = f"the folder cannot be used ({reason}); choose another one with --out"
        raise RunError(f"{folder}: {why}") from error


def check_unused(folder: Path) -> None:
    """Pass if nobody writes a run folder.

    Raises:
        RunError: somebody does.
    """
    path = folder / "lock"
    if fcntl is not None and path.exists():
        with disk_errors(folder), path.open(encoding="utf-8") as lock:
            _try_lock(lock, folder)


def _try_lock(lock: IO[str], folder: Path) -> None:
    assert fcntl is not None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "another process"
        lock.close()
        raise RunError(
            f"{folder} is being written by {holder}; wait for it or stop it, then try again"
        ) from None


def write_whole(path: Path, text: str) -> None:
    """Replace a file as a whole: a reader sees the old one or the new one, never half."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8", newline="\n")
    new.replace(path)


class RunWriter:
    """Writes one run folder; holds its lock from `__enter__` to `__exit__`."""

    def __init__(self, out: Path, info: dict[str, Any]) -> None:
        """`out` holds all runs; `info` is `run.json` with at least `id` and `tasks`."""
        self.folder = out / info["id"]
        self.info = info
        self._files: dict[str, FileIO] = {}
        self._lock: IO[str] | None = None

    def __enter__(self) -> "RunWriter":
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            self.save(self.info)
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()
        if self._lock is not None:
            with disk_errors(self.folder):
                (self.folder / "lock").unlink(missing_ok=True)
                self._lock.close()

    def _take_lock(self) -> None:
        path = self.folder / "lock"
        while True:
            lock = path.open("a+", encoding="utf-8")
            if fcntl is not None:
                _try_lock(lock, self.folder)
            # The last holder may have removed the file between our open and our lock.
            if path.exists() and os.fstat(lock.fileno()).st_ino == path.stat().st_ino:
                break
            lock.close()
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        self._lock = lock

    def answered(self, task: str) -> list[dict[str, Any]]:
        """The task's whole lines so far; what a kill left of a half-written one is cut off."""
        path = self.folder / answers_file(task)
        if not path.exists():
            return []
        with disk_errors(self.folder):
            data = path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                os.truncate(path, whole)
        return read_lines(path)

    def clear(self) -> None:
        """Forget every answer in the folder."""
        with disk_errors(self.folder):
            for path in self.folder.glob("*.jsonl"):
                path.unlink()

    def append(self, task: str, lines: Iterable[dict[str, Any]]) -> None:
        """Append lines and push them to the disk, so that a kill loses one batch at most.

        Raises:
            RunError: the disk is full; what was appended before is there.
        """
        with disk_errors(self.folder):
            if task not in self._files:
                path = self.folder / answers_file(task)
                # Unbuffered: what a full disk refused must not be tried again when it is closed.
                self._files[task] = path.open("ab", buffering=0)
            file = self._files[task]
            text = "".join(
                json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines
            )
            rest = memoryview(text.encode())
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())

    def save(self, info: dict[str, Any]) -> None:
        """Replace `run.json`."""
        self.info = info
        text = json.dumps(info, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        with disk_errors(self.folder):
            write_whole(self.folder / "run.json", text)
