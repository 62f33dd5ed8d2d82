"""The kernels of `route`, of its gradient and of `combine`: tokens gather rows, without atomics."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.routing import Routes


@kernel()
def _combine(
    y, weights, row, onto, out, D,
    TOP_K: tl.constexpr, ROW: tl.constexpr, ONTO: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """One token and BD channels, in the order of its choices."""
    t, d = tl.program_id(0).to(tl.int64), tl.program_id(1) * BD + tl.arange(0, BD)
    inside, total = d < D, tl.zeros([BD], tl.float32)
    for j in tl.static_range(TOP_K):
        r, weight = t * TOP_K + j, tl.load(weights + t * TOP_K + j)
        if ROW:
            r = tl.load(row + r)
        total += weight * tl.load(y + r * D + d, mask=inside, other=0.0).to(tl.float32)
    if ONTO:
        total += tl.load(onto + t * D + d, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + t * D + d, total, mask=inside)


def run_combine(
    y: Tensor, weights: Tensor, row: Tensor | None, onto: Tensor | None, own: bool
) -> Tensor:
    """`combine` of what it has checked; own: the first L rows of y are added."""
    (L, top_k), D = weights.shape, y[:1].numel() if len(y) else 0
    y, out = y.contiguous(), y.new_empty(L, *y.shape[1:])
    if L and D:
        BD = min(1024, power_of_2(D))
        _combine[(L, cdiv(D, BD))](
            y, weights.contiguous(), weights if row is None else row.contiguous(),
            y if onto is None else onto.contiguous(), out, D,
            TOP_K=top_k, ROW=row is not None, ONTO=own or onto is not None, BD=BD, num_warps=4,
        )  # fmt: skip
    return out


@triton.jit
def ranked(logits, t, L, M, BM: tl.constexpr):
    """The logits [BT, BM] of tokens t, which there are L of, as they are and as they are ranked.

    What is no number counts as the largest: choices are memories whatever is given.
    """
    m = tl.arange(0, BM)
    inside = (t < L)[:, None] & (m < M)[None, :]
    at = t.to(tl.int64)[:, None] * M + m[None, :]
    given = tl.load(logits + at, mask=inside, other=0.0).to(tl.float32)
    return _ranked(given, t, L, M, BM)


@triton.jit
def _ranked(given, t, L, M, BM: tl.constexpr):
    there = (tl.arange(0, BM) < M)[None, :]
    given = tl.where(there, tl.where((t < L)[:, None], given, 0.0), -float("inf"))
    return given, tl.where(given == given, given, float("inf"))


@triton.jit
def next_choice(left, BM: tl.constexpr):
    """The largest of `left` [BT, BM], the lowest index that has it, and what is left then."""
    m, best = tl.arange(0, BM), tl.max(left, 1)
    choice = tl.min(tl.where(left == best[:, None], m[None, :], BM), 1)
    return best, choice, tl.where(m[None, :] == choice[:, None], -float("inf"), left)


@kernel("L", "M")
def _route(
    x, weight, logits, memories, weights, probabilities, L, M, x_row,
    D: tl.constexpr, TOP_K: tl.constexpr, BM: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """BT tokens: the TOP_K largest logits, ties to the lower index, and two softmaxes.

    D 0: the logits are there; else they are made of x [L, D] and weight [M, D].
    """
    t, m = tl.program_id(0) * BT + tl.arange(0, BT), tl.arange(0, BM)
    at = t.to(tl.int64)[:, None] * M + m[None, :]
    inside = (t < L)[:, None] & (m < M)[None, :]
    if D:
        given = tl.zeros([BT, BM], tl.float32)
        for start in range(0, D, BD):
            d = start + tl.arange(0, BD)
            row = x + t.to(tl.int64)[:, None] * x_row + d[None, :]
            x_d = tl.load(row, mask=(t < L)[:, None] & (d < D)[None, :], other=0.0)
            of_m = (m < M)[:, None] & (d < D)[None, :]
            w_d = tl.load(weight + m[:, None] * D + d[None, :], mask=of_m, other=0.0)
            if BT >= 16:
                given = tl.dot(x_d, tl.trans(w_d).to(x_d.dtype), given, input_precision="ieee")
            else:
                product = x_d.to(tl.float32)[:, None, :] * w_d.to(tl.float32)[None, :, :]
                given += tl.sum(product, 2)
        tl.store(logits + at, given, mask=inside)
        given, left = _ranked(given, t, L, M, BM)
    else:
        given, left = ranked(logits, t, L, M, BM)
    again, most = left, tl.max(left, 1)
    share = tl.exp(given - most[:, None])
    tl.store(probabilities + at, share / tl.sum(share, 1)[:, None], mask=inside)
    chosen = tl.zeros([BT], tl.float32)
    for _ in tl.static_range(TOP_K):
        best, _choice, left = next_choice(left, BM)
        chosen += tl.exp(best - most)
    # The same once more, now that the sum of the chosen is known.
    for j in tl.static_range(TOP_K):
        best, choice, again = next_choice(again, BM)
        place = t.to(tl.int64) * TOP_K + j
        tl.store(memories + place, choice.to(tl.int64), mask=t < L)
        tl.store(weights + place, tl.exp(best - most) / chosen, mask=t < L)


@kernel("L", "M")
def grad_route(
    memories, weights, probabilities, dweights, dprobabilities, dlogits, out, L, M,
    TOP_K: tl.constexpr, LOGITS: tl.constexpr, BM: tl.constexpr, BT: tl.constexpr,
):  # fmt: skip
    """BT tokens: through both softmaxes to all logits, onto what is said of these with LOGITS."""
    t, m = tl.program_id(0) * BT + tl.arange(0, BT), tl.arange(0, BM)
    inside, place = (t < L)[:, None] & (m < M)[None, :], t.to(tl.int64) * TOP_K
    at = t.to(tl.int64)[:, None] * M + m[None, :]
    share = tl.load(probabilities + at, mask=inside, other=0.0)
    of_share = tl.load(dprobabilities + at, mask=inside, other=0.0)
    total = share * (of_share - tl.sum(share * of_share, 1)[:, None])
    if LOGITS:
        total += tl.load(dlogits + at, mask=inside, other=0.0)
    along = tl.zeros([BT], tl.float32)
    for j in tl.static_range(TOP_K):
        weight = tl.load(weights + place + j, mask=t < L, other=0.0)
        along += weight * tl.load(dweights + place + j, mask=t < L, other=0.0)
    for j in tl.static_range(TOP_K):
        weight = tl.load(weights + place + j, mask=t < L, other=0.0)
        of_weight = tl.load(dweights + place + j, mask=t < L, other=0.0)
        choice = tl.load(memories + place + j, mask=t < L, other=0)
        of_choice = (weight * (of_weight - along))[:, None]
        total += tl.where(m[None, :] == choice[:, None], of_choice, 0.0)
    tl.store(out + at, total, mask=inside)


def run_route(logits: Tensor, top_k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The memories, weights and probabilities of `route`, of logits that it has checked."""
    (L, M), logits = logits.shape, logits.contiguous()
    memories, weights, probabilities, _ = _empty(L, M, top_k, logits.device)
    BM = power_of_2(M)
    BT = max(1, 256 // BM)
    if L:
        _route[(cdiv(L, BT),)](
            logits, logits, logits, memories, weights, probabilities, L, M, 0,
            D=0, TOP_K=top_k, BM=BM, BT=BT, BD=1, num_warps=1,
        )  # fmt: skip
    return memories, weights, probabilities


def run_router(x: Tensor, weight: Tensor, top_k: int) -> Routes:
    """`router` of what it has checked."""
    (L, D), M = x.shape, weight.shape[0]
    x = x if x.stride(1) == 1 else x.contiguous()
    memories, weights, probabilities, logits = _empty(L, M, top_k, x.device)
    BM = power_of_2(M)
    # As a product, whose terms are exact in half precision, as those of float32 are then; of two
    # types a program a token. Lengths make no difference, so that a token is routed as alone.
    BT, BD = 1, min(max(16, 4096 // BM), power_of_2(D))
    if x.dtype == weight.dtype:
        BT, BM, BD = 64, max(16, BM), 64
    if L:
        _route[(cdiv(L, BT),)](
            x, weight.contiguous(), logits, memories, weights, probabilities, L, M, x.stride(0),
            D=D, TOP_K=top_k, BM=BM, BT=BT, BD=BD, num_warps=4,
        )  # fmt: skip
    return Routes(memories, weights, probabilities, logits)


def _empty(L: int, M: int, top_k: int, device: torch.device) -> tuple[Tensor, ...]:
    """Memories, weights, probabilities and logits, not yet written."""
    memories = torch.empty(L, top_k, dtype=torch.int64, device=device)
    probabilities, logits = torch.empty(2, L, M, device=device)
    return memories, torch.empty(L, top_k, device=device), probabilities, logits
