"""What the kernels of `short_conv` are told of its parts: where rows lie, which blocks to do."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2
from mom_eval.kernels.chunk_grid import ChunkGrid
from mom_eval.kernels.routing import Joined, Part, Taken, sources

MOST_PARTS = 3


class Inputs(NamedTuple):
    """Of three parts each; one that is absent is the first again, and has no channels."""

    x: list[Tensor]
    """The first rows of each part, or those that are taken by token."""
    sent: list[Tensor]
    """The rows behind the first `own` ones."""
    token: Tensor
    """Of each row, for parts that are taken."""
    own: int
    row_sizes: list[int]
    """From row to row of `x` and of `sent`, in units of STRIDE."""
    blocks: int
    meta: dict[str, int]


def kernel_inputs(parts: Sequence[Part], unit: Sequence[int | None], grid: ChunkGrid) -> Inputs:
    """Of parts that `short_conv` has checked."""
    # A tensor has no rows of its own before the others.
    pairs = [sources(part) for part in parts]
    x, sent = (every_part([_dense(pair[end]) for pair in pairs]) for end in (0, -1))
    own = next((part.own.shape[0] for part in parts if isinstance(part, Joined)), 0)
    token = next((part.rows.token for part in parts if isinstance(part, Taken)), grid.first)
    stride = 8 if all(rows.stride(0) % 8 == 0 for rows in (*x, *sent)) else 1
    channels = tuple(rows.shape[1] for rows in x[: len(parts)])
    taken = tuple(isinstance(part, Taken) for part in parts)
    blocks, meta = _blocks(channels, tuple(unit), taken)
    row_sizes = [rows.stride(0) // stride for rows in (*x, *sent)]
    return Inputs(x, sent, token, own, row_sizes, blocks, meta | {"STRIDE": stride})


def every_part(given: Sequence[Tensor]) -> list[Tensor]:
    """A tensor for each part that a kernel knows of, absent ones too."""
    return [*given, *[given[0]] * (MOST_PARTS - len(given))]


@lru_cache
def _blocks(
    channels: tuple[int, ...], unit: tuple[int | None, ...], taken: tuple[bool, ...]
) -> tuple[int, dict[str, int]]:
    """How many blocks of channels there are, and what a kernel is told of each part.

    All are in tiles of one width, which holds the widest head.
    """
    heads = [width for width in unit if width is not None]
    BD = power_of_2(max(heads)) if heads else min(256, power_of_2(max(channels)))
    meta = {f"{name}{i}": 0 for i in range(MOST_PARTS) for name in ("D", "UNIT", "TAKE")}
    meta |= {f"WIDTH{i}": BD for i in range(MOST_PARTS)} | {"BD": BD}
    blocks = 0
    for i, (D, width, take) in enumerate(zip(channels, unit, taken, strict=True)):
        blocks += cdiv(D, width or BD)
        of_part = {"D": D, "WIDTH": width or BD, "UNIT": int(width is not None), "TAKE": int(take)}
        meta |= {f"{name}{i}": value for name, value in of_part.items()}
    return blocks, meta


def _dense(x: Tensor) -> Tensor:
    return x if x.stride(1) == 1 else x.contiguous()
