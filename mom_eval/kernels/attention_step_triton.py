"""The kernels of `attention_step`: parts of what a slot holds side by side, then their sum.

A part keeps its largest score m, the sum l of e^(score - m), and the values weighted by that. How
many parts there are follows from shapes, how long they are from the row's position: the grid never
changes, and does not grow with what a slot could hold.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2
from mom_eval.kernels.launch import kernel

PROGRAMS = 1024
"""Parts of all rows and heads together, if there are as many blocks: several a multiprocessor."""
STAGES = tl.constexpr(3)
"""Blocks of keys and values under way at once; with products Triton sees to it unasked."""
FEW = tl.constexpr(16)
"""Parts that are summed at a time."""
LOWEST = tl.constexpr(-1e30)
"""Below every score, and finite, so that a difference of two is."""


@triton.jit
def _span(t, window, part, count, BLOCK: tl.constexpr):
    """Which positions a part has, and how many parts have any: start, end, parts.

    Parts are as long as each other, in whole blocks, but for the last; those behind it have none.
    """
    oldest = tl.maximum(t - window + 1, 0)
    blocks = (t - oldest + BLOCK) // BLOCK
    each = (blocks + count - 1) // count
    start = oldest + part * each * BLOCK
    return start, tl.minimum(start + each * BLOCK, t + 1), (blocks + each - 1) // each


@kernel("window", "C", "H", "count")
def _attend(
    q, k, v, parts, weights, slots, positions, scale, window, C, H, count,
    K: tl.constexpr, BK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One row, head and part: `parts` [R, H, count, K] and `weights` [R, H, count, 2].

    Each of BLOCK lanes sums its own positions; they meet once, behind the loop. Heads are
    neighbours in memory, so their programs are too.
    """
    h, part, r = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    slot = tl.load(slots + r)
    start, end, _ = _span(tl.load(positions + r), window, part, count, BLOCK)
    if (slot < 0) | (start >= end):
        return
    lane, d = tl.arange(0, BLOCK), tl.arange(0, BK)
    q_r = tl.load(q + (r * H + h) * K + d, mask=d < K, other=0.0).to(tl.float32) * scale
    most = tl.full([BLOCK], LOWEST, tl.float32)
    total, acc = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK, BK], tl.float32)
    base = slot * C * (H * K) + h * K
    for first in tl.range(start, end, BLOCK, num_stages=STAGES):
        there = first + lane < end
        at = base + (first + lane)[:, None] * (H * K) + d[None, :]
        # Where a block is all of K, only the lanes' mask is left.
        inside = there[:, None]
        if BK != K:
            inside = inside & (d < K)[None, :]
        k_s, v_s = tl.load(k + at, mask=inside, other=0.0), tl.load(v + at, mask=inside, other=0.0)
        score = tl.where(there, tl.sum(k_s.to(tl.float32) * q_r[None, :], 1), LOWEST)
        now = tl.maximum(most, score)
        rest, weight = tl.exp(most - now), tl.where(there, tl.exp(score - now), 0.0)
        acc = acc * rest[:, None] + v_s.to(tl.float32) * weight[:, None]
        total, most = total * rest + weight, now
    m = tl.max(most, 0)
    share = tl.exp(most - m)
    place = (r * H + h) * count + part
    tl.store(parts + place * K + d, tl.sum(acc * share[:, None], 0), mask=d < K)
    tl.store(weights + place * 2, m)
    tl.store(weights + place * 2 + 1, tl.sum(total * share, 0))


