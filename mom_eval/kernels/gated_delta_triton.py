"""`gated_delta` on a GPU: `prepare` for all chunks at once, then `scan` along each segment.

A few long segments are split first, and `scan` goes along each part (`split_triton`).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2, rows_of
from mom_eval.kernels.chunk_grid import CHUNK, ChunkGrid
from mom_eval.kernels.prepare_channel_triton import prepare_channel
from mom_eval.kernels.prepare_triton import prepare_head
from mom_eval.kernels.scan_triton import CHANNEL, HEAD, scan
from mom_eval.kernels.split_triton import part_size, states_of_parts


def chunked_triton(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor | None,
    beta: Tensor | None,
    scale: float,
    state: Tensor | None,
    grid: ChunkGrid,
) -> tuple[Tensor, Tensor]:
    """What `gated_delta` has checked -> (o [L, HV, V], states [N, HV, K, V]); waits for nothing.

    Operands are rounded to the narrowest type of q, k and v, sums and states are float32. Rows may
    lie apart: the columns of a fused projection are not copied.
    """
    q, k, v = operands(q, k, v)
    (length, _, K), (_, HV, V) = q.shape, v.shape
    N, delta, past = grid.cu_seqlens.shape[0] - 1, beta is not None, int(state is not None)
    gate, ready = prepared(q, k, g, beta, HV, grid)
    o, after = v.new_empty(length, HV, V), v.new_empty(N, HV, K, V, dtype=torch.float32)
    BK, BV, warps, stages = _blocks(K, V, gate, q.dtype, delta)
    before = after if state is None else state.contiguous()
    last, ends, first = after, grid.cu_seqlens, grid.first
    if size := part_size(length, N, cdiv(V, BV) * HV):
        shape = _blocks(K, V + K * delta, gate, q.dtype, delta)
        before, last, ends, first = states_of_parts(
            ready.k, ready.k_out, v, ready.T, ready.G, before, after, past, grid, size, gate, delta,
            shape,
        )  # fmt: skip
        past = 1
    scan[(cdiv(V, BV), HV, before.shape[0])](
        ready.q, ready.k, ready.k_out, v, ready.P, ready.T, ready.G, o, before, last, ends, first,
        scale, ready.q.stride(0), ready.k.stride(0), v.stride(0), q.shape[1], HV, past,
        K=K, V=V, GATE=gate, DELTA=delta, BK=BK, BV=BV, PRECISION="tf32x3",
        num_warps=warps, num_stages=stages,
    )  # fmt: skip
    return o, after


def operands(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Q and k in the narrowest of the three types, all with rows that can be read."""
    operand = min((q.dtype, k.dtype, v.dtype), key=lambda dtype: dtype.itemsize)
    return rows_of(q.to(operand)), rows_of(k.to(operand)), rows_of(v)


class Ready(NamedTuple):
    """What `scan` multiplies by; see there, `prepare_triton` and `prepare_channel_triton`.

    far [chunks, HV]: where that took its second way, for gradients to take theirs.
    """

    q: Tensor
    k: Tensor
    k_out: Tensor
    P: Tensor
    T: Tensor
    G: Tensor
    far: Tensor | None = None


def prepared(
    q: Tensor,
    k: Tensor,
    g: Tensor | None,
    beta: Tensor | None,
    HV: int,
    grid: ChunkGrid,
    *,
    unit: bool = False,
) -> tuple[int, Ready]:
    """Which gate there is, and what all chunks need of themselves; `unit`: T is without beta."""
    (length, H, K), N, delta = q.shape, grid.cu_seqlens.shape[0] - 1, beta is not None
    like = {"dtype": torch.float32}
    P = q.new_empty(grid.places, HV, CHUNK, CHUNK)
    T = torch.empty_like(P) if delta else P
    solved = q.new_empty(grid.places, HV, CHUNK, CHUNK, **like) if delta else P
    # Where there is no beta or no g the kernels take a pointer and read nothing behind it.
    beta = q if beta is None else rows_of(beta)
    gates = q if g is None else rows_of(g)
    meta = {"K": K, "DELTA": delta, "UNIT": unit, "PRECISION": "tf32x3", "num_warps": 4}
    sizes = (N, q.stride(0), k.stride(0), gates.stride(0), beta.stride(0), H, HV)
    if g is not None and g.ndim == 3:
        G = q.new_empty(grid.places, HV, K, **like)
        q_in, k_out = q.new_empty(length, HV, K), q.new_empty(length, HV, K)
        k_in = torch.empty_like(q_in) if delta else k_out
        far = q.new_empty(grid.places, HV, dtype=torch.int32)
        for second in (False, True):
            heads = 4 if second else 1
            prepare_channel[(grid.places, cdiv(HV, heads))](
                q, k, gates, beta, P, T, solved, q_in, k_in, k_out, G, far, *grid, *sizes,
                FAR=second, HEADS=heads, BK=max(16, min(32, power_of_2(K))),
                # Three programs a multiprocessor, not two, where the inverse leaves room for it.
                maxnreg=None if second or delta else 168, **meta,
            )  # fmt: skip
        return CHANNEL.value, Ready(q_in, k_in, k_out, P, T, G, far)
    gate = 0 if g is None else HEAD.value
    G = q.new_empty(length, HV, **like) if gate else P
    prepare_head[(grid.places, HV)](
        q, k, gates, beta, P, T, solved, G, *grid, *sizes,
        GATE=gate, BK=max(16, min(64, power_of_2(K))),
        # The inverse waits more than it works: 3 programs a multiprocessor, not 2.
        maxnreg=168 if delta else None, **meta,
    )  # fmt: skip
    return gate, Ready(q, k, k, P, T, G)


def _blocks(K: int, V: int, gate: int, operand: torch.dtype, delta: bool) -> tuple[int, ...]:
    """Block shapes of `scan`: all of K, columns of V, warps, pipeline stages.

    Columns of 64 fill the matrix units' tiles; fewer were slower, and with a decay a head in half
    precision they gave wrong sums on Hopper (docs/performance.md). Operands of four bytes leave
    room for 32 above K = 128. A second stage hides the loads of the next chunk up to K = 256; a
    third pays with the delta rule, whose products wait for each other.
    """
    BK = max(16, power_of_2(K))
    if operand == torch.float32:
        BV = min(64 if BK <= 128 else 32, max(16, power_of_2(V)))
        return BK, BV, 4 if BK <= 128 else 8, 1
    if BK <= 128:
        return BK, 64, 4, 3 if delta and gate != CHANNEL.value else 2
    # With a decay a channel and the delta rule there are four operands of [64, K], not three.
    return BK, 64, 8, 1 if BK > 256 or (delta and gate == CHANNEL.value) else 2
