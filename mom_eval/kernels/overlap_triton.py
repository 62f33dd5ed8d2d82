"""Kernels that begin while the one before them ends: programmatic dependent launch.

A kernel of decoding takes microseconds, of which its start is one. Launched so, it starts early,
may fetch weights, which no kernel writes, and what a kernel that has ended wrote, and waits for the
rest. Where the kernel before calls `behind` and then `meanwhile`, all that is older has ended.
"""

from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.choose import interpreted


def overlapping(*weights: Tensor) -> dict[str, bool]:
    """Constants of such a launch, where the GPU can do it: from compute capability 9.0 on.

    The kernel calls `behind` before it writes, and before it reads what a kernel writes that may
    still run, and `meanwhile`. `weights` are what it reads of these before `behind`: contiguous,
    so that no copy is needed, else it waits as usual. In training an optimizer writes weights:
    ordinary launches lie between.
    """
    if interpreted() or not all(weight.is_contiguous() for weight in weights):
        return {"OVERLAP": False}
    return _constants(torch.cuda.current_device() if torch.cuda.is_available() else None)


@lru_cache
def _constants(device: int | None) -> dict[str, bool]:
    if device is None or torch.version.hip or torch.cuda.get_device_capability(device) < (9, 0):
        return {"OVERLAP": False}
    return {"OVERLAP": True, "launch_pdl": True}


@triton.jit
def meanwhile(OVERLAP: tl.constexpr):
    """From here on the next kernel may begin."""
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()


@triton.jit
def behind(OVERLAP: tl.constexpr):
    """From here on all that the kernels before have written is there."""
    if OVERLAP:
        tl.extra.cuda.gdc_wait()
