"""Decoding a mixer in two launches: the router, and everything from its columns to its reads.

As in `step`, states lie in slots and change in place, and a negative slot is nobody's.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.choose import takes_triton
from mom_eval.kernels.gated_delta import too_wide
from mom_eval.kernels.norm import l2_norm
from mom_eval.kernels.routing import Routes, router
from mom_eval.kernels.shapes import Axes
from mom_eval.kernels.step import gated_delta_step, short_conv_step


def router_step(
    x: Tensor, weight: Tensor, top_k: int, *, slots: Tensor, seen: Tensor
) -> tuple[Routes, Tensor]:
    """`router` for one token a slot.

    Args:
        x: [R, D].
        weight: [M, D].
        top_k: memories a token.
        slots: [R] int64.
        seen: [S, M] int64, tokens of each memory before this one, contiguous; or [S, M + 1], where
            the first memory is shared, and every token goes to it. Counted up.

    Returns:
        The routes, and what the memories had seen that are read: [R, k], or [R, k + 1].

    Raises:
        ValueError: on shapes that do not fit, naming the axis, where `seen` is not contiguous, and
            where `route` does.
    """
    axes = Axes(k=top_k)
    axes.check("x", x, "R D")
    axes.check("weight", weight, "M D")
    axes.check("slots", slots, "R")
    shared = seen.shape[-1] == axes["M"] + 1
    Axes(**{"M": axes["M"] + shared}).check("seen", seen, "S M")
    if not seen.is_contiguous():
        raise ValueError("seen must be contiguous, to be changed in place")
    if 1 <= top_k <= axes["M"] and takes_triton("router_step", "auto", (x, weight)):
        from mom_eval.kernels.routing_triton import run_router

        return run_router(x, weight, top_k, slots, seen)
    routes = router(x, weight, top_k)
    at = (slots[:, None], entries(routes.memories, shared))
    times = seen[at]
    seen[at] = times + 1
    return routes, times


def entries(memories: Tensor, shared: bool) -> Tensor:
    """The chosen memories [R, k] among all; where one is shared, it is the first: [R, k + 1]."""
    return F.pad(memories + 1, (1, 0)) if shared else memories


class Own(NamedTuple):
    """What is written to a shared memory, a row a slot."""

    k: Tensor
    """[R, H K]"""
    v: Tensor
    """[R, HV V]"""
    g: Tensor | None
    """none, [R, HV] or [R, HV, K]"""
    beta: Tensor | None
    """[R, HV] or none"""


def conv_delta_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    weight: Tensor,
    *,
    ring: Tensor,
    state: Tensor,
    slots: Tensor,
    times: Tensor,
    g: Tensor | None,
    beta: Tensor | None,
    bias: Tensor | None = None,
    activation: str | None = None,
    memories: Tensor | None = None,
    own: Own | None = None,
) -> Tensor:
    """`short_conv` of q, k and v, unit vectors of q and k, and `gated_delta`, for one token a slot.

    Args:
        q: columns [R, H K], a row a slot.
        k: columns [R, H K]; of M memories with writers of their own [R M, H K], token-major.
        v: columns [R, HV V], or [R M, HV V].
        weight: of the convolution [2 H K + HV V, W].
        ring: [S, W, 2 H K + HV V], contiguous; with memories [S, M, ...]. Changed.
        state: [S, HV, K, V] float32, contiguous; with memories [S, M, ...]. Changed.
        slots: [R] int64.
        times: tokens that each row's slot, or memories, had seen: [R], [R, k] or [R, k + 1].
        g: none, [R, HV] or [R, HV, K]; with writers of their own [R M, ...].
        beta: [R, HV] or none; with writers of their own [R M, HV].
        bias, activation: of the convolution.
        memories: [R, k] int64, the memories that each row reads and writes; none: the slot's only.
        own: with memories, what each row writes to one that is shared, the first of the state.

    Returns:
        o [R, HV, V]; with memories, behind those of a shared one, [R k, HV, V], choice by choice.

    Raises:
        ValueError: on shapes that do not fit, naming the axis.
    """
    axes = _checked(q, k, v, weight, ring, state, slots, times, memories, own)
    given = (v, q, k, weight, g, beta, state)
    if takes_triton("conv_delta_step", "auto", given, too_wide(axes["K"])):
        from mom_eval.kernels.mixer_step_triton import run_conv_delta_step

        return run_conv_delta_step(
            (q, k, v), weight, bias, ring, state, slots, times, g, beta, memories, own, activation
        )
    token, source, rows = _places(slots, memories, axes, len(k) != len(q), own is not None)
    if memories is not None:
        ring, state = ring.flatten(0, 1), state.flatten(0, 1)
    k, v, g, beta, times = _behind_own(own, k[source], v[source], g, beta, source, times)
    x = short_conv_step(
        torch.cat([q[token], k, v], -1), weight, ring=ring, times=times, slots=rows, bias=bias,
        activation=activation,
    )  # fmt: skip
    y, v = x.split([2 * q.shape[1], v.shape[1]], -1)
    q, k = l2_norm(y.unflatten(-1, (-1, axes["K"]))).chunk(2, 1)
    v = v.unflatten(-1, (axes["HV"], -1))
    return gated_delta_step(q, k, v, g=g, beta=beta, state=state, slots=rows)


def _behind_own(
    own: Own | None,
    k: Tensor,
    v: Tensor,
    g: Tensor | None,
    beta: Tensor | None,
    source: Tensor,
    times: Tensor,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor]:
    """What is written to a shared memory, behind it what is written to others; and the times."""
    g, beta = (None if gate is None else gate[source] for gate in (g, beta))
    if own is None:
        return k, v, g, beta, times.flatten()
    g, beta = (
        None if mine is None or gate is None else torch.cat([mine, gate])
        for mine, gate in ((own.g, g), (own.beta, beta))
    )
    times = torch.cat([times[:, 0], times[:, 1:].flatten()])
    return torch.cat([own.k, k]), torch.cat([own.v, v]), g, beta, times


def _checked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    weight: Tensor,
    ring: Tensor,
    state: Tensor,
    slots: Tensor,
    times: Tensor,
    memories: Tensor | None,
    own: Own | None,
) -> Axes:
    lead = "S" if memories is None else "S M"
    axes = Axes(C=2 * q.shape[1] + v.shape[1])
    if memories is not None:
        axes["k"] = memories.shape[1] + (own is not None)
    for name, tensor, names in (
        ("weight", weight, "C W"),
        ("ring", ring, f"{lead} W C"),
        ("state", state, f"{lead} HV K V"),
        ("slots", slots, "R"),
        ("times", times, "R" if memories is None else "R k"),
        ("q", q, "R HK"),
        ("k", k, "RM HK"),
        ("v", v, "RM HVV"),
    ):
        axes.check(name, tensor, names)
    if axes["RM"] not in (axes["R"], axes["R"] * (axes.get("M", 1) - (own is not None))):
        raise ValueError(f"k and v have {axes['RM']} rows for {axes['R']} tokens")
    if not (ring.is_contiguous() and state.is_contiguous()):
        raise ValueError("ring and state must be contiguous, to be changed in place")
    return axes


def _places(
    slots: Tensor, memories: Tensor | None, axes: Axes, writers: bool, shared: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row that is read its token and its entry of all states; of those sent, its k and v.

    The rows of a shared memory come first.
    """
    token = torch.arange(len(slots), device=slots.device)
    if memories is None:
        return token, token, slots
    chosen = token[:, None].expand_as(memories)
    source = chosen * (axes["M"] - shared) + memories if writers else chosen
    # The memories of a slot that is nobody's are the last ones, as it is the last slot.
    rows = (slots[:, None] * axes["M"] + memories + shared).flatten()
    chosen = chosen.flatten()
    if shared:
        chosen, rows = torch.cat([token, chosen]), torch.cat([slots * axes["M"], rows])
    return chosen, source.flatten(), rows
