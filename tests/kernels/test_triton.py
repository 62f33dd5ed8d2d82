"""Triton kernels, in a process of their own: on a GPU, else in Triton's interpreter.

The interpreter is chosen where triton is imported. It proves indexing and masks in float32, nothing
about precision or generated code: that is for the GPU.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
pytest.importorskip("triton")


@pytest.mark.parametrize(
    "cases", ["triton_cases.py", "triton_attention_cases.py", "triton_edge_cases.py"]
)
def test_the_cases_of_the_kernels(cases: str):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / cases)]
    interpreted = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        command, env=os.environ | interpreted, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
