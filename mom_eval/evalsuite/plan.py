"""What was asked for -> single runs. A run is one model, one setting and a list of tasks."""

import hashlib
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from mom_eval.errors import SettingError, nearest
from mom_eval.tasks import TASKS
from mom_eval.tasks.setting import Setting

LM_EVAL = "lm-eval:"


@dataclass(frozen=True)
class Grid:
    """Options of which several values can be given: each combination is a run of its own."""

    context_lengths: Sequence[int] = (2048,)
    haystacks: Sequence[int] = ()
    depths: Sequence[float] = ()
    controls: Sequence[str] = ()
    """Besides the plain run, never instead of it: a control means something beside it only."""


def settings(base: Setting, grid: Grid) -> list[Setting]:
    """Every setting of the grid over `base`, plain runs before their controls.

    Raises:
        SettingError: parts that do not fit together.
    """
    if bool(grid.haystacks) != bool(grid.depths):
        raise SettingError("--haystack and --depth belong together; give both or neither")
    if grid.haystacks:
        if grid.controls or base.repeat > 1:
            raise SettingError(
                "--haystack goes with neither --repeat nor --control; run them apart"
            )
        # The haystack decides the length; the context length only has to admit the setting.
        return [
            replace(base, context_length=size, haystack=size, depth=depth)
            for size, depth in product(grid.haystacks, grid.depths)
        ]
    return [
        replace(base, context_length=length, control=control)
        for length, control in product(grid.context_lengths, (None, *grid.controls))
    ]


def task_names(text: str) -> tuple[list[str], list[str]]:
    """`recall`, task names and `lm-eval:NAME`s, comma-separated -> our tasks, lm-eval's tasks.

    Raises:
        SettingError: an unknown name.
    """
    ours: list[str] = []
    theirs: list[str] = []
    for name in (part.strip() for part in text.split(",")):
        if name.startswith(LM_EVAL):
            theirs.append(name.removeprefix(LM_EVAL))
        elif name == "recall":
            ours += TASKS
        elif name in TASKS:
            ours.append(name)
        else:
            known = ["recall", *TASKS]
            raise SettingError(
                f"there is no task {name!r}; {nearest(name, known)}; lm-eval's own run as"
                f" {LM_EVAL}NAME"
            )
    return [task for task in TASKS if task in ours], list(dict.fromkeys(theirs))


def run_id(decides: dict[str, Any]) -> str:
    """Twelve hex digits of everything that decides a run's scores."""
    text = json.dumps(decides, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def setting_record(setting: Setting, answer_length: int) -> dict[str, Any]:
    """The setting as run folders hold it."""
    return asdict(setting) | {"answer_length": answer_length}


def command_line() -> str:
    """The command that runs now, absolute paths shortened to their last part."""
    return shlex.join(["mom-eval", *(_shorten(word) for word in sys.argv[1:])])


def _shorten(word: str) -> str:
    name, equals, value = word.rpartition("=")
    path = Path(value)
    return (
        name + equals + path.name if path.is_absolute() or value.startswith(("~", "..")) else word
    )
