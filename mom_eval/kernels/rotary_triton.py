"""The kernels of `rotary`: heads are read where a projection left them, and written once."""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2, rows_of
from mom_eval.kernels.launch import kernel

HEADS = 4
"""Heads a program, which reads the sines and cosines of its rows once for them."""
FEW = 1024
"""Below so many rows a program has one head: there are too few programs otherwise."""


@kernel("L")
def _rotations(
    positions, turns, L, STEP: tl.constexpr, FIRST: tl.constexpr,
    HALF: tl.constexpr, BH: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """ROWS positions; channel i makes 2^-(i STEP + FIRST) full turns a position."""
    r, d = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS), tl.arange(0, BH)
    inside = (r < L)[:, None] & (d < HALF)[None, :]
    t = tl.load(positions + r, mask=r < L, other=0).to(tl.float64)
    # Numbers among operands would be float32.
    step, first = tl.full([BH], STEP, tl.float64), tl.full([BH], FIRST, tl.float64)
    turn = t[:, None] * tl.exp2(-(d.to(tl.float64) * step + first))[None, :]
    # Full turns are taken away while there are digits for it.
    angle = (turn - tl.floor(turn + 0.5)).to(tl.float32) * 6.283185307179586
    at = turns + r[:, None] * (2 * HALF) + d[None, :]
    tl.store(at, tl.cos(angle), mask=inside)
    tl.store(at + HALF, tl.sin(angle), mask=inside)


@kernel("L", "C", "H", "HKV", "q_blocks", "k_blocks")
def _rotary(
    q, k, v, turns, o, keys, values, slots, positions,
    L, C, H, HKV, q_blocks, k_blocks, q_row, k_row, v_row,
    K: tl.constexpr, BH: tl.constexpr, ROWS: tl.constexpr, HEADS: tl.constexpr,
    APPEND: tl.constexpr,
):  # fmt: skip
    """ROWS rows and HEADS heads: of q to o, or of k or v to where the row's slot holds it."""
    block = tl.program_id(1)
    HALF: tl.constexpr = K // 2
    r, d = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS), tl.arange(0, BH)
    live = r < L
    at = turns + r[:, None] * K + d[None, :]
    inside = live[:, None]
    # Where a block is all of a half, only the rows' mask is left.
    if BH != HALF:
        inside = inside & (d < HALF)[None, :]
    if block < q_blocks:
        cos, sin = tl.load(at, mask=inside, other=0.0), tl.load(at + HALF, mask=inside, other=0.0)
        _heads(q, r * q_row, o, r * (H * K), live, cos, sin, block * HEADS, H, K, BH, HEADS, True)
    elif APPEND:
        slot = tl.load(slots + r, mask=live, other=-1)
        place = (slot * C + tl.load(positions + r, mask=live, other=0)) * (HKV * K)
        live = slot >= 0
        if block < q_blocks + k_blocks:
            cos = tl.load(at, mask=inside, other=0.0)
            sin = tl.load(at + HALF, mask=inside, other=0.0)
            first = (block - q_blocks) * HEADS
            _heads(k, r * k_row, keys, place, live, cos, sin, first, HKV, K, BH, HEADS, True)
        else:
            first = (block - q_blocks - k_blocks) * HEADS
            _heads(v, r * v_row, values, place, live, 1.0, 0.0, first, HKV, K, BH, HEADS, False)


@triton.jit
def _heads(
    x, x_at, y, y_at, live, cos, sin, first, heads,
    K: tl.constexpr, BH: tl.constexpr, HEADS: tl.constexpr, TURN: tl.constexpr,
):  # fmt: skip
    """Heads `first` on of rows that lie at x_at, rotated if they TURN, to y_at."""
    HALF: tl.constexpr = K // 2
    d = tl.arange(0, BH)
    for i in tl.static_range(HEADS):
        h = first + i
        inside = (live & (h < heads))[:, None]
        if BH != HALF:
            inside = inside & (d < HALF)[None, :]
        at = x + x_at[:, None] + (h * K + d)[None, :]
        x1 = tl.load(at, mask=inside, other=0.0)
        x2 = tl.load(at + HALF, mask=inside, other=0.0)
        if TURN:
            a, b = x1.to(tl.float32), x2.to(tl.float32)
            x1, x2 = a * cos - b * sin, b * cos + a * sin
        to = y + y_at[:, None] + (h * K + d)[None, :]
        tl.store(to, x1, mask=inside)
        tl.store(to + HALF, x2, mask=inside)


def run_rotations(positions: Tensor, width: int, theta: float, dtype: torch.dtype) -> Tensor:
    """`rotations` of what it has checked."""
    L, half = len(positions), width // 2
    turns = torch.empty(L, 2, half, dtype=dtype, device=positions.device)
    BH = power_of_2(half)
    rows = max(1, 512 // BH)
    if L:
        _rotations[(cdiv(L, rows),)](
            positions.contiguous(), turns, L, STEP=math.log2(theta) / half,
            FIRST=math.log2(2 * math.pi), HALF=half, BH=BH, ROWS=rows, num_warps=2,
        )  # fmt: skip
    return turns


def run_rotary(x: Tensor, turns: Tensor) -> Tensor:
    """`rotary` of what it has checked."""
    none = x[:, :0]
    return _launch(x, none, none, turns, none, none, turns, turns, append=False)


def run_rotary_append(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    turns: Tensor,
    keys: Tensor,
    values: Tensor,
    slots: Tensor,
    positions: Tensor,
) -> Tensor:
    """`rotary_append` of what it has checked."""
    assert keys.is_contiguous() and values.is_contiguous()
    slots, positions = slots.contiguous(), positions.contiguous()
    return _launch(q, k, v, turns, keys, values, slots, positions, append=True)


def _launch(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    turns: Tensor,
    keys: Tensor,
    values: Tensor,
    slots: Tensor,
    positions: Tensor,
    *,
    append: bool,
) -> Tensor:
    (L, H, K), HKV = q.shape, k.shape[1]
    q, k, v = (rows_of(x) for x in (q, k, v))
    o, BH = q.new_empty(L, H, K), power_of_2(K // 2)
    rows, heads = max(1, 512 // BH), HEADS if L >= FEW else 1
    q_blocks, k_blocks = cdiv(H, heads), cdiv(HKV, heads)
    if L:
        _rotary[(cdiv(L, rows), q_blocks + 2 * k_blocks)](
            q, k, v, turns.contiguous(), o, keys, values, slots, positions,
            L, keys.shape[1], H, HKV, q_blocks, k_blocks, q.stride(0), k.stride(0), v.stride(0),
            K=K, BH=BH, ROWS=rows, HEADS=heads, APPEND=append, num_warps=2,
        )  # fmt: skip
    return o
