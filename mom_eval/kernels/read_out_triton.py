"""The kernels of `read_out_step`.

Of one row a program reads all heads anew, and has some rows of the weight: a kernel for the heads
would take as long as the product. Of a few it has one head of all rows, or some, whose product is a
part of the sum. Of more there is a kernel for the heads, and the product is `few_rows`'. What hangs
on the token alone, its choices and its gate, is read before the states are done with.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2, shared_memory
from mom_eval.kernels.few_rows import FEW, few_linear
from mom_eval.kernels.few_rows_triton import WIDE, rows_at_once
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.mixer_step import Routed
from mom_eval.kernels.norm_triton import ACTIVATIONS
from mom_eval.kernels.overlap_triton import behind, meanwhile, overlapping
from mom_eval.kernels.routing_triton import next_choice, ranked
from mom_eval.kernels.split_triton import MULTIPROCESSORS

MOST = 16_384
"""Numbers of all rows that a program has in registers at once, of 8 warps."""


@kernel("N", "M")
def _read_out(
    o, logits, gate, norm, w, y, slots, seen, N, M, eps, gate_row, gate_head,
    HV: tl.constexpr, V: tl.constexpr, TOP_K: tl.constexpr, SHARED: tl.constexpr,
    WEIGHT: tl.constexpr, ACT: tl.constexpr, BN: tl.constexpr, BH: tl.constexpr, BV: tl.constexpr,
    BM: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """BN numbers of y [1, N]. TOP_K 0: o is what one memory reads; SHARED ones come before M."""
    n, h, e = tl.program_id(0) * BN + tl.arange(0, BN), tl.arange(0, BH), tl.arange(0, BV)
    of_n, of_h, of_v = n < N, h < HV, e < V
    meanwhile(OVERLAP)
    at = n.to(tl.int64)[:, None, None] * (HV * V) + h[None, :, None] * V + e[None, None, :]
    inside = of_n[:, None, None] & of_h[None, :, None] & of_v[None, None, :]
    w_n = tl.load(w + at, mask=inside, other=0.0).to(tl.float32)
    row = tl.arange(0, 1)
    shares, choices = _choices(logits, row, 1, M, TOP_K, BM)
    factor = _factor(gate, norm, row, h, e, of_h, gate_row, gate_head, V, WEIGHT, ACT)
    behind(OVERLAP)
    x = _heads(o, shares, factor, row, h, e, of_h, 1, eps, HV, V, TOP_K, SHARED)
    tl.store(y + n, tl.sum(tl.sum(w_n * x[None, :, :], 2), 1), mask=of_n)
    _count_all(seen, slots, choices, row, row == tl.program_id(0), M, TOP_K, SHARED)


@kernel("R", "N", "M")
def _read_out_rows(
    o, logits, gate, norm, w, y, slots, seen, R, N, M, eps, gate_row, gate_head,
    HV: tl.constexpr, V: tl.constexpr, HEADS: tl.constexpr, TOP_K: tl.constexpr,
    SHARED: tl.constexpr, WEIGHT: tl.constexpr, ACT: tl.constexpr, BR: tl.constexpr,
    BN: tl.constexpr, BV: tl.constexpr, BM: tl.constexpr, PRECISION: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """BN columns of a part of y [S, R, N], all rows: what HEADS heads have in it."""
    block, part = tl.program_id(0), tl.program_id(1)
    n, r, e = block * BN + tl.arange(0, BN), tl.arange(0, BR), tl.arange(0, BV)
    of_n, live, of_v = n < N, r < R, e < V
    meanwhile(OVERLAP)
    w += n.to(tl.int64)[:, None] * (HV * V) + e[None, :]
    weights, factors = (), ()
    for i in tl.static_range(HEADS):
        h = part * HEADS + i
        inside = of_n[:, None] & of_v[None, :] & (h < HV)
        weights += (tl.load(w + h * V, mask=inside, other=0.0),)
        h += tl.arange(0, 1)
        there = live & (h < HV)
        factors += (_factor(gate, norm, r, h, e, there, gate_row, gate_head, V, WEIGHT, ACT),)
    shares, choices = _choices(logits, r, R, M, TOP_K, BM)
    behind(OVERLAP)
    out = tl.zeros([BR, BN], tl.float32)
    for i in tl.static_range(HEADS):
        h = part * HEADS + i + tl.arange(0, 1)
        x = _heads(o, shares, factors[i], r, h, e, live & (h < HV), R, eps, HV, V, TOP_K, SHARED)
        out = tl.dot(x.to(w.dtype.element_ty), tl.trans(weights[i]), out, input_precision=PRECISION)
    at = (part.to(tl.int64) * R + r)[:, None] * N + n[None, :]
    tl.store(y + at, out, mask=live[:, None] & of_n[None, :])
    _count_all(seen, slots, choices, r, live & (block + part == 0), M, TOP_K, SHARED)


@kernel("R", "M")
def _combine_step(
    o, logits, gate, norm, y, slots, seen, R, M, eps, gate_row, gate_head,
    HV: tl.constexpr, V: tl.constexpr, TOP_K: tl.constexpr, SHARED: tl.constexpr,
    WEIGHT: tl.constexpr, ACT: tl.constexpr, BH: tl.constexpr, BV: tl.constexpr,
    BM: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """BH heads of a row of y [R, HV, V], which `few_linear` multiplies by the weight."""
    r, start = tl.program_id(0), tl.program_id(1) * BH
    h, e = start + tl.arange(0, BH), tl.arange(0, BV)
    of_h, row = h < HV, r + tl.arange(0, 1)
    shares, choices = _choices(logits, row, R, M, TOP_K, BM)
    factor = _factor(gate, norm, row, h, e, of_h, gate_row, gate_head, V, WEIGHT, ACT)
    behind(OVERLAP)
    meanwhile(OVERLAP)
    x = _heads(o, shares, factor, row, h, e, of_h, R, eps, HV, V, TOP_K, SHARED)
    at = (r.to(tl.int64) * HV + h)[:, None] * V + e[None, :]
    tl.store(y + at, x, mask=of_h[:, None] & (e < V)[None, :])
    _count_all(seen, slots, choices, row, row * 0 == start, M, TOP_K, SHARED)


@triton.jit
def _choices(logits, row, R, M, TOP_K: tl.constexpr, BM: tl.constexpr):
    """How much of each of its choices a row reads, and which memories they are."""
    shares, choices = (), ()
    if TOP_K:
        _given, left = ranked(logits, row, R, M, BM)
        again, most, total = left, tl.max(left, 1), tl.zeros_like(row).to(tl.float32)
        for _ in tl.static_range(TOP_K):
            best, choice, left = next_choice(left, BM)
            total += tl.exp(best - most)
            choices += (choice,)
        for _ in tl.static_range(TOP_K):
            best, choice, again = next_choice(again, BM)
            shares += (tl.exp(best - most) / total,)
    return shares, choices


@triton.jit
def _count_all(seen, slots, choices, row, counts, M, TOP_K: tl.constexpr, SHARED: tl.constexpr):
    """Where a row `counts`, its token is counted in each memory that it goes to."""
    for j in tl.static_range(TOP_K):
        _count(seen, slots, row, counts, choices[j] + SHARED, M + SHARED)
    if SHARED:
        _count(seen, slots, row, counts, row * 0, M + SHARED)


@triton.jit
def _count(seen, slots, row, counts, entry, memories):
    """Count a row's token in one of its slot's memories; a negative slot is nobody's."""
    slot = tl.load(slots + row, mask=counts, other=-1)
    counter, real = seen + slot * memories + entry, slot >= 0
    tl.store(counter, tl.load(counter, mask=real, other=0) + 1, mask=real)


