"""Decoding a mixer: from its columns to what its memories read, in two launches, top-k inside.

As in `step`, states lie in slots and change in place, and a negative slot is nobody's.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.choose import takes_triton
from mom_eval.kernels.gated_delta import too_wide
from mom_eval.kernels.gates import TimeStep, delta_gates
from mom_eval.kernels.late import Late, settle
from mom_eval.kernels.norm import l2_norm
from mom_eval.kernels.routing import Routes, route
from mom_eval.kernels.shapes import Axes
from mom_eval.kernels.step import gated_delta_step, short_conv_step


@dataclass(frozen=True)
class Routed:
    """Which memories of its slot each row reads and writes, and what these have seen."""

    logits: Tensor
    """[R, M] of the router, finite; the `top_k` largest are chosen, as `route` has it."""
    top_k: int
    slots: Tensor
    """[R] int64"""
    seen: Tensor
    """[S, M] int64, tokens of each memory before these, contiguous; or [S, M + 1], where the first
    memory is shared, and every token goes to it. `count_up` and `read_out_step` change it."""

    def check(self, axes: Axes) -> None:
        """Bind R, S, and M, the memories of a slot; ValueError on shapes that do not fit."""
        axes.check("logits", self.logits, "R routed")
        axes.check("slots", self.slots, "R")
        axes["M"] = axes["routed"] + self.shared
        axes.check("seen", self.seen, "S M")
        if not 1 <= self.top_k <= axes["routed"]:
            raise ValueError(f"top_k must be 1 to M = {axes['routed']}, but it is {self.top_k}")
        if not self.seen.is_contiguous():
            raise ValueError("seen must be contiguous, to be changed in place")

    @property
    def shared(self) -> bool:
        """Is there a memory that every token goes to?"""
        return self.seen.shape[-1] > self.logits.shape[-1]

    @cached_property
    def routes(self) -> Routes:
        """What is chosen."""
        return route(self.logits, self.top_k)

    @cached_property
    def entries(self) -> Tensor:
        """The entries of a slot's memories that are read: [R, k], or [R, k + 1], shared first."""
        return F.pad(self.routes.memories + 1, (1, 0)) if self.shared else self.routes.memories

    @cached_property
    def times(self) -> Tensor:
        """What those had seen before these tokens."""
        return self.seen[self.slots[:, None], self.entries]

    def places(self, writers: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of each row that is read its token, its entry of all states, and what that has seen.

        And of those sent, where their k and v are: with `writers` of their own, M a token. The rows
        of a shared memory come first.
        """
        entries, memories, shared = self.entries, self.routes.memories, self.shared
        token = torch.arange(len(entries), device=entries.device)[:, None]
        source = token * self.logits.shape[1] + memories if writers else token.expand_as(memories)
        # The memories of a slot that is nobody's are the last ones, as it is the last slot.
        rows = self.slots[:, None] * self.seen.shape[1] + entries
        token, rows, times = (
            torch.cat([x[:, 0], x[:, 1:].flatten()]) if shared else x.flatten()
            for x in (token.expand_as(entries), rows, self.times)
        )
        return token, rows, times, source.flatten()


def count_up(routed: Routed) -> None:
    """Count each row's token in the memories that it goes to."""
    # Rows that are nobody's count in the last slot, which is nobody's as well.
    routed.seen[routed.slots[:, None], routed.entries] = routed.times + 1


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
    late: Late | None = None,
    slots: Tensor | None = None,
    times: Tensor | None = None,
    g: Tensor | None,
    beta: Tensor | None,
    soft: TimeStep | None = None,
    bias: Tensor | None = None,
    activation: str | None = None,
    routed: Routed | None = None,
    own: Own | None = None,
) -> Tensor:
    """`short_conv` of q, k and v, unit vectors of q and k, and `gated_delta`, for one token a slot.

    On a GPU an ordinary launch, or a kernel that waits before it lets go, lies between this and
    what last changed slots, times or what lies in them: read early (docs/decisions/0015).

    Args:
        q: columns [R, H K], a row a slot.
        k: columns [R, H K]; of M memories with writers of their own [R M, H K], token-major.
        v: columns [R, HV V], or [R M, HV V].
        weight: of the convolution [2 H K + HV V, W].
        ring: [S, W, 2 H K + HV V], contiguous; with memories [S, M, ...]. Changed.
        state: [S, HV, K, V] float32, contiguous; with memories [S, M, ...]. Changed.
        late: what waits beside the states (`kernels.late`); none: no token does. Changed.
        slots: [R] int64; none with memories.
        times: [R] tokens that each row's slot had seen; none with memories.
        g: none, [R, HV] or [R, HV, K]; with writers of their own [R M, ...].
        beta: [R, HV] or none; with writers of their own [R M, HV].
        soft: g and beta are a and b of `delta_gates`, and this the rest that it takes.
        bias, activation: of the convolution.
        routed: the memories of the slots, which are not counted up; none: a slot has one.
        own: what each row writes to a memory that is shared, the first of the state.

    Returns:
        o [R, HV, V]; with memories, behind those of a shared one, [R k, HV, V], choice by choice.

    Raises:
        ValueError: on shapes that do not fit, naming the axis, or arguments that do not go
            together.
    """
    axes = _checked(q, k, v, weight, ring, state, slots, times, routed, own)
    _check_late(axes, late, g, routed is not None)
    _check_gates(axes, g, beta, soft, own, bias)
    slots = slots if routed is None else routed.slots
    assert slots is not None
    run, given = _in_torch, (v, q, k, weight, g, beta, state)
    if takes_triton("conv_delta_step", "auto", given, too_wide(axes["K"])):
        from mom_eval.kernels.mixer_step_triton import run_conv_delta_step as run
    return run(
        (q, k, v), weight, bias, ring, state, late, slots, times, (g, beta, soft), routed, own,
        activation,
    )  # fmt: skip


