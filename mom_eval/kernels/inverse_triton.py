"""The inverse of I + A, A strictly lower triangular [64, 64], inside a kernel.

Blocks of 16 on the diagonal are solved row by row in float32; two neighbours are merged by

    [B0  0]^-1   [       B0^-1            0  ]
    [L  B1]    = [-B1^-1 L B0^-1       B1^-1 ]

A Neumann series would be shorter and is wrong by orders of magnitude where keys are alike.
"""

import triton
import triton.language as tl


@triton.jit
def quarters(x, B: tl.constexpr):
    """[2B, 2B] -> its blocks (0, 0), (1, 0) and (1, 1)."""
    blocks = tl.permute(tl.reshape(x, [2, B, 2, B]), (1, 3, 0, 2))
    left, right = tl.split(blocks)
    x00, x10 = tl.split(left)
    _, x11 = tl.split(right)
    return x00, x10, x11


@triton.jit
def whole(x00, x10, x11, B: tl.constexpr):
    """The blocks of a lower triangle [B, B] -> [2B, 2B]."""
    left, right = tl.join(x00, x10), tl.join(tl.zeros_like(x11), x11)
    return tl.reshape(tl.permute(tl.join(left, right), (2, 0, 3, 1)), [2 * B, 2 * B])


@triton.jit
def substituted(A):
    """(I + A)^-1 of each [16, 16] of A [16, 16, 2, 2], strictly lower, row by row."""
    rows = tl.arange(0, 16)[:, None, None, None]
    one = (rows == tl.arange(0, 16)[None, :, None, None]).to(tl.float32)
    X = one + tl.zeros_like(A)
    for i in range(1, 16):
        row = tl.sum(tl.where(rows == i, A, 0.0), axis=0)
        done = tl.sum(tl.expand_dims(row, 1) * X, axis=0)
        X = tl.where(rows == i, one - tl.expand_dims(done, 0), X)
    return X


@triton.jit
def merged(X0, L, X1, B: tl.constexpr, PRECISION: tl.constexpr):
    """The inverse [2B, 2B] from those of two blocks on the diagonal and the block below them."""
    below = tl.dot(X1, L, input_precision=PRECISION)
    return whole(X0, -tl.dot(below, X0, input_precision=PRECISION), X1, B)


@triton.jit
def unit_lower_inverse(A, PRECISION: tl.constexpr):
    """(I + A)^-1, A [64, 64] float32 and strictly lower triangular."""
    A0, L, A1 = quarters(A, 32)
    a0, l0, a1 = quarters(A0, 16)
    a2, l1, a3 = quarters(A1, 16)
    X = substituted(tl.join(tl.join(a0, a1), tl.join(a2, a3)))
    first, second = tl.split(X)
    x0, x1 = tl.split(first)
    x2, x3 = tl.split(second)
    X0, X1 = merged(x0, l0, x1, 16, PRECISION), merged(x2, l1, x3, 16, PRECISION)
    return merged(X0, L, X1, 32, PRECISION)