@triton.jit
def _factor(
    gate, norm, row, h, e, there, gate_row, gate_head,
    V: tl.constexpr, WEIGHT: tl.constexpr, ACT: tl.constexpr,
):  # fmt: skip
    """What heads are multiplied by when they are normalised: the norm's weight and the gate."""
    inside = there[:, None] & (e < V)[None, :]
    factor = inside.to(tl.float32)
    if WEIGHT:
        factor *= tl.load(norm + e, mask=e < V, other=0.0).to(tl.float32)[None, :]
    if ACT:
        at = (row.to(tl.int64) * gate_row + h * gate_head)[:, None] + e[None, :]
        g = tl.load(gate + at, mask=inside, other=0.0).to(tl.float32)
        factor *= tl.sigmoid(g) * g if ACT == 1 else tl.sigmoid(g)
    return factor


@triton.jit
def _heads(
    o, shares, factor, row, h, e, there, R, eps,
    HV: tl.constexpr, V: tl.constexpr, TOP_K: tl.constexpr, SHARED: tl.constexpr,
):  # fmt: skip
    """What rows read with heads, of which one is many, weighted, normalised and multiplied."""
    row, inside = row.to(tl.int64), there[:, None] & (e < V)[None, :]
    x = tl.zeros_like(factor)
    for j in tl.static_range(TOP_K):
        at = (row * TOP_K + j + SHARED * R) * HV + h
        read = tl.load(o + at[:, None] * V + e[None, :], mask=inside, other=0.0)
        x += shares[j][:, None] * read.to(tl.float32)
    if SHARED or TOP_K == 0:
        at = (row * HV + h)[:, None] * V + e[None, :]
        x += tl.load(o + at, mask=inside, other=0.0).to(tl.float32)
    return x * tl.rsqrt(tl.sum(x * x, 1) / V + eps)[:, None] * factor


