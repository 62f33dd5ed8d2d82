"""Imports run one way between the rooms, and heavy libraries stay at the edge."""

import ast
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from mom_eval.results import TASK_NAMES
from mom_eval.tasks import TASKS

ROOT = Path(__file__).resolve().parents[2]

# What each room may import of the others. `errors` and the version are open to all.
MAY_IMPORT = {
    "__init__": {"evalsuite", "results"},
    "__main__": {"cli"},
    "cli": {"__init__", "evalsuite", "models", "tasks", "results"},
    "evalsuite": {"models", "tasks", "results"},
    "models": {"kernels"},
    "kernels": set(),
    "tasks": set(),
    "results": set(),
    "errors": set(),
}
# A benchmark times the ops themselves, below the models that use them.
BESIDES = {"mom_eval/evalsuite/bench/*.py": {"kernels"}}
ONLY_IN = {
    "lm_eval": ("mom_eval/tasks/lm_eval_tasks.py", "mom_eval/evalsuite/lm_eval_model/*.py"),
    "matplotlib": ("mom_eval/results/plot*.py",),
}
HEAVY = ("torch", "transformers", "datasets", "lm_eval", "pandas", "matplotlib", "scipy")


def imported(source: str, path: PurePosixPath) -> list[str]:
    """Every dotted name a file imports, anywhere in it: `from a.b import c` gives `a.b.c`."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = path.parts[: len(path.parts) - node.level] if node.level else ()
            base = ".".join([*above, *filter(None, [node.module])])
            names += [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            # importlib.import_module("a.b") and __import__("a.b")
            names += [
                argument.value
                for argument in node.args[:1]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            ]
    return names


def room(below: list[str]) -> str:
    """The room that holds `mom_eval.<below>`; `__init__` holds what is in no file of its own."""
    name = below[0] if below else "__init__"
    place = ROOT / "mom_eval" / name
    return name if place.is_dir() or place.with_suffix(".py").is_file() else "__init__"


def violations(source: str, where: str) -> list[str]:
    """What a file imports and must not, one sentence each."""
    path = PurePosixPath(where)
    here = path.parts[1].removesuffix(".py")
    if here not in MAY_IMPORT:
        return [f"{where}: {here} is no room that tests/house/test_imports.py knows"]
    allowed = MAY_IMPORT[here].union(
        *(rooms for pattern, rooms in BESIDES.items() if path.match(pattern))
    )
    found = []
    for name in imported(source, path):
        top, *below = name.split(".")
        there = room(below)
        open_to_all = there in (here, "errors") or below == ["__version__"]
        if top == "mom_eval" and not open_to_all and there not in allowed:
            found.append(f"{where}: {here} must not import {name}")
        if top in ONLY_IN and not any(path.match(pattern) for pattern in ONLY_IN[top]):
            found.append(f"{where}: {name} belongs in {' or '.join(ONLY_IN[top])} alone")
    return found


def loaded_by(program: str) -> set[str]:
    """The heavy libraries that a fresh interpreter has loaded after running a program."""
    program += f"\nimport sys\nprint(*(set({HEAVY!r}) & sys.modules.keys()))"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split())


def test_rooms_import_one_way():
    files = sorted((ROOT / "mom_eval").rglob("*.py"))
    assert files
    wrong = [
        line
        for file in files
        for line in violations(file.read_text("utf-8"), file.relative_to(ROOT).as_posix())
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("mom_eval/tasks/score.py", "from mom_eval.results.store import Run"),
        ("mom_eval/tasks/score.py", "from mom_eval import results"),
        ("mom_eval/tasks/score.py", "from mom_eval import evaluate"),
        ("mom_eval/tasks/score.py", "from ..evalsuite import run"),
        ("mom_eval/tasks/__init__.py", "from ..evalsuite import run"),
        ("mom_eval/results/store.py", "def f():\n    import mom_eval.tasks"),
        (
            "mom_eval/results/store.py",
            "import importlib\nimportlib.import_module('mom_eval.tasks')",
        ),
        ("mom_eval/evalsuite/run.py", "from mom_eval.cli import main"),
        ("mom_eval/errors.py", "import mom_eval.tasks.score"),
        ("mom_eval/kernels/norm.py", "from mom_eval.models.lm import LM"),
        ("mom_eval/models/lm.py", "from mom_eval.tasks.tokens import Tokens"),
        ("mom_eval/evalsuite/run.py", "from mom_eval.kernels import gated_delta"),
        ("mom_eval/tasks/score.py", "import mom_eval.models"),
        ("mom_eval/attic.py", "import json"),
        ("mom_eval/tasks/score.py", "from lm_eval.api.metrics import mean"),
        ("mom_eval/evalsuite/run.py", "import lm_eval"),
        ("mom_eval/results/table.py", "import matplotlib.pyplot as plt"),
    ],
)
def test_a_wrong_import_is_found(where: str, source: str):
    assert len(violations(source, where)) == 1


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("mom_eval/cli/run.py", "from mom_eval import __version__, evaluate"),
        ("mom_eval/cli/run.py", "from mom_eval.results.store import Run"),
        ("mom_eval/evalsuite/run.py", "from mom_eval import tasks, results"),
        ("mom_eval/evalsuite/lm_eval_model/own.py", "import lm_eval"),
        ("mom_eval/tasks/lm_eval_tasks.py", "from lm_eval.api.task import ConfigurableTask"),
        ("mom_eval/tasks/lm_eval/_fn.py", "from mom_eval.tasks.lm_eval_tasks import Recall"),
        ("mom_eval/results/plot_sweep.py", "from matplotlib.figure import Figure"),
        ("mom_eval/tasks/data.py", "from mom_eval.errors import DataError"),
        ("mom_eval/tasks/data.py", "from . import score"),
        ("mom_eval/models/lm.py", "from mom_eval.kernels import gated_delta"),
        ("mom_eval/evalsuite/run.py", "from mom_eval.models.lm import LM"),
        ("mom_eval/evalsuite/bench/ops.py", "from mom_eval.kernels import gated_delta"),
    ],
)
def test_a_right_import_passes(where: str, source: str):
    assert violations(source, where) == []


@pytest.mark.parametrize(
    "module",
    ["mom_eval", "mom_eval.errors", "mom_eval.cli", "mom_eval.tasks", "mom_eval.results"],
)
def test_import_loads_nothing_heavy(module: str):
    assert loaded_by(f"import {module}") == set()


def test_help_loads_nothing_heavy():
    program = """
import sys
from mom_eval.cli import main
sys.argv = ["mom-eval", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert loaded_by(program) == set()


def test_a_heavy_import_is_noticed():
    assert loaded_by("import scipy") == {"scipy"}


def test_every_room_names_the_tasks_alike():
    assert tuple(TASKS) == tuple(TASK_NAMES)
