"""The gradients of `gated_delta` on a GPU; nothing is kept of the forward pass but its arguments.

What each chunk needs of itself is made anew (`prepare`), its states are walked forth and back
(`backward_triton`), and then all chunks are taken at once (`grad_triton`). Memory is linear in the
tokens: two states a chunk. No sum hangs on an order that may change.
"""

from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from mom_eval.kernels.backward_triton import slopes, states
from mom_eval.kernels.blocks import cdiv, power_of_2, rows_of
from mom_eval.kernels.choose import wants_gradient
from mom_eval.kernels.chunk_grid import ChunkGrid
from mom_eval.kernels.chunk_grid_triton import lay_chunks
from mom_eval.kernels.gated_delta_triton import Ready, chunked_triton, operands, prepared
from mom_eval.kernels.grad_channel_triton import grad_gates, grad_states
from mom_eval.kernels.grad_triton import grad_head
from mom_eval.kernels.scan_triton import CHANNEL

NARROW: Final = 16
"""Heads of fewer key channels are computed in float32: operands rounded to half precision err by
more than the bound there, too few of them to even out (docs/performance.md)."""


class _GatedDelta(Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor]:
        q, k, v, g, beta, scale, state, grid = given
        ctx.save_for_backward(q, k, v, g, beta, state)
        ctx.scale, ctx.grid = scale, grid
        return chunked_triton(*given)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (q, k, v, g, beta, state), (do, behind) = ctx.saved_tensors, grad_outputs
        found = gradients(q, k, v, g, beta, state, ctx.scale, ctx.grid, do, behind)
        given = zip((q, k, v, g, beta, state), found, strict=True)
        *of_inputs, of_state = (None if x is None else dx.to(x.dtype) for x, dx in given)
        return *of_inputs, None, of_state, None


def run_gated_delta(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor | None,
    beta: Tensor | None,
    scale: float,
    state: Tensor | None,
    segments: Tensor,
    grid: ChunkGrid | None,
) -> tuple[Tensor, Tensor]:
    """`gated_delta` of what it has checked, with a gradient where one will be asked for."""
    wanted, dtype = wants_gradient((q, k, v, g, beta, state)), v.dtype
    run = _GatedDelta.apply if wanted else chunked_triton
    if q.shape[2] < NARROW:
        q, k, v = q.float(), k.float(), v.float()
    o, after = run(q, k, v, g, beta, scale, state, grid or lay_chunks(segments, len(v)))
    return o.to(dtype), after


class _Given(NamedTuple):
    """What the kernels are given; what is absent is some tensor that they do not read."""

    q: Tensor
    k: Tensor
    v: Tensor
    g: Tensor
    beta: Tensor
    do: Tensor
    gate: int
    delta: bool
    scale: float
    grid: ChunkGrid


class _Walked(NamedTuple):
    """What `states` and `slopes` write; see there."""

    S: Tensor
    new: Tensor
    u: Tensor
    dS: Tensor
    r: Tensor
    before: Tensor


def gradients(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor | None,
    beta: Tensor | None,
    state: Tensor | None,
    scale: float,
    grid: ChunkGrid,
    do: Tensor,
    behind: Tensor,
) -> tuple[Tensor, ...]:
    """Of q, k, v, g, beta and state, by those of o [L, HV, V] and of the states behind.

    Those of what is not given mean nothing.
    """
    (H, HV), (q, k, v), delta = (q.shape[1], v.shape[1]), operands(q, k, v), beta is not None
    gate, ready = prepared(q, k, g, beta, HV, grid, unit=True)
    strength, gates = (q if x is None else rows_of(x) for x in (beta, g))
    given = _Given(q, k, v, gates, strength, do.contiguous(), gate, delta, scale, grid)
    w = _walked(given, ready, state, behind)
    run = _by_channel if gate == CHANNEL.value else _by_head
    dq, dk, dv, dg, dbeta = run(given, ready, w)
    return _of_key_heads(dq, H), _of_key_heads(dk, H), dv, dg, dbeta, w.before


def _by_head(given: _Given, ready: Ready, w: _Walked) -> tuple[Tensor, ...]:
    """Of q, k, v, g and beta, where the decay is one a head or there is none."""
    q, k, v, _, beta, do, gate, delta, scale, grid = given
    (L, H, K), (HV, V), N = q.shape, v.shape[1:], grid.cu_seqlens.shape[0] - 1
    dq, dk = (q.new_empty(L, HV, K) for _ in range(2))
    dv = torch.empty_like(w.r, dtype=v.dtype) if delta else w.r
    dg, dbeta = (torch.empty(L, HV, dtype=torch.float32, device=q.device) for _ in range(2))
    # Of 16 channels Triton 3.6 makes kernels for Hopper that read outside memory (float32).
    BK = max(32, min(64, power_of_2(K)))
    grad_head[(grid.places, HV)](
        q, k, w.u, do, beta, ready.G, w.new, w.r, w.S, w.dS, dq, dk, dv, dg, dbeta, *grid,
        scale, N, q.stride(0), k.stride(0), w.u.stride(0), beta.stride(0), H, HV,
        K=K, V=V, GATE=gate, DELTA=delta, BK=BK, BV=_columns(V, q),
        PRECISION="tf32x3", num_warps=8, num_stages=1,
    )  # fmt: skip
    return dq, dk, dv, dg, dbeta


