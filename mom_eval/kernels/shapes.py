"""What every op asks of its arguments, checked once at its door, and where segments lie.

A batch is a packed stream: `L` tokens of `N` sequences one after another, sequence n at the tokens
`cu_seqlens[n]` to `cu_seqlens[n + 1]`. Nothing is padded, and a segment may be empty.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor

Op = TypeVar("Op", bound=Callable)


class Axes(dict[str, int]):
    """Sizes of named axes: the first tensor with an axis sets its size, the others must agree."""

    def check(self, name: str, x: Tensor, axes: str) -> None:
        """Bind or compare the axes of `x`, named in order, as in "L H K".

        Raises ValueError, naming the tensor and the axis, where the number of axes or a size
        differs.
        """
        names, shape = _split(axes), x.shape
        if len(shape) != len(names):
            raise ValueError(f"{name} must be {_shown(names)}, but has shape {list(shape)}")
        for axis, size in zip(names, shape, strict=True):
            if self.setdefault(axis, size) != size:
                raise ValueError(
                    f"axis {axis} of {name} {_shown(names)} must be {self[axis]}, but it is {size}"
                )


@lru_cache
def _split(axes: str) -> list[str]:
    """Once each: ops check hundreds of tensors a pass, and a GPU waits for the host meanwhile."""
    return axes.split()


def _shown(names: list[str]) -> str:
    return f"[{', '.join(names)}]"


def compute_dtype(x: Tensor) -> torch.dtype:
    """The type an op computes in and keeps its states in: float64 for float64, else float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def chosen(argument: str, name: str, functions: Mapping[str, Op]) -> Op:
    """The function of that name; ValueError where there is none, naming the argument."""
    if name not in functions:
        raise ValueError(f"{argument} must be one of {', '.join(functions)}, but it is {name!r}")
    return functions[name]


def checked_state(state: Tensor | None, axes: Axes, names: str, x: Tensor) -> Tensor:
    """The state of those axes, of the type that `x` is computed in: the one given, or zeros."""
    dtype = compute_dtype(x)
    if state is None:
        return x.new_zeros([axes[axis] for axis in names.split()], dtype=dtype)
    axes.check("state", state, names)
    if state.dtype != dtype:
        raise ValueError(f"state must be {dtype}, but it is {state.dtype}")
    return state


def checked_segments(cu_seqlens: Tensor | None, length: int, device: torch.device) -> Tensor:
    """The [N + 1] int64 ends of the segments of L tokens; None is one segment of all of them.

    The values are checked on a CPU only, since on a GPU that would wait for the device. Raises
    ValueError where they are not 0 <= ... <= L in order.
    """
    if cu_seqlens is None:
        return torch.tensor([0, length], device=device)
    if cu_seqlens.dtype != torch.int64 or cu_seqlens.ndim != 1 or len(cu_seqlens) < 2:
        raise ValueError(
            "cu_seqlens must be int64 and [N + 1] with N >= 1, "
            f"but it is {cu_seqlens.dtype} of shape {list(cu_seqlens.shape)}"
        )
    if cu_seqlens.device.type == "cpu":
        segment_bounds(cu_seqlens, length)
    return cu_seqlens


def segment_bounds(cu_seqlens: Tensor, length: int) -> list[int]:
    """The ends of the segments as numbers of the host; waits for the device.

    Raises ValueError where they are not 0 <= ... <= `length` in order.
    """
    bounds = cu_seqlens.tolist()
    if bounds[0] != 0 or bounds[-1] != length or any(b < a for a, b in pairwise(bounds)):
        raise ValueError(f"cu_seqlens must rise from 0 to L = {length}, but it is {bounds}")
    return bounds


def segment_of(cu_seqlens: Tensor, length: int) -> Tensor:
    """The segment that holds each token: [L] int64, without waiting for the device."""
    tokens = torch.arange(length, device=cu_seqlens.device)
    return torch.searchsorted(cu_seqlens[1:], tokens, right=True)
