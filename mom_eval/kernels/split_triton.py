"""A few long segments in parts that are walked at the same time, for `gated_delta`.

A chunk is linear in the state before it, so a part of S chunks is as well. `carry` walks each part
from a zero state to B, `merge` goes from part to part, and `scan` then reads from every part at
once, from the state before it:

    S_after = A S_before + B        A: [K, K] with the delta rule, else a number a row of S

A is what the walk makes of the identity where v = 0: K more columns of its state. This is the
parallel scan of arXiv 2006.16236, 2312.06635 and 2406.06484 with two levels.
"""

import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2
from mom_eval.kernels.chunk_grid import CHUNK, LEAST, ChunkGrid
from mom_eval.kernels.chunk_grid_triton import chunk_place, lay_chunks
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.scan_triton import CHANNEL, HEAD

MULTIPROCESSORS = 132
"""Of an H100 or H200; `part_size` asks no device, so that what is launched hangs on shapes only."""


def part_size(length: int, N: int, blocks: int) -> int:
    """Chunks of a part where a segment has `blocks` programs of `scan`; 0: segments stay whole.

    They are split where they fill less than half of the card and are two parts long on average.
    Then there are two programs for each multiprocessor, or parts of `LEAST` chunks, since each
    costs a state's way to memory and back, and a step of `merge`.
    """
    if N * blocks >= MULTIPROCESSORS // 2:
        return 0
    size = max(LEAST, cdiv(cdiv(length, CHUNK) * blocks, 2 * MULTIPROCESSORS))
    return size if length >= 2 * N * size * CHUNK else 0


