"""The wheel holds the whole package and works outside the checkout.

hatchling leaves git-ignored files out without a word, and a checkout on the path hides it; so the
wheel is built, installed into a folder of its own and used from there, without the network.
"""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# What `lm_eval --include_path` does, without lm-eval's own 14,000 tasks (10 s).
ONE_TASK = """
import json, sys
import mom_eval
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

folder, model = sys.argv[1:]
metadata = {"data": "sample", "tokenizer": model, "context_length": 512, "limit": 2}
tasks = TaskManager(include_path=folder, include_defaults=False, metadata=metadata)
found = simple_evaluate(
    model="hf",
    model_args={"pretrained": model, "dtype": "float32"},
    tasks=["mom_fda"],
    task_manager=tasks,
    device="cpu",
    batch_size=1,
    bootstrap_iters=0,
)
report = {
    "package": mom_eval.__file__,
    "questions": len(found["samples"]["mom_fda"]),
    "contains": float(found["results"]["mom_fda"]["contains,none"]),
}
print(json.dumps(report))
"""


def command(*arguments: str | Path, cwd: Path, packages: Path | None = None) -> str:
    """Run a command and return what it wrote to stdout; `packages` comes first on Python's path."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    if packages:
        environment["PYTHONPATH"] = str(packages)
    result = subprocess.run(
        arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, by the hatchling of this environment: nothing is downloaded."""
    folder = tmp_path_factory.mktemp("wheel")
    command(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed into it; the libraries come from this environment."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command(*pip, "--target", folder, wheel, cwd=folder)
    return folder


def test_the_wheel_holds_every_file_of_the_package(wheel: Path):
    here = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "mom_eval").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    there = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("mom_eval/")}
    assert there == here
    assert any(name.endswith(".yaml") for name in there)


def test_one_task_runs_from_the_wheel(installed: Path, tmp_path: Path, tiny_llama: Path):
    mom_eval = installed / "bin" / "mom-eval"
    shown = command(mom_eval, "tasks", "--path", cwd=tmp_path, packages=installed)
    folder = Path(shown.strip())
    assert folder.is_relative_to(installed)
    assert "mom_fda.yaml" in {file.name for file in folder.iterdir()}

    output = command(
        sys.executable, "-c", ONE_TASK, folder, tiny_llama, cwd=tmp_path, packages=installed
    )
    report = json.loads(output.splitlines()[-1])
    assert Path(report["package"]).is_relative_to(installed)
    assert report["questions"] == 2
    assert 0 <= report["contains"] <= 1


LOAD = """
import torch
from mom_eval.models import load
from mom_eval.models.zoo import shipped
from mom_eval.tasks.tokens import load_tokens

name, folder = next(iter(shipped().items()))
ids = torch.tensor(load_tokens(str(folder)).encode("The device is a meter. Panel:"))
assert load(folder)(ids).logits.isfinite().all()
print(folder)
"""


def test_a_checkpoint_that_ships_loads_from_the_wheel(installed: Path, tmp_path: Path):
    folder = command(sys.executable, "-c", LOAD, cwd=tmp_path, packages=installed).strip()
    assert Path(folder).is_relative_to(installed)
