"""Losses that keep a router balanced, and what analysis asks of its choices.

All take `Output.routing`: layer -> `Routes` of the L tokens of a call. Gradients flow through the
probabilities and the logits, not through the choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mom_eval.kernels import Routes

NEAR = 1e-2
"""Two probabilities closer than this are a near tie: bfloat16 may order them either way."""


def load_balance(routing: Mapping[int, Routes], *, by_layer: bool = False) -> Tensor:
    """M sum_m f_m P_m (Switch Transformer, arXiv 2101.03961, eq. 4-6), a scalar.

    f_m is the number of choices of memory m a token, P_m its mean probability; top-k where both are
    even. As in the published MoM the tokens of all layers are pooled, which lets one layer make up
    for another; `by_layer` takes the mean over layers instead.

    Raises:
        ValueError: nothing was routed.
    """
    _check(routing)
    shares = [_share(routes) for routes in routing.values()]
    means = [routes.probabilities.mean(0) for routes in routing.values()]
    f, P = torch.stack(shares), torch.stack(means)
    if not by_layer:
        f, P = f.mean(0, keepdim=True), P.mean(0, keepdim=True)
    return f.shape[-1] * (f * P).sum(-1).mean()


def z_loss(routing: Mapping[int, Routes]) -> Tensor:
    """Mean (logsumexp of the router's logits)^2 (ST-MoE, arXiv 2202.08906, eq. 5), a scalar.

    Raises:
        ValueError: nothing was routed.
    """
    _check(routing)
    logits = torch.stack([routes.logits.float() for routes in routing.values()])
    return logits.logsumexp(-1).square().mean()


@dataclass(frozen=True)
class RoutingStatistics:
    """How one layer routed."""

    share: list[float]
    """Of all choices, by memory; sums to 1."""
    entropy: float
    """Of the shares, in bits; log2 M where all memories are used alike."""
    probability: float
    """Mean probability of the chosen memories, among all M; 1 / M where the router is undecided."""
    weight: float
    """Mean weight of a token's first choice, 1 / top-k to 1."""
    near_ties: float
    """Share of tokens whose last choice beat the next memory by less than 0.01."""


def routing_statistics(routing: Mapping[int, Routes]) -> dict[int, RoutingStatistics]:
    """Layer -> how its tokens were routed.

    Raises:
        ValueError: nothing was routed.
    """
    _check(routing)
    return {layer: _statistics(routes) for layer, routes in routing.items()}


def _check(routing: Mapping[int, Routes]) -> None:
    if not any(len(routes.memories) for routes in routing.values()):
        raise ValueError("nothing was routed: no layer has a router, or the call had no tokens")


def _share(routes: Routes) -> Tensor:
    """[M] choices of each memory a token; compared, since counting bins waits for a GPU."""
    memories = torch.arange(routes.probabilities.shape[1], device=routes.memories.device)
    return (routes.memories[..., None] == memories).sum(1).float().mean(0)


def _statistics(routes: Routes) -> RoutingStatistics:
    top_k, num_memories = routes.memories.shape[1], routes.probabilities.shape[1]
    share = _share(routes) / top_k
    used = share[share > 0]
    near = 0.0
    if top_k < num_memories:
        ordered = routes.probabilities.sort(-1, descending=True).values
        near = float((ordered[:, top_k - 1] - ordered[:, top_k] < NEAR).float().mean())
    return RoutingStatistics(
        share=share.tolist(),
        entropy=float(-(used * used.log2()).sum()),
        probability=float(routes.probabilities.gather(1, routes.memories).mean()),
        weight=float(routes.weights.max(-1).values.mean()),
        near_ties=near,
    )
