"""The kernels of `dispatch`: running counts, a block of choices a program.

Counts of all blocks are few, so every program adds up those before it anew, and none waits.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.routing import Rows


@kernel("choices")
def _count(memories, counts, choices, M: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr):
    """How many of BC choices are of each memory: counts [blocks, M]."""
    block, m = tl.program_id(0), tl.arange(0, BM)
    c = block * BC + tl.arange(0, BC)
    memory = tl.load(memories + c, mask=c < choices, other=-1)
    hits = (memory[:, None] == m[None, :]).to(tl.int32)
    tl.store(counts + block * M + m, tl.sum(hits, 0), mask=m < M)


@triton.jit
def _counted(counts, block, blocks, M: tl.constexpr, BM: tl.constexpr, BB: tl.constexpr):
    """Where each memory's rows begin, how many of them are before a block, and how many in all."""
    m = tl.arange(0, BM)
    total = tl.zeros([BM], tl.int32)
    before = tl.zeros([BM], tl.int32)
    for start in range(0, blocks, BB):
        b = start + tl.arange(0, BB)
        inside = (b < blocks)[:, None] & (m < M)[None, :]
        count = tl.load(counts + b[:, None] * M + m[None, :], mask=inside, other=0)
        total += tl.sum(count, 0)
        before += tl.sum(tl.where((b < block)[:, None], count, 0), 0)
    return tl.cumsum(total, 0) - total, before, total


@kernel("choices", "blocks", "N")
def _dispatch(
    memories, counts, cu_seqlens, row, token, bounds, ends, choices, blocks, N,
    TOP_K: tl.constexpr, SHARED: tl.constexpr,
    M: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, BB: tl.constexpr,
):  # fmt: skip
    """A program a block places its choices; one a sequence behind them, and a last, lays bounds."""
    program = tl.program_id(0)
    own = choices // TOP_K if SHARED else 0
    if program < blocks:
        _place(
            memories, counts, row, token, ends, program, choices, blocks, own,
            TOP_K, M, BM, BC, BB,
        )  # fmt: skip
    else:
        _bound(
            memories, counts, cu_seqlens, bounds, program - blocks, choices, blocks, N, own,
            TOP_K, SHARED, M, BM, BC, BB,
        )  # fmt: skip


@triton.jit
def _place(
    memories, counts, row, token, ends, block, choices, blocks, own,
    TOP_K: tl.constexpr, M: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, BB: tl.constexpr,
):  # fmt: skip
    """The rows of BC choices, behind those of the tokens' own, and each row's token."""
    m = tl.arange(0, BM)
    begin, before, total = _counted(counts, block, blocks, M, BM, BB)
    if block == 0:
        tl.store(ends + m, begin + total, mask=m < M)
    c = block * BC + tl.arange(0, BC)
    memory = tl.load(memories + c, mask=c < choices, other=-1)
    hits = (memory[:, None] == m[None, :]).to(tl.int32)
    place = (begin + before)[None, :] + tl.cumsum(hits, 0) - 1
    tl.store(token + c, c.to(tl.int64), mask=c < own)
    place = own + tl.sum(tl.where(hits != 0, place, 0), 1).to(tl.int64)
    tl.store(row + c, place, mask=c < choices)
    tl.store(token + place, (c // TOP_K).to(tl.int64), mask=c < choices)


@triton.jit
def _bound(
    memories, counts, cu_seqlens, bounds, n, choices, blocks, N, own,
    TOP_K: tl.constexpr, SHARED: tl.constexpr,
    M: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, BB: tl.constexpr,
):  # fmt: skip
    """Where the rows of sequence n begin in every memory; n = N is the end of all."""
    behind = bounds + (N if SHARED else 0)
    if n < N:
        begin_n, m = tl.load(cu_seqlens + n), tl.arange(0, BM)
        if SHARED:
            tl.store(bounds + n, begin_n)
        first = (begin_n * TOP_K).to(tl.int32)
        block = first // BC
        begin, before, _total = _counted(counts, block, blocks, M, BM, BB)
        c = block * BC + tl.arange(0, BC)
        memory = tl.load(memories + c, mask=c < first, other=-1)
        before += tl.sum((memory[:, None] == m[None, :]).to(tl.int32), 0)
        tl.store(behind + m * N + n, (own + begin + before).to(tl.int64), mask=m < M)
    else:
        tl.store(behind + N * M, (choices + own).to(tl.int64))


def run_dispatch(memories: Tensor, num_memories: int, cu_seqlens: Tensor, shared: bool) -> Rows:
    """`dispatch` of what it has checked."""
    choices, top_k, N, M = memories.numel(), memories.shape[1], len(cu_seqlens) - 1, num_memories
    own = len(memories) if shared else 0
    memories, BM = memories.contiguous(), power_of_2(num_memories)
    BC = max(16, 4096 // BM)
    blocks, meta = cdiv(choices, BC), {"M": M, "BM": BM, "BC": BC}
    row, token = torch.empty_like(memories), memories.new_empty(own + choices)
    bounds = memories.new_empty((M + shared) * N + 1)
    ends = memories.new_empty(M, dtype=torch.int32)
    counts = memories.new_empty(blocks, M, dtype=torch.int32)
    meta |= {"num_warps": 4}
    if choices:
        _count[(blocks,)](memories, counts, choices, **meta)
        meta |= {"TOP_K": top_k, "BB": max(1, 1024 // BM), "SHARED": shared}
        _dispatch[(blocks + N + 1,)](
            memories, counts, cu_seqlens, row, token, bounds, ends, choices, blocks, N, **meta
        )
    else:
        bounds.zero_()
        ends.zero_()
    return Rows(row, token, bounds, ends, own)
