"""Where the chunks of a packed stream lie, as tensors of the device: nothing here waits for it.

The kernels' counterpart of `chunks`: a chunk is C tokens of one segment, the last of a segment
shorter. How many there are is known to the device alone, so a grid has L // C + N places, the most
that there can be, and those behind the last chunk do nothing.
"""

from typing import NamedTuple

import torch
from torch import Tensor

CHUNK = 64


class ChunkGrid(NamedTuple):
    """The chunks of segments that end at `cu_seqlens`."""

    cu_seqlens: Tensor
    """[N + 1] int64."""
    first: Tensor
    """[N + 1] int64, the first chunk of each segment, then the number of all chunks."""
    segment: Tensor
    """[places] int64, the segment of each chunk; N behind the last one."""

    @property
    def places(self) -> int:
        """As many chunks as there can be."""
        return len(self.segment)

    @classmethod
    def of(cls, cu_seqlens: Tensor, length: int) -> "ChunkGrid":
        """Of a stream of `length` tokens."""
        sequences = len(cu_seqlens) - 1
        first = torch.zeros_like(cu_seqlens)
        torch.cumsum((cu_seqlens.diff() + CHUNK - 1) // CHUNK, 0, out=first[1:])
        places = torch.arange(length // CHUNK + sequences, device=cu_seqlens.device)
        return cls(cu_seqlens, first, torch.searchsorted(first[1:], places, right=True))
