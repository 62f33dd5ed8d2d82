"""The kernels of `few_rows`: a program has all rows of x, and some of a weight.

Or a part of the columns of these, where they are few. One row is summed, normalised, multiplied and
gated in a single kernel, in which each program reads the row anew. More rows come normalised and go
through the matrix units: read by every program with all that is done to them, they would be more
than the weight.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2, shared_memory
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.overlap_triton import behind, meanwhile, overlapping
from mom_eval.kernels.split_triton import MULTIPROCESSORS

WIDE, SHALLOW = 32, 256
"""Rows of a weight that a program has where it has a part of their columns, and the fewest columns
of a part."""


@triton.jit
def _weight(w0, w1, w2, o0, o1, n0, n1, n2, BN: tl.constexpr):
    """A program's weight, of three, with its output, rows, and where it begins; is it the third?"""
    block = tl.program_id(0)
    blocks0, blocks1 = (n0 + BN - 1) // BN, (n1 + BN - 1) // BN
    third = block >= blocks0 + blocks1
    w, o, N = w0, o0, n0
    if block >= blocks0:
        block -= blocks0
        w, o, N = w1, o1, n1
        if third:
            block -= blocks1
            w, N = w2, n2
    return w, o, N, block * BN, third


@kernel("n0", "n1", "n2")
def _one_row(
    x, y, norm, w0, w1, w2, total, o0, o1, o2, n0, n1, n2, eps,
    D: tl.constexpr, NORM: tl.constexpr, ADD: tl.constexpr, GATED: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """The norm of x + y [D] times BN rows of a weight; the third's product has another type.

    GATED: the weight's rows are a gate's, and behind them n0 others that it is for.
    """
    w, o, N, start, third = _weight(w0, w1, w2, o0, o1, n0, n1, n2, BN)
    n, d = start + tl.arange(0, BN), tl.arange(0, BD)
    of_n, of_d = n < N, d < D
    # The first kernel of a step waits: what `begin_step` wrote is there for all that come early.
    FIRST: tl.constexpr = NORM and not ADD
    if not FIRST:
        meanwhile(OVERLAP)
    w += n.to(tl.int64)[:, None] * D + d[None, :]
    w_n = tl.load(w, mask=of_n[:, None] & of_d[None, :], other=0.0).to(tl.float32)
    if GATED:
        w += n0.to(tl.int64) * D
        up = tl.load(w, mask=of_n[:, None] & of_d[None, :], other=0.0).to(tl.float32)
    behind(OVERLAP)
    if FIRST:
        meanwhile(OVERLAP)
    row = tl.load(x + d, mask=of_d, other=0.0).to(tl.float32)
    if ADD:
        row += tl.load(y + d, mask=of_d, other=0.0).to(tl.float32)
        kept = row.to(total.dtype.element_ty)
        tl.store(total + d, kept, mask=of_d & (tl.program_id(0) == 0))
        row = kept.to(tl.float32)
    scale = 1.0
    if NORM:
        # At the end, since every product waits for it.
        scale = tl.rsqrt(tl.sum(row * row, 0) / D + eps)
        row *= tl.load(norm + d, mask=of_d, other=0.0).to(tl.float32)
    out = tl.sum(w_n * row[None, :], 1) * scale
    if GATED:
        out = out * tl.sigmoid(out) * (tl.sum(up * row[None, :], 1) * scale)
    if third:
        tl.store(o2 + n, out, mask=of_n)
    else:
        tl.store(o + n, out, mask=of_n)


@kernel("R", "n0", "n1", "n2")
def _few_rows(
    x, w0, w1, w2, o0, o1, o2, R, n0, n1, n2,
    D: tl.constexpr, GATED: tl.constexpr, BR: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
    DEPTH: tl.constexpr, PRECISION: tl.constexpr, EARLY: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """`_one_row` of rows x [R, D] as they are; or parts of it, each of DEPTH columns of x.

    EARLY: what comes next may begin at once, and finds its place beside this.
    """
    if EARLY:
        meanwhile(OVERLAP)
    w, o, N, start, third = _weight(w0, w1, w2, o0, o1, n0, n1, n2, BN)
    part = tl.program_id(1)
    o += part.to(tl.int64) * R * N
    n, r = start + tl.arange(0, BN), tl.arange(0, BR)
    of_n, live = n < N, r < R
    x, w = x + r[:, None] * D, w + n.to(tl.int64)[:, None] * D
    out = tl.zeros([BR, BN], tl.float32)
    up = tl.zeros([BR, BN], tl.float32)
    behind(OVERLAP)
    for start in range(part * DEPTH, tl.minimum(part * DEPTH + DEPTH, D), BD):
        d = start + tl.arange(0, BD)
        inside = of_n[:, None] & (d < D)[None, :]
        x_d = tl.load(x + d[None, :], mask=live[:, None] & (d < D)[None, :], other=0.0)
        w_d = tl.load(w + d[None, :], mask=inside, other=0.0)
        out = tl.dot(x_d, tl.trans(w_d), out, input_precision=PRECISION)
        if GATED:
            w_d = tl.load(w + n0.to(tl.int64) * D + d[None, :], mask=inside, other=0.0)
            up = tl.dot(x_d, tl.trans(w_d), up, input_precision=PRECISION)
    if not EARLY:
        meanwhile(OVERLAP)
    if GATED:
        out = out * tl.sigmoid(out) * up
    at, inside = r.to(tl.int64)[:, None] * N + n[None, :], live[:, None] & of_n[None, :]
    if third:
        tl.store(o2 + at, out, mask=inside)
    else:
        tl.store(o + at, out, mask=inside)


def _stages(programs: int, size: int) -> int:
    """Stages of loads of `size` bytes, so that no multiprocessor holds more than its share.

    Programs that begin early find some of them taken, and would gather on the others: these then
    have two to do, while those are idle.
    """
    share = max(1, cdiv(programs, MULTIPROCESSORS))
    # Triton keeps a stage less in shared memory, or on Hopper, of 64 rows, as many.
    return min(_room(share + 1, size) + 2, _room(share, size))


def _room(programs: int, size: int) -> int:
    """Loads of `size` bytes for which each of so many programs of a multiprocessor has room."""
    return shared_memory() // programs // size


def run_parts(x: Tensor, weight: Tensor) -> Tensor:
    """X W^T as parts [S, R, O] in float32 whose sum it is.

    Of a single row it is one, in the weight's type. A weight of few rows would keep few programs
    busy: its columns are dealt out too, so that all multiprocessors read, and none all of x.
    """
    (R, D), (N, _) = x.shape, weight.shape
    if R == 1:
        return run_products(x, [weight])[1][0][None]
    x, weight = x.contiguous(), weight.contiguous()
    BD = max(16, min(64, power_of_2(D)))
    parts = max(1, min(MULTIPROCESSORS // cdiv(N, WIDE), D // SHALLOW))
    depth = cdiv(cdiv(D, BD), parts) * BD
    parts = cdiv(D, depth)
    out = x.new_empty(parts, R, N, dtype=torch.float32)
    if R:
        BR, blocks = max(16, power_of_2(R)), cdiv(N, WIDE)
        stages = _stages(blocks * parts, (BR + WIDE) * BD * x.element_size())
        _few_rows[(blocks, parts)](
            x, weight, weight, weight, out, out, out, R, N, 0, 0,
            D=D, GATED=False, BR=BR, BN=WIDE, BD=BD, DEPTH=depth, PRECISION="tf32x3", EARLY=True,
            num_warps=4, num_stages=max(stages, 12 // x.element_size()), **overlapping(weight),
        )  # fmt: skip
    return out


def rows_at_once(depth: int) -> int:
    """Rows of a weight that a program multiplies one row by: small pieces, so that none waits."""
    return max(1, min(4, 16_384 // power_of_2(depth)))


def run_products(
    x: Tensor,
    weights: Sequence[Tensor],
    *,
    router: Tensor | None = None,
    gated: bool = False,
    y: Tensor | None = None,
    norm: Tensor | None = None,
    eps: float = 0.0,
) -> tuple[Tensor, list[Tensor]]:
    """X + y, and products of its norm and weights of one type; more rows than one come normalised.

    Args and results are those of `add_norm_linear`; `gated` is of `add_norm_swiglu`.
    """
    every = [*weights, *([] if router is None else [router])]
    (R, D), x, early = x.shape, x.contiguous(), overlapping(*every)
    weights = [w.contiguous() for w in weights]
    out = [w.new_empty(R, w.shape[0] // (1 + gated)) for w in weights]
    sizes = [o.shape[1] for o in out] + [0] * (2 - len(out))
    three, outputs, total = [weights[0], weights[-1], weights[0]], [out[0], out[-1], out[0]], x
    if router is not None:
        three[2] = router.contiguous()
        outputs[2] = x.new_empty(R, router.shape[0], dtype=torch.float32)
        out.append(outputs[2])
    sizes.append(0 if router is None else router.shape[0])
    if R == 1:
        if y is not None:
            y, total = (
                y.contiguous(),
                x.new_empty(R, D, dtype=torch.promote_types(x.dtype, y.dtype)),
            )
        BN = rows_at_once(D)
        _one_row[(sum(cdiv(n, BN) for n in sizes),)](
            x, x if y is None else y, x if norm is None else norm.contiguous(), *three, total,
            *outputs, *sizes, eps, D=D, NORM=norm is not None, ADD=y is not None, GATED=gated,
            BN=BN, BD=power_of_2(D), num_warps=4 if D <= 2048 else 8, **early,
        )  # fmt: skip
    elif R:
        BN = 16 if gated or sum(sizes) <= 2048 else 32
        # Two weights' blocks are twice as much: smaller, two programs share a multiprocessor.
        BD, warps = (64, 2) if gated else (128, 4)
        BR, BD = max(16, power_of_2(R)), max(16, min(BD, power_of_2(D)))
        programs, stages = sum(cdiv(n, BN) for n in sizes), 10 // x.element_size()
        if programs <= MULTIPROCESSORS and not gated:
            # Nothing else wants the memory: all of a program's loads are under way at once.
            stages = max(stages, min(cdiv(D, BD) + 1, _room(1, (BR + BN) * BD * x.element_size())))
        _few_rows[(programs,)](
            x, *three, *outputs, R, *sizes,
            D=D, GATED=gated, BR=BR, BN=BN, BD=BD, DEPTH=D, PRECISION="tf32x3", EARLY=gated,
            num_warps=warps, num_stages=stages, **early,
        )  # fmt: skip
    return total, out