def run_read_out_step(
    o: Tensor,
    weight: Tensor,
    norm: Tensor | None,
    eps: float,
    gate: Tensor | None,
    activation: str,
    routed: Routed | None,
) -> Tensor:
    """`read_out_step` of what it has checked."""
    (rows, HV, V), N, o = o.shape, weight.shape[0], o.contiguous()
    logits, slots, seen, top_k, shared, M = o, o, o, 0, False, 1
    read_early = [weight] if norm is None else [weight, norm]
    if routed is not None:
        read_early.append(routed.logits)
        logits, slots, seen = routed.logits.contiguous(), routed.slots.contiguous(), routed.seen
        (rows, M), top_k, shared = logits.shape, routed.top_k, routed.shared
    # What is copied just before cannot be read early.
    early = overlapping(*read_early)
    if gate is not None and gate.stride(2) != 1:
        gate, early = gate.contiguous(), {"OVERLAP": False}
    given, norm_or = o if gate is None else gate, o if norm is None else norm.contiguous()
    BV, BN = power_of_2(V), rows_at_once(HV * V)
    meta = {"HV": HV, "V": V, "TOP_K": top_k, "SHARED": int(shared), "WEIGHT": norm is not None}
    meta |= {"ACT": 0 if gate is None else ACTIVATIONS[activation], "BV": BV, "BM": power_of_2(M)}
    given_at = given.stride(0), given.stride(1)
    if rows == 1:
        y = weight.new_empty(1, N)
        _read_out[(cdiv(N, BN),)](
            o, logits, given, norm_or, weight.contiguous(), y, slots, seen, N, M, eps, *given_at,
            BN=BN, BH=power_of_2(HV), num_warps=4, **meta, **early,
        )  # fmt: skip
        return y[None]
    heads = cdiv(HV, max(1, MULTIPROCESSORS // cdiv(N, WIDE)))
    BR, wide = max(16, power_of_2(rows)), max(16, BV)
    # Of float32 both are there in two parts.
    held = (BR + WIDE) * wide * weight.element_size() * (2 if weight.element_size() > 2 else 1)
    if 0 < rows <= FEW and BR * heads * wide <= MOST and held <= shared_memory():
        y = weight.new_empty(cdiv(HV, heads), rows, N, dtype=torch.float32)
        _read_out_rows[(cdiv(N, WIDE), len(y))](
            o, logits, given, norm_or, weight.contiguous(), y, slots, seen, rows, N, M, eps,
            *given_at, HEADS=heads, BR=BR, BN=WIDE, PRECISION="tf32x3", num_warps=8,
            **meta | {"BV": wide}, **early,
        )  # fmt: skip
        return y
    y, BH = weight.new_empty(rows, HV, V), min(power_of_2(HV), max(1, 1024 // BV))
    if rows:
        _combine_step[(rows, cdiv(HV, BH))](
            o, logits, given, norm_or, y, slots, seen, rows, M, eps, *given_at,
            BH=BH, num_warps=4, **meta, **early,
        )  # fmt: skip
    return few_linear(y.flatten(1), weight)
