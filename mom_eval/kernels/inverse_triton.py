"""The inverse of I + A, A strictly lower triangular [64, 64], inside a kernel.

Blocks of 16 on the diagonal are solved row by row in float32; two neighbours are merged by

    [B0  0]^-1   [       B0^-1            0  ]
    [L  B1]    = [-B1^-1 L B0^-1       B1^-1 ]

A Neumann series would be shorter and is wrong by orders of magnitude where keys are alike. A lies
in memory that the program has to itself, and is replaced: to take blocks of a tensor apart in
registers costs more than the arithmetic. Barriers stand wherever threads read what others wrote.
"""

import triton
import triton.language as tl


@triton.jit
def invert_unit_lower(A, PRECISION: tl.constexpr):
    """Replace A [64, 64] float32 by the lower triangle of (I + A)^-1."""
    tl.debug_barrier()
    _solve_diagonal(A)
    _merge(A, 16, PRECISION)
    _merge(A, 32, PRECISION)


@triton.jit
def _solve_diagonal(A):
    """The four blocks of 16: a thread has a column, and in registers its rows so far."""
    column, block = tl.arange(0, 64) % 16, tl.arange(0, 64) // 16
    A += block * (16 * 64 + 16)
    rows = ((column == 0).to(tl.float32),)
    for i in tl.static_range(1, 16):
        row = (column == i).to(tl.float32)
        for j in tl.static_range(i):
            row -= tl.load(A + (64 * i + j)) * rows[j]
        rows += (row,)
    tl.debug_barrier()
    for i in tl.static_range(16):
        tl.store(A + 64 * i + column, rows[i])
    tl.debug_barrier()


@triton.jit
def _merge(A, B: tl.constexpr, PRECISION: tl.constexpr):
    """Replace the block below each pair of inverted blocks [B, B] on the diagonal."""
    pair = tl.arange(0, 32 // B)[:, None, None] * (2 * B * 65)
    at = A + pair + tl.arange(0, B)[None, :, None] * 64 + tl.arange(0, B)[None, None, :]
    below = tl.dot(tl.load(at + 65 * B), tl.load(at + 64 * B), input_precision=PRECISION)
    merged = tl.dot(below, tl.load(at), input_precision=PRECISION)
    tl.debug_barrier()
    tl.store(at + 64 * B, -merged)
    tl.debug_barrier()
