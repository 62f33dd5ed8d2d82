"""`gated_delta` in torch: the recurrent form, the truth, and the chunked one, which is fast.

Both take what `gated_delta` has checked: q, k [L, H, K] and v [L, H, V] with a q and a k for each
value head, g [L, 1 or H, 1 or K], beta None or [L, H, 1], state [N, H, K, V], all of one type, and
the bounds of the segments as numbers of the host.
"""

from itertools import pairwise

import torch
from torch import Tensor

from mom_eval.kernels.chunks import Chunks, halves, halvings


def recurrent(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    beta: Tensor | None,
    scale: float,
    state: Tensor,
    bounds: list[int],
) -> tuple[Tensor, Tensor]:
    """The four lines, token by token: (o [L, H, V], states [N, H, K, V]).

    Products and sums instead of a matrix product: BLAS picks its kernel by shape and alignment,
    while these give the same bits however a sequence is cut into calls and whatever stands beside
    it.
    """
    o, states = [], []
    for n, (start, end) in enumerate(pairwise(bounds)):
        S = state[n]
        for t in range(start, end):
            q_t, k_t, v_t = q[t, :, :, None], k[t, :, :, None], v[t]
            S = g[t, :, :, None].exp() * S
            u = v_t if beta is None else beta[t] * (v_t - (S * k_t).sum(1))
            S = S + k_t * u[:, None]
            o.append(scale * (S * q_t).sum(1))
        states.append(S)
    return torch.stack(o) if o else torch.zeros_like(v), torch.stack(states)


def chunked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    beta: Tensor | None,
    scale: float,
    state: Tensor,
    bounds: list[int],
) -> tuple[Tensor, Tensor]:
    """The same by chunks of up to 64 tokens: (o [L, H, V], states [N, H, K, V]).

    With G the running sum of g in a chunk, and S the state before it, the writes u of the chunk
    solve a triangular system (Yang et al., arXiv 2406.06484, section 3; decay as in 2412.06464,
    section 3.3), and reads and the next state are matrix products:

        u = T (v - (k e^G) S)    T = (I + diag(beta) A)^-1 diag(beta);  without delta: u = v
        o = (q e^G) S + P u      P_ij = q_i e^(Gi - Gj) k_j for j <= i;  A the same of k, j < i
        S = e^(Gc) S + (k e^(Gc - G))^T u

    P and T are made for all chunks at once, then one loop runs over the steps, all segments and
    heads in each. No exponent is positive. G is summed in float64, since at -50 a token a sum of
    64 has 3e-4 of rounding in float32. Memory is linear in L: the backward keeps one S a chunk.
    """
    chunks = Chunks(bounds, v.device)
    q, k, v = (chunks.split(x) for x in (scale * q, k, v))
    G = chunks.split(g.double()).cumsum(-2)
    G_end, decay = G[..., -1:, :], _exp(G, v)
    prepared = [v, q * decay, k * _exp(G_end - G, v), _exp(G_end, v).mT]
    if beta is None:
        prepared += [_scores(q, k, G)]
    else:
        P, A = _scores(torch.stack([q, k]), k, G).unbind()
        prepared += [P, k * decay, _solution(A, chunks.split(beta))]

    S, o, ended = chunks.first(state), [], []
    for u, q_in, k_out, decay, P, *delta in chunks.steps(*prepared):
        S, done = S.split([len(u), len(S) - len(u)])
        ended.append(done)
        if delta:
            k_in, T = delta
            u = T @ (u - k_in @ S)
        o.append(q_in @ S + P @ u)
        S = decay * S + k_out.mT @ u
    return chunks.join(torch.cat(o) if o else v), chunks.last([*ended, S])


def _exp(x: Tensor, like: Tensor) -> Tensor:
    """The exponential of a float64 sum of gates, in the type of `like`."""
    return x.to(like.dtype).exp()


def _solution(A: Tensor, beta: Tensor) -> Tensor:
    """T = (I + diag(beta) tril(A, -1))^-1 diag(beta), from [..., C, C] and [..., C, 1]."""
    write = torch.diag_embed(beta.squeeze(-1))
    return torch.linalg.solve_triangular(
        (beta * A).tril(-1), write, upper=False, unitriangular=True
    )


def _scores(x: Tensor, k: Tensor, G: Tensor) -> Tensor:
    """The sum over d of x_id e^(G_id - G_jd) k_jd for j <= i, else 0: [..., C, C]."""
    if G.shape[-1] > 1:
        return _channel_scores(x, k, G)
    later = torch.ones(G.shape[-2], G.shape[-2], dtype=torch.bool, device=G.device).triu(1)
    return x @ k.mT * _exp((G - G.mT).masked_fill(later, -torch.inf), k)


def _channel_scores(x: Tensor, k: Tensor, G: Tensor) -> Tensor:
    """`_scores` where the decay differs by channel, by halving: see `halvings`."""
    size = k.shape[-2]
    scores = (x * k).sum(-1)[..., None, None]
    for s in halvings(size):
        (G_0, G_1), k_0, x_1 = halves(G, s), halves(k, s)[0], halves(x, s)[1]
        G_m = G_0[..., -1:, :]
        below = (x_1 * _exp(G_1 - G_m, k)) @ (k_0 * _exp(G_m - G_0, k)).mT
        # The blocks so far are the diagonal of the next, twice as large.
        first, second = scores.unflatten(-3, (-1, 2)).unbind(-3)
        top = torch.cat([first, torch.zeros_like(first)], dim=-1)
        scores = torch.cat([top, torch.cat([below, second], dim=-1)], dim=-2)
    return scores.squeeze(-3)
