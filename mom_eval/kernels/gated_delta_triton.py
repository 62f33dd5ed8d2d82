"""`gated_delta` on a GPU: `prepare` for all chunks at once, then `scan` along each segment."""

import torch
import triton
from torch import Tensor

from mom_eval.kernels.chunk_grid import CHUNK, ChunkGrid
from mom_eval.kernels.prepare_triton import prepare_channel, prepare_head
from mom_eval.kernels.scan_triton import scan

MAX_K = 512
"""The largest K whose state a program can hold, beside its operands in shared memory."""


def run(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor | None,
    beta: Tensor | None,
    scale: float,
    state: Tensor,
    cu_seqlens: Tensor,
) -> tuple[Tensor, Tensor]:
    """What `gated_delta` has checked -> (o [L, HV, V], states [N, HV, K, V]); waits for nothing.

    q, k and v are of one type, bfloat16, float16 or float32; in float32 products are exact in their
    operands ("ieee"), in the others summed in float32. Rows may lie apart: no copy of columns of a
    fused projection is made.
    """
    q, k, v = (_rows(x) for x in (q, k.to(q.dtype), v.to(q.dtype)))
    (length, H, K), (_, HV, V) = q.shape, v.shape
    grid, N = ChunkGrid.of(cu_seqlens, length), len(cu_seqlens) - 1
    o, after = v.new_empty(length, HV, V), torch.empty_like(state)
    P = q.new_empty(grid.places, HV, CHUNK, CHUNK)
    T = P if beta is None else torch.empty_like(P)
    delta, BK = beta is not None, max(16, min(64, triton.next_power_of_2(K)))
    precision = "ieee" if q.dtype == torch.float32 else "tf32x3"
    strength = q if beta is None else _rows(beta)
    meta = {"K": K, "DELTA": delta, "PRECISION": precision}
    places = (grid.places, HV)
    numbers = (scale, N, q.stride(0), k.stride(0))
    q_in, k_in, k_out, gate = q, k, k, 0
    if g is not None and g.ndim == 3:
        gate, g = 2, _rows(g)
        q_in, k_out = q.new_empty(length, HV, K), q.new_empty(length, HV, K)
        k_in = torch.empty_like(q_in) if delta else k_out
        G = state.new_empty(grid.places, HV, K)
        prepare_channel[places](
            q, k, g, strength, P, T, q_in, k_in, k_out, G, *grid, *numbers,
            g.stride(0), strength.stride(0), H, HV, BK=min(BK, 32), num_warps=4, **meta,
        )  # fmt: skip
    else:
        gate, g = (0, q) if g is None else (1, _rows(g))
        G = state.new_empty(length, HV) if gate else state
        prepare_head[places](
            q, k, g, strength, P, T, G, *grid, *numbers,
            g.stride(0), strength.stride(0), H, HV, GATE=gate, BK=BK, num_warps=4, **meta,
        )  # fmt: skip
    BK, BV, warps = _blocks(K, V)
    scan[(triton.cdiv(V, BV), HV, N)](
        q_in, k_in, k_out, v, P, T, G, o, state, after, grid.cu_seqlens, grid.first,
        scale, q_in.stride(0), k_in.stride(0), v.stride(0), H, HV,
        V=V, GATE=gate, BK=BK, BV=BV, num_warps=warps, num_stages=2 if K <= 128 else 1, **meta,
    )  # fmt: skip
    return o, after


def _rows(x: Tensor) -> Tensor:
    """[L, ...] whose rows are contiguous, wherever each begins: a copy only if they are not."""
    return x if x[:1].is_contiguous() else x.contiguous()


def _blocks(K: int, V: int) -> tuple[int, int, int]:
    """Block shapes of `scan`: all of K, columns of V, warps.

    Columns of 64 fill the matrix units' tiles at K <= 256; above, the state of 32 is what registers
    hold. Four warps read K = 128 fastest, eight hold the 64 KB of K = 256.
    """
    BK = max(16, triton.next_power_of_2(K))
    BV = min(64 if BK <= 256 else 32, max(16, triton.next_power_of_2(V)))
    return BK, BV, 4 if BK <= 128 else 8
