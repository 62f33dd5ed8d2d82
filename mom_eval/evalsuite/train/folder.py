"""The folder of one training: its configuration, curves, checkpoints, and where it goes on.

config.toml        as given
loss.csv           a line a step; heldout.csv: a line a measurement and source
step-000500/       a checkpoint, with its tokenizer, as `mom-eval run --model` takes it
resume.safetensors weights and optimizer in float32, replaced as a whole
"""

import csv
import json
import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mom_eval.errors import RunError
from mom_eval.models import LM, save
from mom_eval.results.store import disk_errors
from mom_eval.tasks.tokens import HFTokens

LOSS = ("step", "tokens", "loss", "balance", "rate", "gradient_norm", "tokens_per_second")
HELDOUT = ("step", "tokens", "source", "loss", "accuracy")
COLUMNS = {"loss.csv": LOSS, "heldout.csv": HELDOUT}


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """`disk_errors`, also for safetensors, which words the system's errors itself."""
    with disk_errors(path):
        try:
            yield
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise RunError(
                    f"{path} is broken ({error}); name the last checkpoint as start in another"
                    " configuration, or begin anew with another --out"
                ) from error
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


class Folder:
    """Reads and writes it."""

    def __init__(self, path: Path) -> None:
        """It need not exist."""
        self.path = path
        self.resume = path / "resume.safetensors"

    def check(self, config: Path, raw: Any, *, resume: bool) -> None:
        """See that the folder is free, or holds the same training.

        Raises:
            RunError: it holds a training already and is not to be gone on with, or another one, or
                one that has lost its configuration.
        """
        held = self.path / "config.toml"
        with disk_errors(self.path):
            if not held.exists():
                if self.resume.exists():
                    raise RunError(
                        f"{self.path} holds a training without its config.toml, so nothing says"
                        " which; --out names another folder"
                    )
                return
            if not resume:
                raise RunError(
                    f"{self.path} holds a training; --resume goes on with it, --out names another"
                    " folder"
                )
            try:
                same = tomllib.loads(held.read_text("utf-8")) == raw
            except (tomllib.TOMLDecodeError, UnicodeDecodeError):
                same = False
            if not same:
                raise RunError(
                    f"{self.path} was trained by another configuration than {config}; --resume"
                    " takes the same one, --out names another folder"
                )

    def open(self, config: Path) -> None:
        """Make the folder with its copy of the configuration."""
        held = self.path / "config.toml"
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            if not held.exists():
                fresh = held.with_suffix(".new")
                shutil.copyfile(config, fresh)
                os.replace(fresh, held)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What `save` wrote last, or None before the first."""
        if not self.resume.exists():
            return None
        with _disk(self.resume), safe_open(self.resume, "pt") as file:
            facts = json.loads(file.metadata()["training"])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118

    def save(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Replace the state; a kill leaves the old one or the new one."""
        fresh = self.resume.with_suffix(".new")
        held = {name: tensor.contiguous() for name, tensor in tensors.items()}
        with _disk(self.path):
            save_file(held, fresh, {"training": json.dumps(facts)})
            os.replace(fresh, self.resume)

    def checkpoint(self, step: int, lm: LM, tokens: HFTokens | None) -> Path:
        """Write the model as it stands; a kill leaves the whole folder or none of its name."""
        path = self.path / f"step-{step:06d}"
        fresh = self.path / ".step.new"
        with _disk(path):
            shutil.rmtree(fresh, ignore_errors=True)
            save(lm, fresh)
            if tokens is not None:
                tokens.tokenizer.save_pretrained(fresh)
            if path.exists():  # a kill came between it and the state
                shutil.rmtree(path)
            os.replace(fresh, path)
        return path

    def cut(self, step: int) -> None:
        """Forget the lines beyond a step: they are written again."""
        for name, columns in COLUMNS.items():
            rows = [row for row in self.rows(name) if int(row["step"]) <= step]
            fresh = self.path / f"{name}.new"
            with disk_errors(self.path):
                with fresh.open("w", newline="") as file:
                    writer = csv.DictWriter(file, columns, lineterminator="\n")
                    writer.writeheader()
                    writer.writerows(rows)
                os.replace(fresh, self.path / name)

    def rows(self, name: str) -> list[dict[str, str]]:
        """The whole lines of a curve; a kill may have left half a line at its end."""
        path = self.path / name
        if not path.exists():
            return []
        with path.open(newline="") as file:
            lines = [line for line in file if line.endswith("\n")]
        return list(csv.DictReader(lines))

    def add(self, name: str, row: dict[str, Any]) -> None:
        """One line more."""
        with disk_errors(self.path), (self.path / name).open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS[name], lineterminator="\n").writerow(row)
