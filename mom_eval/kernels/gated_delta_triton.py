"""`gated_delta` on a GPU: `prepare` for all chunks at once, then `scan` along each segment."""

import torch
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2, rows_of
from mom_eval.kernels.chunk_grid import CHUNK, ChunkGrid
from mom_eval.kernels.prepare_triton import prepare_channel, prepare_head
from mom_eval.kernels.scan_triton import CHANNEL, HEAD, scan


def chunked_triton(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor | None,
    beta: Tensor | None,
    scale: float,
    state: Tensor,
    grid: ChunkGrid,
) -> tuple[Tensor, Tensor]:
    """What `gated_delta` has checked -> (o [L, HV, V], states [N, HV, K, V]); waits for nothing.

    Operands are rounded to the narrowest type of q, k and v, sums and states are float32. Rows may
    lie apart: the columns of a fused projection are not copied.
    """
    operand = min((q.dtype, k.dtype, v.dtype), key=lambda dtype: dtype.itemsize)
    q, k, v = rows_of(q.to(operand)), rows_of(k.to(operand)), rows_of(v)
    (length, H, K), (_, HV, V) = q.shape, v.shape
    N, delta = len(state), beta is not None
    P = q.new_empty(grid.places, HV, CHUNK, CHUNK)
    T = torch.empty_like(P) if delta else P
    solved = state.new_empty(grid.places, HV, CHUNK, CHUNK) if delta else state
    # Where there is no beta or no g the kernels take a pointer and read nothing behind it.
    beta = q if beta is None else rows_of(beta)
    gates = q if g is None else rows_of(g)
    meta = {"K": K, "DELTA": delta, "PRECISION": "tf32x3"}
    places = (grid.places, HV)
    sizes = (N, q.stride(0), k.stride(0), gates.stride(0), beta.stride(0), H, HV)
    q_in, k_in, k_out = q, k, k
    if g is not None and g.ndim == 3:
        gate, G = CHANNEL.value, state.new_empty(grid.places, HV, K)
        q_in, k_out = q.new_empty(length, HV, K), q.new_empty(length, HV, K)
        k_in = torch.empty_like(q_in) if delta else k_out
        prepare_channel[places](
            q, k, gates, beta, P, T, solved, q_in, k_in, k_out, G, *grid, scale, *sizes,
            BK=max(16, min(32, power_of_2(K))), num_warps=4, **meta,
        )  # fmt: skip
    else:
        gate = 0 if g is None else HEAD.value
        G = state.new_empty(length, HV) if gate else state
        prepare_head[places](
            q, k, gates, beta, P, T, solved, G, *grid, scale, *sizes,
            GATE=gate, BK=max(16, min(64, power_of_2(K))), num_warps=4, **meta,
        )  # fmt: skip
    o, after = v.new_empty(length, HV, V), torch.empty_like(state)
    BK, BV, warps, stages = _blocks(K, V, gate, operand, delta)
    scan[(cdiv(V, BV), HV, N)](
        q_in, k_in, k_out, v, P, T, G, o, state, after, grid.cu_seqlens, grid.first, scale,
        q_in.stride(0), k_in.stride(0), v.stride(0), H, HV,
        V=V, GATE=gate, BK=BK, BV=BV, num_warps=warps, num_stages=stages, **meta,
    )  # fmt: skip
    return o, after


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
