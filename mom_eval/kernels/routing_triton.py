"""The kernels of `route` and of `combine`, in which each token gathers its rows: no atomics."""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit(do_not_specialize=["D"])
def _combine(
    y, weights, row, onto, out, D, TOP_K: tl.constexpr, ONTO: tl.constexpr, BD: tl.constexpr
):
    """One token and BD channels, in the order of its choices."""
    t, d = tl.program_id(0).to(tl.int64), tl.program_id(1) * BD + tl.arange(0, BD)
    inside, total = d < D, tl.zeros([BD], tl.float32)
    for j in tl.static_range(TOP_K):
        r, weight = tl.load(row + t * TOP_K + j), tl.load(weights + t * TOP_K + j)
        total += weight * tl.load(y + r * D + d, mask=inside, other=0.0).to(tl.float32)
    if ONTO:
        total += tl.load(onto + t * D + d, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + t * D + d, total, mask=inside)


def run_combine(y: Tensor, weights: Tensor, row: Tensor, onto: Tensor | None) -> Tensor:
    """`combine` of what it has checked."""
    (L, top_k), D = row.shape, y[:1].numel() if len(y) else 0
    y, out = y.contiguous(), y.new_empty(L, *y.shape[1:])
    if L and D:
        BD = min(1024, triton.next_power_of_2(D))
        _combine[(L, triton.cdiv(D, BD))](
            y, weights.contiguous(), row.contiguous(), y if onto is None else onto.contiguous(),
            out, D, TOP_K=top_k, ONTO=onto is not None, BD=BD, num_warps=4,
        )  # fmt: skip
    return out


@triton.jit(do_not_specialize=["L", "M"])
def _route(
    logits, memories, weights, probabilities, L, M,
    TOP_K: tl.constexpr, BM: tl.constexpr, BT: tl.constexpr,
):  # fmt: skip
    """BT tokens: the TOP_K largest logits, ties to the lower index, and two softmaxes."""
    t, m = tl.program_id(0) * BT + tl.arange(0, BT), tl.arange(0, BM)
    at = t.to(tl.int64)[:, None] * M + m[None, :]
    inside = (t < L)[:, None] & (m < M)[None, :]
    left = tl.load(logits + at, mask=inside, other=-float("inf")).to(tl.float32)
    left = tl.where((m < M)[None, :], tl.where((t < L)[:, None], left, 0.0), -float("inf"))
    most = tl.max(left, 1)
    share = tl.exp(left - most[:, None])
    tl.store(probabilities + at, share / tl.sum(share, 1)[:, None], mask=inside)
    chosen = tl.zeros([BT], tl.float32)
    for _ in tl.static_range(TOP_K):
        best = tl.max(left, 1)
        chosen += tl.exp(best - most)
        first = tl.min(tl.where(left == best[:, None], m[None, :], BM), 1)
        left = tl.where(m[None, :] == first[:, None], -float("inf"), left)
    # The same once more, now that the sum of the chosen is known.
    left = tl.load(logits + at, mask=inside, other=-float("inf")).to(tl.float32)
    for j in tl.static_range(TOP_K):
        best = tl.max(left, 1)
        first = tl.min(tl.where(left == best[:, None], m[None, :], BM), 1)
        left = tl.where(m[None, :] == first[:, None], -float("inf"), left)
        place = t.to(tl.int64) * TOP_K + j
        tl.store(memories + place, first.to(tl.int64), mask=t < L)
        tl.store(weights + place, tl.exp(best - most) / chosen, mask=t < L)


def run_route(logits: Tensor, top_k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The memories, weights and probabilities of `route`, of logits that it has checked."""
    L, M = logits.shape
    logits, probabilities = logits.contiguous(), logits.new_empty(L, M, dtype=torch.float32)
    memories = logits.new_empty(L, top_k, dtype=torch.int64)
    weights = probabilities.new_empty(L, top_k)
    BM = triton.next_power_of_2(M)
    BT = max(1, 256 // BM)
    if L:
        _route[(triton.cdiv(L, BT),)](
            logits, memories, weights, probabilities, L, M, TOP_K=top_k, BM=BM, BT=BT, num_warps=1
        )
    return memories, weights, probabilities
