"""Triton kernels, in processes of their own: on a GPU, else in Triton's interpreter.

The interpreter is chosen where triton is imported. It proves indexing and masks in float32, nothing
about precision or generated code: that is for the GPU.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from tests.kernels.conftest import but_slow

HERE = Path(__file__).parent
CASES = ["triton_cases.py", *sorted(path.name for path in HERE.glob("triton_*_cases.py"))]
SLOW = {f"triton_{name}_cases.py" for name in ("attention", "conv_backward", "norm_backward")}
"""A minute and more each in the interpreter: for changes of kernels (CONTRIBUTING.md)."""
pytest.importorskip("triton")


def run(cases):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / cases)]
    interpreted = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    return subprocess.run(
        command, env=os.environ | interpreted, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def runs(request):
    """The files that are asked for, the longest first; a core is left to the other tests."""
    mine = (item for item in request.session.items if item.path == Path(__file__))
    asked = [item.callspec.params["cases"] for item in mine]
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1)) as threads:
        yield {cases: threads.submit(run, cases) for cases in asked}


@pytest.mark.parametrize("cases", but_slow(CASES, SLOW))
def test_the_cases_of_the_kernels(runs, cases):
    done = runs[cases].result()
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
