"""The kernels of `begin_step` and `most_probable`: a program is a row."""

import torch
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import power_of_2
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.overlap_triton import behind, meanwhile, overlapping

BLOCK = 8192
"""Logits that a program looks at together, at most."""


@kernel("S")
def _begin_step(tokens, slots, embeddings, seen, x, times, S, D: tl.constexpr, BD: tl.constexpr):
    """A row of x, and its time; the last of S slots is nobody's, and counts nothing."""
    r, d = tl.program_id(0), tl.arange(0, BD)
    token, slot = tl.load(tokens + r), tl.load(slots + r)
    counter = seen + tl.where(slot < 0, slot + S, slot)
    time = tl.load(counter)
    tl.store(times + r, time)
    tl.store(counter, time + 1, mask=slot >= 0)
    row = tl.load(embeddings + token * D + d, mask=d < D)
    tl.store(x + r.to(tl.int64) * D + d, row, mask=d < D)


@kernel("N")
def _most_probable(logits, found, N, row, BN: tl.constexpr, OVERLAP: tl.constexpr):
    """The first of the largest of N logits of a row."""
    behind(OVERLAP)
    meanwhile(OVERLAP)
    r, n = tl.program_id(0), tl.arange(0, BN)
    logits += r.to(tl.int64) * row
    most, place = tl.full([BN], -float("inf"), tl.float32), n
    for start in range(0, N, BN):
        inside = start + n < N
        new = tl.load(logits + start + n, mask=inside, other=-float("inf")).to(tl.float32)
        new = tl.where(new == new, new, float("inf"))
        place = tl.where(new > most, start + n, place)
        most = tl.maximum(most, new)
    first = tl.min(tl.where(most == tl.max(most, 0), place, N), 0)
    tl.store(found + r, first.to(tl.int64))


def run_begin_step(
    tokens: Tensor, slots: Tensor, embeddings: Tensor, seen: Tensor
) -> tuple[Tensor, Tensor]:
    """`begin_step` of what it has checked."""
    R, D = len(tokens), embeddings.shape[1]
    x, times = embeddings.new_empty(R, D), seen.new_empty(R)
    if R:
        _begin_step[(R,)](
            tokens.contiguous(), slots.contiguous(), embeddings.contiguous(), seen, x, times,
            len(seen), D=D, BD=power_of_2(D), num_warps=4,
        )  # fmt: skip
    return x, times


def run_most_probable(logits: Tensor) -> Tensor:
    """`most_probable` of what it has checked."""
    (R, N), logits = logits.shape, logits.contiguous()
    found = logits.new_empty(R, dtype=torch.int64)
    if R:
        BN = min(BLOCK, power_of_2(N))
        _most_probable[(R,)](
            logits, found, N, logits.stride(0), BN=BN, num_warps=max(1, min(16, BN // 256)),
            **overlapping(),
        )  # fmt: skip
    return found