@kernel("size", "N", "H", "HV")
def carry(
    k, k_out, v, T, G, A, B, begins, chunks, cu_seqlens, first, first_part, segment,
    size, k_row, v_row, N, H, HV,
    K: tl.constexpr, V: tl.constexpr, GATE: tl.constexpr, DELTA: tl.constexpr,
    BK: tl.constexpr, BV: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """B [parts, HV, K, V], and A [parts, HV, K, K], or [parts, HV, K] without the delta rule.

    Also where parts begin and their first chunks, both [parts + 1], which to `scan` are segments.
    k, k_out, v, T and G are those of `scan`; `size` is the tokens of a part.
    """
    block, h, part = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    begin, end, chunk = _part(begins, chunks, cu_seqlens, first, first_part, segment, part, N, size)
    i, d, e = tl.arange(0, 64), tl.arange(0, BK), block * BV + tl.arange(0, BV)
    S = tl.zeros([BK, BV], tl.float32)
    if DELTA:
        S = (e[None, :] - V == d[:, None]).to(tl.float32)
    kept = tl.full([BK], 1.0, tl.float32)
    key = (h if GATE == CHANNEL else h // (HV // H)) * K
    in_k, in_v = i[:, None] * k_row + d[None, :], i[:, None] * v_row + e[None, :]
    tile = i[:, None] * 64 + i[None, :]
    chunk = (chunk * HV + h) * 4096
    for token in range(begin, end, 64):
        live = i < end - token
        of_k = live[:, None]
        if BK != K:
            of_k = of_k & (d < K)[None, :]
        k_c = tl.load(k + token * k_row + key + in_k, mask=of_k, other=0.0)
        of_v = live[:, None] & (e < V)[None, :]
        u = tl.load(v + token * v_row + h * V + in_v, mask=of_v, other=0.0).to(k_c.dtype)
        if GATE == HEAD:
            total = tl.load(G + (token + i) * HV + h, mask=live, other=0.0)
            last = tl.load(G + (tl.minimum(token + 64, end) - 1) * HV + h)
        if DELTA:
            old = tl.dot(k_c, S.to(k_c.dtype), input_precision=PRECISION)
            if GATE == HEAD:
                old = old * tl.exp(total)[:, None]
            new = (u.to(tl.float32) - old).to(k_c.dtype)
            u = tl.dot(tl.load(T + chunk + tile), new, input_precision=PRECISION).to(k_c.dtype)
        if GATE == HEAD:
            u = (u.to(tl.float32) * tl.exp(last - total)[:, None]).to(k_c.dtype)
            S = S * tl.exp(last)
            kept *= tl.exp(last)
        if GATE == CHANNEL:
            decay = tl.load(G + chunk // 4096 * K + d, mask=d < K, other=0.0)
            S = S * decay[:, None]
            kept *= decay
            if DELTA:
                # Without the delta rule k is k_out.
                k_c = tl.load(k_out + token * k_row + key + in_k, mask=of_k, other=0.0)
        S = tl.dot(tl.trans(k_c), u, S, input_precision=PRECISION)
        chunk += HV * 4096
    row = ((part * HV + h) * K + d)[:, None]
    tl.store(B + row * V + e[None, :], S, mask=(d < K)[:, None] & (e < V)[None, :])
    if DELTA:
        in_A = (d < K)[:, None] & ((e >= V) & (e < V + K))[None, :]
        tl.store(A + row * K + (e - V)[None, :], S, mask=in_A)
    elif block == 0:
        tl.store(A + (part * HV + h) * K + d, kept, mask=d < K)


@triton.jit
def _part(begins, chunks, cu_seqlens, first, first_part, segment, part, N, size):
    """A part's begin and end in the stream, and its first chunk; its first program writes them.

    Those behind the last part are empty, at the end of the stream.
    """
    n, start, count = chunk_place(cu_seqlens, first_part, segment, part, N, size)
    begin = tl.minimum(tl.load(cu_seqlens + n) + start, tl.load(cu_seqlens + N))
    end, chunk = begin + tl.maximum(count, 0), tl.load(first + n) + start // 64
    if (tl.program_id(0) == 0) & (tl.program_id(1) == 0):
        tl.store(begins + part, begin)
        tl.store(begins + part + 1, end)
        tl.store(chunks + part, chunk)
    return begin, end, chunk


@kernel("HV", "past")
def merge(
    A, B, before, after, states, first_part, HV, past,
    K: tl.constexpr, V: tl.constexpr, DELTA: tl.constexpr,
    BK: tl.constexpr, BV: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The states before each part, [parts, HV, K, V], and `after` [N, HV, K, V] from `before`.

    The first ones are zero if there is no `past`. A program has BV columns of a head of a segment.
    With the delta rule it reads what it has written, in blocks of 16 rows, as all of A is too much
    for its registers.
    """
    block, h, n = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    d, e = tl.arange(0, BK), block * BV + tl.arange(0, BV)
    of_d, of_e = (d < K)[:, None], (e < V)[None, :]
    at = d[:, None] * V + e[None, :]
    known = of_d & of_e & (past != 0)
    S = tl.load(before + (n * HV + h) * (K * V) + at, mask=known, other=0.0)
    for part in range(tl.load(first_part + n), tl.load(first_part + n + 1)):
        place = part * HV + h
        mine = states + place * (K * V)
        tl.store(mine + at, S, mask=of_d & of_e)
        added = tl.load(B + place * (K * V) + at, mask=of_d & of_e, other=0.0)
        if DELTA:
            tl.debug_barrier()
            for start in range(0, K, 16):
                j = start + tl.arange(0, 16)
                in_A, in_S = of_d & (j < K)[None, :], (j < K)[:, None] & of_e
                A_j = tl.load(A + (place * K + d[:, None]) * K + j[None, :], mask=in_A, other=0.0)
                S_j = tl.load(mine + j[:, None] * V + e[None, :], mask=in_S, other=0.0)
                added = tl.dot(A_j, S_j, added, input_precision=PRECISION)
            S = added
        else:
            kept = tl.load(A + place * K + d, mask=d < K, other=0.0)
            S = kept[:, None] * S + added
    tl.store(after + (n * HV + h) * (K * V) + at, S, mask=of_d & of_e)


def states_of_parts(
    k: Tensor,
    k_out: Tensor,
    v: Tensor,
    T: Tensor,
    G: Tensor,
    before: Tensor,
    after: Tensor,
    past: int,
    grid: ChunkGrid,
    size: int,
    gate: int,
    delta: bool,
    shape: tuple[int, ...],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cut segments into parts of `size` chunks and find their states; writes `after` [N, HV, K, V].

    k, k_out, v, T and G are what `scan` reads, `before` the segments' states if there is a `past`;
    `shape` is block shapes, warps and stages of `scan` for as many columns as `carry` has.

    Returns:
        What `scan` takes for its segments to be parts, the last of which may be empty: states
        before and room for those after [parts, HV, K, V], ends and first chunks [parts + 1].
    """
    _, HV, K, V = before.shape
    parts = lay_chunks(grid.cu_seqlens, len(v), size * CHUNK)
    count, (BK, BV, warps, stages) = parts.places, shape
    begins, chunks = (grid.first.new_empty(count + 1) for _ in range(2))
    B, states = (before.new_empty(count, HV, K, V) for _ in range(2))
    A = before.new_empty(count, HV, K, K if delta else 1)
    meta = {"K": K, "V": V, "DELTA": delta, "PRECISION": "tf32x3"}
    carry[(cdiv(V + K * delta, BV), HV, count)](
        k, k_out, v, T, G, A, B, begins, chunks, *grid[:2], *parts[1:],
        size * CHUNK, k.stride(0), v.stride(0), len(before), k.shape[1], HV,
        GATE=gate, BK=BK, BV=BV, num_warps=warps, num_stages=stages, **meta,
    )  # fmt: skip
    # Few programs wait for A's blocks: narrow ones of V make more, and leave registers for A.
    BV = max(16, min(32, power_of_2(V)))
    merge[(cdiv(V, BV), HV, len(before))](
        A, B, before, after, states, parts.first, HV, past,
        BK=BK, BV=BV, num_warps=4 if BK <= 128 else 8, num_stages=3, **meta,
    )  # fmt: skip
    return states, B, begins, chunks
