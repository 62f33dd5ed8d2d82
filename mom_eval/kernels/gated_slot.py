"""The first pass of gated slot attention, GSA (Zhang et al., arXiv 2409.07146, equations 8 to 10).

    S <- S * exp(g)^T      each of the M slots decays on its own: the decay is on the value side
    S <- S + k s^T         S: [K, M], float32
    o  = scale * S^T q

GSA reads twice: p = softmax(o) over the slots, then `gated_delta` with q = p, k = s, the values v,
the same g, which is on its key side there, and scale 1.
"""

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from mom_eval.kernels.choose import takes_triton
from mom_eval.kernels.chunks import Chunks, halves, halvings
from mom_eval.kernels.shapes import (
    Axes,
    checked_segments,
    checked_state,
    chosen,
    compute_dtype,
    segment_bounds,
)

NO_KERNEL: Final = "there is none yet"


def gated_slot(
    q: Tensor,
    k: Tensor,
    s: Tensor,
    *,
    g: Tensor,
    scale: float = 1.0,
    state: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    impl: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Run the recurrence over every segment of a packed stream.

    Args:
        q: queries [L, H, K].
        k: keys [L, H, K].
        s: what is written to each slot [L, H, M]; GSA: 1 - exp(g).
        g: natural logarithm of the decay of each slot [L, H, M], finite and at most 0.
        scale: of the output.
        state: [N, H, K, M] before the first token, zero unless told; float64 where s is float64,
            else float32.
        cu_seqlens: [N + 1] int64 ends of the segments, one segment unless told; they may be empty.
        impl: "recurrent" is the truth, "chunked" is fast, "auto" is chunked.

    Returns:
        The reads o [L, H, M] in the type of s, and the states after the last tokens [N, H, K, M].

    Raises:
        ValueError: on shapes that do not fit, naming the axis, or on an unknown `impl`.
        SettingError: a Triton kernel is asked for; there is none.
    """
    segments = checked_segments(cu_seqlens, len(q), q.device)
    axes = Axes(N=len(segments) - 1)
    axes.check("q", q, "L H K")
    axes.check("k", k, "L H K")
    axes.check("s", s, "L H M")
    axes.check("g", g, "L H M")
    state = checked_state(state, axes, "N H K M", s)
    takes_triton("gated_slot", impl, (s, q, k, g, state), NO_KERNEL)
    dtype, bounds = compute_dtype(s), segment_bounds(segments, len(s))
    run = chosen("impl", impl, IMPLEMENTATIONS)
    o, state = run(q.to(dtype), k.to(dtype), s.to(dtype), g.to(dtype), scale, state, bounds)
    return o.to(s.dtype), state


def _recurrent(
    q: Tensor, k: Tensor, s: Tensor, g: Tensor, scale: float, state: Tensor, bounds: list[int]
) -> tuple[Tensor, Tensor]:
    """Token by token, by products and sums for the sake of equal bits (see `gated_delta_torch`)."""
    o, states = [], []
    for n, (start, end) in enumerate(pairwise(bounds)):
        S = state[n]
        for t in range(start, end):
            S = S * g[t, :, None].exp()
            S = S + k[t, :, :, None] * s[t, :, None]
            o.append(scale * (S * q[t, :, :, None]).sum(1))
        states.append(S)
    return torch.stack(o) if o else torch.zeros_like(s), torch.stack(states)


def _chunked(
    q: Tensor, k: Tensor, s: Tensor, g: Tensor, scale: float, state: Tensor, bounds: list[int]
) -> tuple[Tensor, Tensor]:
    """The same by chunks: G the running sum of g in one, in float64, S the state before it.

    o = (q S) * e^G + sum over j <= i of (q_i k_j) s_j e^(Gi - Gj)
    S = S * e^Gc + k^T (s e^(Gc - G))
    """
    chunks = Chunks(bounds, s.device)
    q, k, s = (chunks.split(x) for x in (scale * q, k, s))
    G = chunks.split(g.double()).cumsum(-2)
    G_end = G[..., -1:, :]
    within = _within(q, k, s, G)
    decay_in, decay = G.to(s.dtype).exp(), G_end.to(s.dtype).exp()
    s_out = s * (G_end - G).to(s.dtype).exp()

    S, o, ended = chunks.first(state), [], []
    prepared = (q, k, s_out, decay_in, decay, within)
    for q_c, k_c, s_out, decay_in, decay, within in chunks.steps(*prepared):
        S, done = S.split([len(q_c), len(S) - len(q_c)])
        ended.append(done)
        o.append(q_c @ S * decay_in + within)
        S = S * decay + k_c.mT @ s_out
    return chunks.join(torch.cat(o) if o else s), chunks.last([*ended, S])


def _within(q: Tensor, k: Tensor, s: Tensor, G: Tensor) -> Tensor:
    """What a chunk reads of its own writes, [..., C, M], by halving: see `halvings`."""
    o = (q * k).sum(-1, keepdim=True) * s
    for size in halvings(q.shape[-2]):
        (G_0, G_1), (s_0, _), (k_0, _), (_, q_1) = (halves(x, size) for x in (G, s, k, q))
        G_m = G_0[..., -1:, :]
        write = s_0 * (G_m - G_0).to(s.dtype).exp()
        read = (q_1 @ k_0.mT) @ write * (G_1 - G_m).to(s.dtype).exp()
        o = o + torch.stack([torch.zeros_like(read), read], dim=-3).flatten(-4, -2)
    return o


IMPLEMENTATIONS: Final = {"auto": _chunked, "chunked": _chunked, "recurrent": _recurrent}
