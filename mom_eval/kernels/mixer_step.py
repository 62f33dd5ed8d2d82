"""Decoding a mixer in two launches: the router, and everything from its columns to its reads.

As in `step`, states lie in slots and change in place, and a negative slot is nobody's.
"""

import torch
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
        seen: [S, M] int64, tokens of each memory before this one, contiguous. Counted up.

    Returns:
        The routes, and what the chosen memories had seen [R, k].

    Raises:
        ValueError: on shapes that do not fit, naming the axis, and where `route` does.
    """
    axes = Axes(k=top_k)
    axes.check("x", x, "R D")
    axes.check("weight", weight, "M D")
    axes.check("slots", slots, "R")
    axes.check("seen", seen, "S M")
    if 1 <= top_k <= axes["M"] and takes_triton("router_step", "auto", (x, weight)):
        from mom_eval.kernels.routing_triton import run_router

        return run_router(x, weight, top_k, slots, seen)
    routes = router(x, weight, top_k)
    at = (slots[:, None], routes.memories)
    times = seen[at]
    seen[at] = times + 1
    return routes, times


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
        times: tokens that each row's slot, or chosen memories, had seen: [R] or [R, k].
        g: none, [R, HV] or [R, HV, K]; with writers of their own [R M, ...].
        beta: [R, HV] or none; with writers of their own [R M, HV].
        bias: of the convolution.
        activation: of the convolution, "silu" or none.
        memories: [R, k] int64, the memories that each row reads and writes; none: the slot's only.

    Returns:
        o [R, HV, V], or [R k, HV, V], row r's choices one after another.

    Raises:
        ValueError: on shapes that do not fit, naming the axis.
    """
    axes = _checked(q, k, v, weight, ring, state, slots, times, memories)
    given = (v, q, k, weight, g, beta, state)
    if takes_triton("conv_delta_step", "auto", given, too_wide(axes["K"])):
        from mom_eval.kernels.mixer_step_triton import run_conv_delta_step

        return run_conv_delta_step(
            (q, k, v), weight, bias, ring, state, slots, times, g, beta, memories, activation
        )
    token, source, rows = _places(slots, memories, axes, len(k) != len(q))
    if memories is not None:
        ring, state = ring.flatten(0, 1), state.flatten(0, 1)
    x = torch.cat([q[token], k[source], v[source]], -1)
    x = short_conv_step(
        x, weight, ring=ring, times=times.flatten(), slots=rows, bias=bias, activation=activation
    )
    y, v = x.split([2 * q.shape[1], v.shape[1]], -1)
    q, k = l2_norm(y.unflatten(-1, (-1, axes["K"]))).chunk(2, 1)
    g, beta = (None if gate is None else gate[source] for gate in (g, beta))
    v = v.unflatten(-1, (axes["HV"], -1))
    return gated_delta_step(q, k, v, g=g, beta=beta, state=state, slots=rows)


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
) -> Axes:
    lead = "S" if memories is None else "S M"
    axes = Axes(C=2 * q.shape[1] + v.shape[1])
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
    if axes["RM"] not in (axes["R"], axes["R"] * axes.get("M", 1)):
        raise ValueError(f"k and v have {axes['RM']} rows for {axes['R']} tokens")
    if not (ring.is_contiguous() and state.is_contiguous()):
        raise ValueError("ring and state must be contiguous, to be changed in place")
    return axes


def _places(
    slots: Tensor, memories: Tensor | None, axes: Axes, own: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row that is read: its token, its row of k and v, and its entry of all states."""
    token = torch.arange(len(slots), device=slots.device)
    if memories is None:
        return token, token, slots
    source = token[:, None] * axes["M"] + memories if own else token[:, None].expand_as(memories)
    # The memories of a slot that is nobody's are the last ones, as it is the last slot.
    rows = slots[:, None] * axes["M"] + memories
    token = token[:, None].expand_as(memories)
    return token.flatten(), source.flatten(), rows.flatten()
