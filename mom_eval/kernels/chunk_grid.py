"""Where the chunks of a packed stream lie, as tensors of the device: nothing here waits for it.

The kernels' counterpart of `chunks`: a chunk is C tokens of one segment, the last of a segment
shorter. How many there are is known to the device alone, so a grid has L // C + N places, the most
that there can be, and those behind the last chunk do nothing. Ops that walk the same segments share
one grid.
"""

from typing import NamedTuple

from torch import Tensor

from mom_eval.kernels.choose import takes_triton

CHUNK = 64
LEAST = 16
"""Chunks of a part at least, where segments are read in parts: see `split_triton`."""


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


def chunk_grid(cu_seqlens: Tensor, length: int) -> ChunkGrid | None:
    """The grid of a stream of `length` tokens; None where kernels run in torch and need none."""
    if not takes_triton("chunk_grid", "auto", (cu_seqlens,)):
        return None
    from mom_eval.kernels.chunk_grid_triton import lay_chunks

    return lay_chunks(cu_seqlens, length)
