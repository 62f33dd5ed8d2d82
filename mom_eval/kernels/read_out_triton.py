"""The kernels of `read_out_step`.

Of one row a program reads all heads anew, and has some rows of the weight: a kernel for the heads
would take as long as the product. Of more there is one, and the product is `few_rows`'.
"""

import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2
from mom_eval.kernels.few_rows import few_linear
from mom_eval.kernels.few_rows_triton import rows_at_once
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.mixer_step import Routed
from mom_eval.kernels.norm_triton import ACTIVATIONS
from mom_eval.kernels.overlap_triton import behind, meanwhile, overlapping
from mom_eval.kernels.routing_triton import next_choice, ranked


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
    behind(OVERLAP)
    row = tl.arange(0, 1)
    shares = _shares(logits, slots, seen, row, 1, M, tl.program_id(0) == 0, TOP_K, SHARED, BM)
    x = _heads(
        o, gate, norm, shares, row, h, e, of_h, 1, eps, gate_row, gate_head,
        HV, V, TOP_K, SHARED, WEIGHT, ACT,
    )  # fmt: skip
    tl.store(y + n, tl.sum(tl.sum(w_n * x[None, :, :], 2), 1), mask=of_n)


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
    behind(OVERLAP)
    meanwhile(OVERLAP)
    row = r + tl.arange(0, 1)
    shares = _shares(logits, slots, seen, row, R, M, start == 0, TOP_K, SHARED, BM)
    x = _heads(
        o, gate, norm, shares, row, h, e, h < HV, R, eps, gate_row, gate_head,
        HV, V, TOP_K, SHARED, WEIGHT, ACT,
    )  # fmt: skip
    at = (r.to(tl.int64) * HV + h)[:, None] * V + e[None, :]
    tl.store(y + at, x, mask=(h < HV)[:, None] & (e < V)[None, :])


@triton.jit
def _shares(
    logits, slots, seen, row, R, M, counts,
    TOP_K: tl.constexpr, SHARED: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """How much of each choice a row reads; where it `counts`, its token is counted in each."""
    shares = ()
    if TOP_K:
        _given, left = ranked(logits, row, R, M, BM)
        again, most, total = left, tl.max(left, 1), tl.zeros([1], tl.float32)
        for _ in tl.static_range(TOP_K):
            best, choice, left = next_choice(left, BM)
            total += tl.exp(best - most)
            _count(seen, slots, row, counts, choice + SHARED, M + SHARED)
        for _ in tl.static_range(TOP_K):
            best, choice, again = next_choice(again, BM)
            shares += (tl.exp(best - most) / total,)
        if SHARED:
            _count(seen, slots, row, counts, row * 0, M + SHARED)
    return shares


@triton.jit
def _count(seen, slots, row, counts, entry, memories):
    """Count a row's token in one of its slot's memories; a negative slot is nobody's."""
    slot = tl.load(slots + row)
    counter, real = seen + slot * memories + entry, (slot >= 0) & counts
    tl.store(counter, tl.load(counter, mask=real, other=0) + 1, mask=real)


@triton.jit
def _heads(
    o, gate, norm, shares, row, h, e, of_h, R, eps, gate_row, gate_head,
    HV: tl.constexpr, V: tl.constexpr, TOP_K: tl.constexpr, SHARED: tl.constexpr,
    WEIGHT: tl.constexpr, ACT: tl.constexpr,
):  # fmt: skip
    """What a row reads with heads h, weighted, normalised and gated: [BH, BV]."""
    row, of_v = row.to(tl.int64), e < V
    inside = of_h[:, None] & of_v[None, :]
    x = tl.zeros_like(inside.to(tl.float32))
    for j in tl.static_range(TOP_K):
        at = (row * TOP_K + j + SHARED * R) * HV + h
        read = tl.load(o + at[:, None] * V + e[None, :], mask=inside, other=0.0)
        x += shares[j][:, None] * read.to(tl.float32)
    if SHARED or TOP_K == 0:
        at = (row * HV + h)[:, None] * V + e[None, :]
        x += tl.load(o + at, mask=inside, other=0.0).to(tl.float32)
    x *= tl.rsqrt(tl.sum(x * x, 1) / V + eps)[:, None]
    if WEIGHT:
        x *= tl.load(norm + e, mask=of_v, other=0.0).to(tl.float32)[None, :]
    if ACT:
        at = (row * gate_row + h * gate_head)[:, None] + e[None, :]
        g = tl.load(gate + at, mask=inside, other=0.0).to(tl.float32)
        x *= tl.sigmoid(g) * g if ACT == 1 else tl.sigmoid(g)
    return x


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
    if routed is not None:
        logits, slots, seen = routed.logits.contiguous(), routed.slots.contiguous(), routed.seen
        (rows, M), top_k, shared = logits.shape, routed.top_k, routed.shared
    if gate is not None and gate.stride(2) != 1:
        gate = gate.contiguous()
    given, norm_or = o if gate is None else gate, o if norm is None else norm.contiguous()
    BV, BN = power_of_2(V), rows_at_once(HV * V)
    meta = {"HV": HV, "V": V, "TOP_K": top_k, "SHARED": int(shared), "WEIGHT": norm is not None}
    meta |= {"ACT": 0 if gate is None else ACTIVATIONS[activation], "BV": BV, "BM": power_of_2(M)}
    meta |= {"num_warps": 4, **overlapping(weight)}
    if rows == 1:
        y = weight.new_empty(1, N)
        _read_out[(cdiv(N, BN),)](
            o, logits, given, norm_or, weight.contiguous(), y, slots, seen, N, M, eps,
            given.stride(0), given.stride(1), BN=BN, BH=power_of_2(HV), **meta,
        )  # fmt: skip
        return y[None]
    y, BH = weight.new_empty(rows, HV, V), min(power_of_2(HV), max(1, 1024 // BV))
    if rows:
        _combine_step[(rows, cdiv(HV, BH))](
            o, logits, given, norm_or, y, slots, seen, rows, M, eps,
            given.stride(0), given.stride(1), BH=BH, **meta,
        )  # fmt: skip
    return few_linear(y.flatten(1), weight)
