"""What compiles kernels ahead is quick to begin."""

import subprocess
import sys

CODE = """
import sys, torch
from mom_eval.kernels.ahead import unlaunched
with unlaunched():
    assert not torch.empty(3).any()
print("torch._dynamo" in sys.modules)
"""


def test_it_does_not_import_torchs_compiler():
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
