"""Tokens [B, T] through a model of ours: in calls as large as the engine's, or as a loss."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mom_eval.kernels import Routes
from mom_eval.models import LM, Output, State


def read(
    lm: LM,
    tokens: Tensor,
    state: State | None = None,
    *,
    routes: dict[int, Tensor] | None = None,
    every: bool = False,
) -> Output:
    """Read [B, T] in one packed call; logits of `every` token, or behind each sequence."""
    batch, length = tokens.shape
    ends = torch.arange(batch + 1, device=tokens.device) * length
    at = torch.arange(batch * length, device=tokens.device) if every else None
    return lm(tokens.flatten(), ends, state, at=at, routes=routes)


def loss(
    lm: LM, tokens: Tensor, *, routes: dict[int, Tensor] | None = None
) -> tuple[Tensor, dict[int, Routes]]:
    """Mean nats of each sequence's tokens [B, T] but its first, in one packed call; the routing."""
    batch, length = tokens.shape
    places = torch.arange(batch * length, device=tokens.device).view_as(tokens)
    ends = torch.arange(batch + 1, device=tokens.device) * length
    at, labels = places[:, :-1].flatten(), tokens[:, 1:].flatten()
    nats, routing = lm.nats(tokens.flatten(), ends, at=at, labels=labels, routes=routes)
    return nats / len(labels), routing


def groups(tokens: Tensor, room: int) -> Sequence[Tensor]:
    """[B, T] -> as many sequences a call as have `room` tokens together, one at least."""
    return tokens.split(max(1, room // tokens.shape[1]))


def prefill(lm: LM, tokens: Tensor, room: int) -> list[Output]:
    """Read [B, T], the logits behind each sequence's last token; at most `room` tokens a call.

    A sequence that is longer by itself is read in parts, with its state carried along.
    """
    out = []
    for some in groups(tokens, room):
        first, *others = some.split(room, dim=1)
        found = read(lm, first)
        for part in others:
            found = read(lm, part, found.state)
        out.append(found)
    return out