@kernel("window", "C", "HKV", "count")
def _attend_group(
    q, k, v, parts, weights, slots, positions, scale, window, C, HKV, count,
    K: tl.constexpr, BK: tl.constexpr, BLOCK: tl.constexpr,
    GROUP: tl.constexpr, BG: tl.constexpr,
):  # fmt: skip
    """`_attend` for the GROUP query heads of one key head, which is read once for them."""
    h, part, r = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    slot = tl.load(slots + r)
    start, end, _ = _span(tl.load(positions + r), window, part, count, BLOCK)
    if (slot < 0) | (start >= end):
        return
    lane, d, j = tl.arange(0, BLOCK), tl.arange(0, BK), tl.arange(0, BG)
    head = (r * HKV + h) * GROUP + j
    of_q = (j < GROUP)[:, None] & (d < K)[None, :]
    q_g = tl.load(q + head[:, None] * K + d[None, :], mask=of_q, other=0.0)
    most = tl.full([BG], LOWEST, tl.float32)
    total, acc = tl.zeros([BG], tl.float32), tl.zeros([BG, BK], tl.float32)
    base = slot * C * (HKV * K) + h * K
    for first in range(start, end, BLOCK):
        there = first + lane < end
        row = base + (first + lane) * (HKV * K)
        of_k, of_v = there[None, :], there[:, None]
        if BK != K:
            of_k, of_v = of_k & (d < K)[:, None], of_v & (d < K)[None, :]
        # Keys are read across, so that no product is of something transposed.
        k_s = tl.load(k + row[None, :] + d[:, None], mask=of_k, other=0.0)
        v_s = tl.load(v + row[:, None] + d[None, :], mask=of_v, other=0.0)
        score = tl.dot(q_g, k_s, input_precision="ieee") * scale
        score = tl.where(there[None, :], score, LOWEST)
        now = tl.maximum(most, tl.max(score, 1))
        rest = tl.exp(most - now)
        weight = tl.where(there[None, :], tl.exp(score - now[:, None]), 0.0)
        read = tl.dot(weight.to(v_s.dtype), v_s, input_precision="ieee")
        acc = acc * rest[:, None] + read
        total, most = total * rest + tl.sum(weight, 1), now
    place = head * count + part
    tl.store(parts + place[:, None] * K + d[None, :], acc, mask=of_q)
    tl.store(weights + place * 2, most, mask=j < GROUP)
    tl.store(weights + place * 2 + 1, total, mask=j < GROUP)


@kernel("window", "H", "count")
def _join(
    parts, weights, o, slots, positions, window, H, count,
    K: tl.constexpr, BK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The parts of one row and head, summed in their order."""
    r, h = tl.program_id(0).to(tl.int64), tl.program_id(1)
    if tl.load(slots + r) < 0:
        return
    _, _, live = _span(tl.load(positions + r), window, 0, count, BLOCK)
    j, d = tl.arange(0, FEW), tl.arange(0, BK)
    most, total, acc = -float("inf"), 0.0, tl.zeros([BK], tl.float32)
    place = (r * H + h) * count
    for first in range(0, live, FEW):
        part, there = place + first + j, first + j < live
        m = tl.load(weights + part * 2, mask=there, other=LOWEST)
        weight = tl.load(weights + part * 2 + 1, mask=there, other=0.0)
        inside = there[:, None] & (d < K)[None, :]
        read = tl.load(parts + part[:, None] * K + d[None, :], mask=inside, other=0.0)
        now = tl.maximum(most, tl.max(m, 0))
        rest, share = tl.exp(most - now), tl.exp(m - now)
        acc = acc * rest + tl.sum(read * share[:, None], 0)
        total, most = total * rest + tl.sum(weight * share, 0), now
    tl.store(o + (r * H + h) * K + d, acc / total, mask=d < K)


def run_attention_step(
    q: Tensor, k: Tensor, v: Tensor, slots: Tensor, positions: Tensor, window: int | None
) -> Tensor:
    """`attention_step` of what it has checked."""
    (rows, H, K), (_, C, HKV, _) = q.shape, k.shape
    assert k.is_contiguous() and v.is_contiguous()
    # 16 is what a product of matrices asks for.
    BK = max(16, power_of_2(K))
    BLOCK = max(1, 2048 // BK) if H == HKV else max(16, 4096 // BK)
    q, window = q.contiguous(), C if window is None else window
    most = cdiv(min(C, window), BLOCK)
    count = max(1, min(most, PROGRAMS // max(1, rows * HKV)))
    parts = q.new_empty(rows, H, count, K, dtype=torch.float32)
    weights = q.new_empty(rows, H, count, 2, dtype=torch.float32)
    o = torch.empty_like(q)
    if not rows:
        return o
    kept = (q, k, v, parts, weights, slots, positions, K**-0.5, window, C, HKV, count)
    if H == HKV:
        _attend[(H, count, rows)](*kept, K=K, BK=BK, BLOCK=BLOCK, num_warps=2)
    else:
        _attend_group[(HKV, count, rows)](
            *kept, K=K, BK=BK, BLOCK=BLOCK, GROUP=H // HKV,
            BG=max(16, power_of_2(H // HKV)), num_warps=4,
        )  # fmt: skip
    _join[(rows, H)](
        parts, weights, o, slots, positions, window, H, count,
        K=K, BK=BK, BLOCK=BLOCK, num_warps=max(1, BK // 64),
    )  # fmt: skip
    return o
