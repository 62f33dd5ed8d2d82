"""What was asked for -> single runs. A run is one model, one setting and a list of tasks."""

import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from mom_eval.errors import SettingError, nearest
from mom_eval.tasks import TASKS
from mom_eval.tasks.setting import Setting

LM_EVAL = "lm-eval:"
GLOB = re.compile(r"[*?\[]")
"""What makes a path a pattern."""


@dataclass(frozen=True)
class Grid:
    """Options of which several values can be given: each combination is a run of its own."""

    context_lengths: Sequence[int] = ()
    """None given: the base's."""
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
        if grid.context_lengths:
            raise SettingError(
                "--haystack decides the length of a prompt; leave --context-length out, or run them"
                " apart"
            )
        return [
            replace(base, context_length=size, haystack=size, depth=depth)
            for size, depth in product(grid.haystacks, grid.depths)
        ]
    lengths = grid.context_lengths or (base.context_length,)
    return [
        replace(base, context_length=length, control=control)
        for length, control in product(lengths, (None, *grid.controls))
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


def command_line(given: dict[str, Any], defaults: dict[str, Any]) -> str:
    """The `mom-eval run` that does what `evaluate` was asked for; of local paths only the name.

    Args:
        given: the arguments of `evaluate`.
        defaults: those that are not said.
    """
    words = ["mom-eval", "run"]
    for name, value in given.items():
        if value in (None, ()) or str(value) == str(defaults.get(name)):
            continue
        option = f"--{name.replace('_', '-')}"
        values = list(value) if isinstance(value, list | tuple) else [value]
        if value is True:
            words.append(option)
        elif name in ("model", "control"):
            words += [word for one in values for word in (option, _word(one))]
        else:
            words += [option, ",".join(map(_word, values))]
    return shlex.join(words)


def _word(value: Any) -> str:
    """A value as it is typed; an object goes by its type, a local path by its last part."""
    if not isinstance(value, str | int | float | Path):
        return type(value).__name__
    return ",".join(_shorten(part) for part in str(value).split(","))


def _shorten(word: str) -> str:
    for mark in (LM_EVAL, "="):  # lm-eval:FILE, LABEL=PATH
        head, found, value = word.partition(mark)
        if found and not _exists(word):
            return head + found + _shorten(value)
    path = Path(word)
    local = path.is_absolute() or word.startswith(("~", ".")) or GLOB.search(word)
    return path.name if local or _exists(word) else word


def _exists(word: str) -> bool:
    try:
        return Path(word).exists()
    except OSError:  # a name that no file can have, or a folder that may not be read
        return False
