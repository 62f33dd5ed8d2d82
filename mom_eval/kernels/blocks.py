"""What a launch asks for on the host: sizes of grids and blocks, and rows that can be read.

Triton's own functions of such names are made for kernels too and cost 2 us a call, hundreds of
times a pass, while a GPU waits.
"""

from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

PROGRAMS: Final = 264
"""The most that sum the gradient of a weight, each in turn: two a multiprocessor of an H200."""


def cdiv(a: int, b: int) -> int:
    """How many blocks of b hold a."""
    return -(-a // b)


def power_of_2(n: int) -> int:
    """The least power of 2 that is not below n, 1 at least."""
    return 1 << max(n - 1, 0).bit_length()


def rows_of(x: Tensor) -> Tensor:
    """[L, ...] whose rows are contiguous, wherever each begins: a copy only if they are not."""
    return x if x[:1].is_contiguous() else x.contiguous()


def shared_memory() -> int:
    """Bytes of it that a program can have here; where there is no GPU, those of Hopper."""
    if not torch.cuda.is_available():
        return 227 * 1024
    return _shared_memory(torch.cuda.current_device())


@lru_cache
def _shared_memory(device: int) -> int:
    about = torch.cuda.get_device_properties(device)
    # AMD's have no more than what each program has unasked.
    return getattr(about, "shared_memory_per_block_optin", None) or about.shared_memory_per_block