def _in_torch(
    columns: tuple[Tensor, Tensor, Tensor],
    weight: Tensor,
    bias: Tensor | None,
    ring: Tensor,
    state: Tensor,
    late: Late | None,
    slots: Tensor,
    times: Tensor | None,
    gates: tuple[Tensor | None, Tensor | None, TimeStep | None],
    routed: Routed | None,
    own: Own | None,
    activation: str | None,
) -> Tensor:
    """`conv_delta_step` of what it has checked; columns are q, k and v, gates g, beta and soft."""
    q, k, v = columns
    (g, beta, soft), (HV, K) = gates, state.shape[-3:-1]
    if soft is not None and g is not None and beta is not None:
        g, beta = delta_gates(g, beta, soft)
        if own is not None and own.g is not None and own.beta is not None:
            mine = delta_gates(own.g, own.beta, soft)
            own = own._replace(g=mine[0], beta=mine[1])
    token = source = torch.arange(len(slots), device=slots.device)
    rows = slots
    if routed is not None:
        token, rows, times, source = routed.places(len(k) != len(q))
        ring, state = ring.flatten(0, 1), state.flatten(0, 1)
        late = None if late is None else late.flat()
    assert times is not None
    if late is not None:
        settle(state, late, rows, times)
    k, v, g, beta = _behind_own(own, k[source], v[source], g, beta, source)
    x = short_conv_step(
        torch.cat([q[token], k, v], -1), weight, ring=ring, times=times, slots=rows, bias=bias,
        activation=activation,
    )  # fmt: skip
    y, v = x.split([2 * q.shape[1], v.shape[1]], -1)
    q, k = l2_norm(y.unflatten(-1, (-1, K))).chunk(2, 1)
    v = v.unflatten(-1, (HV, -1))
    return gated_delta_step(q, k, v, g=g, beta=beta, state=state, slots=rows)


def _behind_own(
    own: Own | None,
    k: Tensor,
    v: Tensor,
    g: Tensor | None,
    beta: Tensor | None,
    source: Tensor,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """What is written to a shared memory, and behind it what is written to others."""
    g, beta = (None if gate is None else gate[source] for gate in (g, beta))
    if own is None:
        return k, v, g, beta
    g, beta = (
        None if mine is None or gate is None else torch.cat([mine, gate])
        for mine, gate in ((own.g, g), (own.beta, beta))
    )
    return torch.cat([own.k, k]), torch.cat([own.v, v]), g, beta


def _checked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    weight: Tensor,
    ring: Tensor,
    state: Tensor,
    slots: Tensor | None,
    times: Tensor | None,
    routed: Routed | None,
    own: Own | None,
) -> Axes:
    axes = Axes(C=2 * q.shape[1] + v.shape[1])
    if (routed is None) != (slots is not None and times is not None):
        raise ValueError("slots and times are of slots with one memory: give them, or routed")
    if routed is not None:
        routed.check(axes)
    for name, tensor, names in (
        ("weight", weight, "C W"),
        ("ring", ring, "S W C" if routed is None else "S M W C"),
        ("state", state, "S HV K V" if routed is None else "S M HV K V"),
        ("slots", slots, "R"),
        ("times", times, "R"),
        ("q", q, "R HK"),
        ("k", k, "RM HK"),
        ("v", v, "RM HVV"),
    ):
        if tensor is not None:
            axes.check(name, tensor, names)
    if axes["RM"] not in (axes["R"], axes["R"] * axes.get("routed", 1)):
        raise ValueError(f"k and v have {axes['RM']} rows for {axes['R']} tokens")
    if (own is None) == (routed is not None and routed.shared):
        raise ValueError("own is what is written to a shared memory: give it if there is one")
    if not (ring.is_contiguous() and state.is_contiguous()):
        raise ValueError("ring and state must be contiguous, to be changed in place")
    return axes


def _check_late(axes: Axes, late: Late | None, g: Tensor | None, memories: bool) -> None:
    if late is None:
        return
    axes["H"] = axes["HK"] // axes["K"]
    late.check(axes, memories)
    if g is not None and (late.g is None or late.g.ndim - memories - 1 != g.ndim):
        raise ValueError("decays wait beside the states too: late.g must be of the form of g")


def _check_gates(
    axes: Axes,
    g: Tensor | None,
    beta: Tensor | None,
    soft: TimeStep | None,
    own: Own | None,
    bias: Tensor | None,
) -> None:
    parts = (None,) * 4 if own is None else own
    for name, tensor, names in (
        ("bias", bias, "C"),
        ("g", g, "RM HV" if g is None or g.ndim == 2 else "RM HV K"),
        ("beta", beta, "RM HV"),
        ("own.k", parts[0], "R HK"),
        ("own.v", parts[1], "R HVV"),
        ("own.g", parts[2], "R HV" if g is None or g.ndim == 2 else "R HV K"),
        ("own.beta", parts[3], "R HV"),
        ("soft.A_log", soft and soft.A_log, "HV"),
        ("soft.dt_bias", soft and soft.dt_bias, "HV"),
    ):
        if tensor is not None:
            axes.check(name, tensor, names)
    if soft is not None and (g is None or beta is None or g.ndim != 2):
        raise ValueError("soft is what makes g and beta of columns [R, HV]: give both")
    if own is not None and ((own.g is None) != (g is None) or (own.beta is None) != (beta is None)):
        raise ValueError("a shared memory has the gates of the others: give own all or none")
