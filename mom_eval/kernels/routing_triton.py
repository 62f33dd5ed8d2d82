"""The kernel of `combine`: each token gathers its rows, so that no two programs write one place."""

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
