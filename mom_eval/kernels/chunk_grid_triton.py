"""The kernel of `chunk_grid`, and how a program finds its chunk."""

import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv
from mom_eval.kernels.chunk_grid import CHUNK, ChunkGrid
from mom_eval.kernels.launch import kernel


@triton.jit
def chunk_place(cu_seqlens, first, segment, chunk, N, size=64):
    """A chunk's segment, its begin in it, and how many of its `size` tokens there are.

    Behind the last chunk there is none.
    """
    n = tl.load(segment + chunk)
    there = n < N
    n = tl.minimum(n, N - 1)
    start = (chunk - tl.load(first + n)) * size
    rest = tl.load(cu_seqlens + n + 1) - tl.load(cu_seqlens + n) - start
    return n, start, tl.where(there, tl.minimum(rest, size), 0)


@kernel("N", "places", "size")
def _lay(cu_seqlens, first, segment, N, places, size, BN: tl.constexpr, BP: tl.constexpr):
    """BP places; each counts the segments whose chunks all lie before it."""
    p = tl.program_id(0) * BP + tl.arange(0, BP)
    before = tl.zeros([BP], tl.int32)
    total = tl.zeros([], tl.int32)
    for start in range(0, N, BN):
        n = start + tl.arange(0, BN)
        inside = n < N
        begin = tl.load(cu_seqlens + n, mask=inside, other=0)
        count = (tl.load(cu_seqlens + n + 1, mask=inside, other=0) - begin + size - 1) // size
        count = count.to(tl.int32)
        ends = total + tl.cumsum(count, 0)
        if tl.program_id(0) == 0:
            tl.store(first + n, (ends - count).to(tl.int64), mask=inside)
        passed = (ends[None, :] <= p[:, None]) & inside[None, :]
        before += tl.sum(passed.to(tl.int32), 1)
        total += tl.sum(count, 0)
    if tl.program_id(0) == 0:
        tl.store(first + N, total.to(tl.int64))
    tl.store(segment + p, before.to(tl.int64), mask=p < places)


def lay_chunks(cu_seqlens: Tensor, length: int, size: int = CHUNK) -> ChunkGrid:
    """The grid of a stream of `length` tokens, in chunks of `size`."""
    N, first = len(cu_seqlens) - 1, cu_seqlens.new_empty(len(cu_seqlens))
    segment = cu_seqlens.new_empty(length // size + N)
    _lay[(cdiv(len(segment), 128),)](
        cu_seqlens, first, segment, N, len(segment), size, BN=64, BP=128, num_warps=4
    )
    return ChunkGrid(cu_seqlens, first, segment)