def _by_channel(given: _Given, ready: Ready, w: _Walked) -> tuple[Tensor, ...]:
    """The same, where every key channel decays by itself."""
    q, k, v, g, beta, do, _, delta, scale, grid = given
    (L, H, K), (HV, V), N = q.shape, v.shape[1:], grid.cu_seqlens.shape[0] - 1
    dq, dk = (q.new_empty(L, HV, K) for _ in range(2))
    dv = torch.empty_like(w.r, dtype=v.dtype) if delta else w.r
    dg, of_q, of_write = (torch.empty_like(dq, dtype=torch.float32) for _ in range(3))
    own, both = dg.new_empty(L, HV), dg.new_empty(grid.places, HV, K)
    of_read, of_new = (torch.empty_like(x) if delta else x for x in (of_q, own))
    dX = torch.empty_like(ready.P)
    dY = torch.empty_like(dX) if delta else dX
    through, sizes = (of_q, of_read, of_write, both, dX, dY, own), (*grid, scale, N)
    meta = {"K": K, "DELTA": delta, "PRECISION": "tf32x3", "num_warps": 4, "num_stages": 1}
    grad_states[(grid.places, HV)](
        w.u, do, beta, w.new, w.r, w.S, w.dS, dv, *through, of_new, *sizes,
        w.u.stride(0), beta.stride(0), HV,
        V=V, BK=max(16, min(64, power_of_2(K))), BV=_columns(V, q), **meta,
    )  # fmt: skip
    BK = max(16, min(32, power_of_2(K)))
    # What the channels of a block say, summed in the same order each time.
    of_beta = dg.new_empty(cdiv(K, BK), L, HV) if delta else dg
    for far in (False, True):
        grad_gates[(grid.places, HV, cdiv(K, BK))](
            q, k, g, beta, *through, dq, dk, dg, of_beta, ready.far, *sizes,
            q.stride(0), k.stride(0), g.stride(0), beta.stride(0), H, HV, L,
            FAR=far, BK=BK, **meta,
        )  # fmt: skip
    return dq, dk, dv, dg, of_new + of_beta.sum(0) if delta else of_new


def _walked(given: _Given, ready: Ready, state: Tensor | None, behind: Tensor) -> _Walked:
    """Along the chunks, forth and back."""
    _, _, v, _, strength, do, gate, delta, scale, grid = given
    (L, HV, V), K, N = v.shape, ready.q.shape[-1], grid.cu_seqlens.shape[0] - 1
    H, wide = ready.q.shape[1], power_of_2(K) > 128
    S, dS = (ready.q.new_empty(grid.places, HV, K, V) for _ in range(2))
    r = v.new_empty(L, HV, V, dtype=ready.q.dtype if delta else v.dtype)
    new, u = (torch.empty_like(r), torch.empty_like(r)) if delta else (v, v)
    before = torch.empty(N, HV, K, V, dtype=torch.float32, device=v.device)
    BK, BV = max(16, power_of_2(K)), _columns(V, ready.q)
    meta = {"K": K, "V": V, "GATE": gate, "DELTA": delta, "BK": BK, "BV": BV}
    meta |= {"PRECISION": "tf32x3", "num_warps": 8 if wide else 4, "num_stages": 1}
    rows, heads = (ready.q.stride(0), ready.k.stride(0)), (strength.stride(0), H, HV)
    states[(cdiv(V, BV), HV, N)](
        ready.k, ready.k_out, v, strength, ready.T, ready.G, new, u, S,
        before if state is None else state.contiguous(), grid.cu_seqlens, grid.first,
        rows[1], v.stride(0), *heads, int(state is not None), **meta,
    )  # fmt: skip
    slopes[(cdiv(V, BV), HV, N)](
        ready.q, ready.k, ready.k_out, do, strength, ready.P, ready.T, ready.G, r, dS,
        behind.contiguous(), before, grid.cu_seqlens, grid.first, scale, *rows, *heads, **meta,
    )  # fmt: skip
    return _Walked(S, new, u, dS, r, before)


def _of_key_heads(x: Tensor, H: int) -> Tensor:
    """[L, HV, K] -> [L, H, K]: what all value heads of a key head say."""
    return x if x.shape[1] == H else x.unflatten(1, (H, -1)).sum(2, dtype=torch.float32)


def _columns(V: int, like: Tensor) -> int:
    """Columns of V a block: 64 in half precision, as fewer were miscompiled (performance.md)."""
    return 64 if like.element_size() == 2 else max(16, min(64, power_of_2(V)))
