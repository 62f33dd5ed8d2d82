"""The kernels of `grouped_linear` and of its gradients: rows lie group after group.

Where groups end is read on the device, so grids are the most programs that shapes allow, and those
that find no rows do nothing. No sum hangs on an order that may change.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import PROGRAMS, cdiv, power_of_2
from mom_eval.kernels.launch import kernel

WIDE, DEEP = 64, 128
"""Rows and columns of a program's block, and bytes along what is summed over that are read at once.

Whatever the shapes are, so that they make no more kernels. In float32, where a product is three of
tf32, the registers hold no block of twice the rows.
"""


@triton.jit
def _tile(ends, tile, M, BM: tl.constexpr, BR: tl.constexpr):
    """Which of M groups a tile of BR rows is of, its first row, and where the group ends.

    Each group begins a tile of its own. Behind the last tile the group is M or more.
    """
    m = tl.arange(0, BM)
    end = tl.load(ends + m, mask=m < M, other=0).to(tl.int32)
    begin = tl.load(ends + m - 1, mask=(m > 0) & (m < M), other=0).to(tl.int32)
    tiles = (end - begin + BR - 1) // BR
    behind = tl.cumsum(tiles, 0)
    group = tl.sum((behind <= tile).to(tl.int32), 0)
    this = m == group
    row = tl.sum(tl.where(this, begin + (tile - behind + tiles) * BR, 0), 0)
    return group, row, tl.sum(tl.where(this, end, 0), 0)


@kernel("M")
def _grouped(
    x, weight, ends, y, M, N, D, x_row, w_group, w_out, w_in,
    BM: tl.constexpr, BR: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """BR rows of one group, times BN of its weight's outputs: y [R, N] = x [R, D] W^T.

    Programs of the same rows are neighbours: they find these in the cache, and the weight too.
    """
    across = tl.cdiv(N, BN)
    group, row, end = _tile(ends, tl.program_id(0) // across, M, BM, BR)
    if group >= M:
        return
    n, r = tl.program_id(0) % across * BN + tl.arange(0, BN), row + tl.arange(0, BR)
    live, r = (r < end)[:, None], r.to(tl.int64)[:, None]
    weight += group.to(tl.int64) * w_group + n.to(tl.int64)[:, None] * w_out
    out = tl.zeros([BR, BN], tl.float32)
    for start in range(0, D, BD):
        d = start + tl.arange(0, BD)
        of_d = (d < D)[None, :]
        x_d = tl.load(x + r * x_row + d[None, :], mask=live & of_d, other=0.0)
        w_d = tl.load(weight + d[None, :] * w_in, mask=(n < N)[:, None] & of_d, other=0.0)
        out = tl.dot(x_d, tl.trans(w_d), out, input_precision="tf32x3")
    tl.store(y + r * N + n[None, :], out, mask=live & (n < N)[None, :])


@kernel("M")
def _grad_weight(
    dy, x, ends, out, M, N, D, dy_row, x_row,
    BR: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """BN x BD of a group's dy^T x, of every so many-th BR of its rows: a part of [parts, M, N, D].

    In the order of the rows, and zero where there are none.
    """
    down, part = tl.cdiv(D, BD), tl.program_id(1)
    block = tl.program_id(0) // down
    m, block = block // tl.cdiv(N, BN), block % tl.cdiv(N, BN)
    n, d = block * BN + tl.arange(0, BN), tl.program_id(0) % down * BD + tl.arange(0, BD)
    of_n, of_d = (n < N)[None, :], (d < D)[None, :]
    begin = tl.load(ends + m - 1, mask=m > 0, other=0).to(tl.int32)
    end = tl.load(ends + m).to(tl.int32)
    total = tl.zeros([BN, BD], tl.float32)
    for start in range(begin + part * BR, end, tl.num_programs(1) * BR):
        r = start + tl.arange(0, BR)
        live, r = (r < end)[:, None], r.to(tl.int64)[:, None]
        dy_r = tl.load(dy + r * dy_row + n[None, :], mask=live & of_n, other=0.0)
        x_r = tl.load(x + r * x_row + d[None, :], mask=live & of_d, other=0.0)
        total = tl.dot(tl.trans(dy_r), x_r, total, input_precision="tf32x3")
    at = ((part * M + m).to(tl.int64) * N + n)[:, None] * D + d[None, :]
    tl.store(out + at, total, mask=(n < N)[:, None] & of_d)


def run_grouped_linear(x: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    """`grouped_linear` of what it has checked, of a weight with any strides."""
    (R, D), (M, N, _), x = x.shape, weight.shape, _rows(x)
    y = x.new_empty(R, N)
    if R and N:
        # Each group has a last tile that may not be full.
        tiles = R // WIDE + M
        _grouped[(tiles * cdiv(N, WIDE),)](
            x, weight, ends.contiguous(), y, M, N, D, x.stride(0), *weight.stride(),
            BM=power_of_2(M), BR=WIDE, BN=WIDE, BD=DEEP // x.element_size(),
            num_warps=4, num_stages=3,
        )  # fmt: skip
    return y


def run_grad_weight(dy: Tensor, x: Tensor, ends: Tensor) -> Tensor:
    """The gradient [M, N, D] of the weight, from dy [R, N] and x [R, D]."""
    M, N, D, dy, x = len(ends), dy.shape[1], x.shape[1], _rows(dy), _rows(x)
    programs = M * cdiv(N, WIDE) * cdiv(D, WIDE)
    # A weight of few blocks would keep few programs busy: its rows are dealt out too.
    parts = max(1, PROGRAMS // max(1, programs))
    out = x.new_empty(parts, M, N, D, dtype=torch.float32)
    if programs:
        _grad_weight[(programs, parts)](
            dy, x, ends.contiguous(), out, M, N, D, dy.stride(0), x.stride(0),
            BR=DEEP // x.element_size(), BN=WIDE, BD=WIDE, num_warps=4, num_stages=3,
        )  # fmt: skip
    return out.sum(0).to(x.dtype)


def _rows(x: Tensor) -> Tensor:
    """[R, D] as rows that are contiguous, wherever each begins: a copy only if they are not."""
    return x if x.stride(1) == 1 else x.contiguous()
