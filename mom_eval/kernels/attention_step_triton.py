"""The kernels of `attention_step`: parts of 256 positions side by side, then their sum.

A part keeps its largest score m, the sum l of e^(score - m), and the values weighted by that.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

PART = 256
"""Positions a program; the grid is made for all that a slot can hold, so that it never changes."""


@triton.jit(do_not_specialize=["C", "H", "HKV"])
def _attend(
    q, k, v, parts, weights, slots, positions, scale, window, C, H, HKV, q_row,
    K: tl.constexpr, BK: tl.constexpr, BLOCK: tl.constexpr, PART: tl.constexpr,
):  # fmt: skip
    """One row, head and part: `parts` [R, H, parts, K] and `weights` [R, H, parts, 2]."""
    r, h, part = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    slot, t = tl.load(slots + r), tl.load(positions + r)
    oldest, start = tl.maximum(t - window + 1, 0), part * PART
    if (slot < 0) | (start > t) | (start + PART <= oldest):
        return
    d = tl.arange(0, BK)
    q_r = tl.load(q + r * q_row + h * K + d, mask=d < K, other=0.0).to(tl.float32) * scale
    most, total, acc = -float("inf"), 0.0, tl.zeros([BK], tl.float32)
    base = slot * C * HKV * K + h // (H // HKV) * K
    for first in range(start, start + PART, BLOCK):
        s = first + tl.arange(0, BLOCK)
        there = (s <= t) & (s >= oldest)
        at = base + s[:, None].to(tl.int64) * (HKV * K) + d[None, :]
        inside = there[:, None] & (d < K)[None, :]
        k_s = tl.load(k + at, mask=inside, other=0.0).to(tl.float32)
        score = tl.where(there, tl.sum(k_s * q_r[None, :], 1), -1e30)
        now = tl.maximum(most, tl.max(score, 0))
        weight = tl.where(there, tl.exp(score - now), 0.0)
        v_s = tl.load(v + at, mask=inside, other=0.0).to(tl.float32)
        rest = tl.exp(most - now)
        acc = acc * rest + tl.sum(v_s * weight[:, None], 0)
        total, most = total * rest + tl.sum(weight, 0), now
    place = (r * H + h) * tl.num_programs(2) + part
    tl.store(parts + place * K + d, acc, mask=d < K)
    tl.store(weights + place * 2, most)
    tl.store(weights + place * 2 + 1, total)


@triton.jit(do_not_specialize=["H", "count"])
def _join(
    parts, weights, o, slots, positions, window, H, count,
    K: tl.constexpr, BK: tl.constexpr, PART: tl.constexpr,
):  # fmt: skip
    """The parts of one row and head, summed in their order."""
    r, h, d = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.arange(0, BK)
    t = tl.load(positions + r)
    if tl.load(slots + r) < 0:
        return
    place = (r * H + h) * count
    most, total, acc = -float("inf"), 0.0, tl.zeros([BK], tl.float32)
    for part in range(tl.maximum(t - window + 1, 0) // PART, t // PART + 1):
        m, weight = tl.load(weights + (place + part) * 2), tl.load(weights + (place + part) * 2 + 1)
        now = tl.maximum(most, m)
        rest, share = tl.exp(most - now), tl.exp(m - now)
        acc = acc * rest + share * tl.load(parts + (place + part) * K + d, mask=d < K, other=0.0)
        total, most = total * rest + share * weight, now
    tl.store(o + (r * H + h) * K + d, acc / total, mask=d < K)


def run_attention_step(
    q: Tensor, k: Tensor, v: Tensor, slots: Tensor, positions: Tensor, window: int | None
) -> Tensor:
    """`attention_step` of what it has checked."""
    (rows, H, K), (_, C, HKV, _) = q.shape, k.shape
    assert k.is_contiguous() and v.is_contiguous()
    count, BK = triton.cdiv(C, PART), triton.next_power_of_2(K)
    q, window = q.contiguous(), C if window is None else window
    parts = q.new_empty(rows, H, count, K, dtype=torch.float32)
    weights = q.new_empty(rows, H, count, 2, dtype=torch.float32)
    o = torch.empty_like(q)
    _attend[(rows, H, count)](
        q, k, v, parts, weights, slots, positions, K**-0.5, window, C, H, HKV, q.stride(0),
        K=K, BK=BK, BLOCK=max(16, 4096 // BK), PART=PART, num_warps=4,
    )  # fmt: skip
    _join[(rows, H)](
        parts, weights, o, slots, positions, window, H, count, K=K, BK=BK, PART=PART, num_warps=1
    )
    return o
