"""The mixer: one reader, M writers, a router and a read-out (MoM, arXiv 2502.13685).

    p       = softmax(x W_r)                      float32, over all M memories
    T, w    = top-k of p, p_T / sum p_T
    o_t     = sum_{m in T} w_m read_m(x_t)  [+ read_shared(x_t)]
    y       = read_out(o) W_o

`read_m` is a family's recurrence over the tokens routed to memory m, in time order. One memory that
every token reads and writes, with weight 1 and no router, is the plain family (M = 1); the same
memory beside routed ones is MoM's shared memory. The query, the convolution, the decay's
parameters, output gate and norm are common to all memories; key, value and gate projections are
each memory's own, unless `common_kv`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mom_eval.kernels import (
    Joined,
    Late,
    Own,
    Part,
    Routed,
    Routes,
    Rows,
    Taken,
    chunk_grid,
    combine,
    combine_norm,
    conv_delta_step,
    count_up,
    dispatch,
    few_linear,
    read_out_step,
    router,
    short_conv,
    short_conv_step,
    take,
    whole,
)
from mom_eval.models.columns import Columns
from mom_eval.models.conv import ShortConv
from mom_eval.models.family import Family, RMSNorm, Stream

ROUTED = "memories."
"""Prefix of the weights of routed memories."""
LATE = ("late_k", "late_u", "late_g")
"""Names of what waits beside the states of slots (`kernels.late`)."""


def late_of(state: Mapping[str, Tensor]) -> Late | None:
    """What waits beside a layer's states, if anything can."""
    k, u, g = (state.get(name) for name in LATE)
    return None if k is None or u is None else Late(k, u, g)


@dataclass(frozen=True, kw_only=True)
class Memories:
    """How many memories, and what they share."""

    num_memories: int
    top_k: int
    shared: bool = False
    """One more memory that every token reads and writes, with weight 1."""
    common_kv: bool = False
    """One set of key, value and gate projections for all memories."""

    def __post_init__(self) -> None:
        """Refuse a top-k beyond the memories."""
        if not 1 <= self.top_k <= self.num_memories:
            raise ValueError(f"top_k {self.top_k} of {self.num_memories} memories")


class Mixer(nn.Module):
    """A family over one memory, or over M routed ones."""

    def __init__(self, family: Family, hidden: int, memories: Memories | None = None) -> None:
        """`memories` None: the plain family."""
        super().__init__()
        self.family, self.memories = family, memories
        own = memories is None or memories.shared or memories.common_kv
        # One product makes all that no router sends anywhere.
        self.columns = Columns(
            hidden, family.reader | family.readout | (family.writer if own else {})
        )
        self.router = self.writers = None
        if memories is not None:
            self.router = nn.Linear(hidden, memories.num_memories, bias=False)
            if not memories.common_kv:
                self.writers = Columns(hidden, family.writer, groups=memories.num_memories)
        columns = family.reader | family.writer
        widths = {name: columns[name].width for name in family.conv}
        self.conv = ShortConv(widths, family.conv_size, family.conv_bias) if widths else None
        self.out = nn.Linear(family.value_width, hidden, bias=family.out_bias)

    @property
    def shared(self) -> bool:
        """Is there a memory that every token reads and writes?"""
        return self.memories is None or self.memories.shared

    @property
    def _kept(self) -> list[str]:
        """Names of what is kept of a memory, but for what it has seen."""
        return [*self.family.state, *([] if self.conv is None else ["ring"])]

    def empty_state(self, sequences: int) -> dict[str, Tensor]:
        """What the mixer keeps of sequences that it has read nothing of.

        Of several memories [N, M, ...], the shared one first, and how many tokens each has seen.
        They lie memory after memory, as their segments do: so no call copies them to begin with.
        """
        if self.memories is None:
            return self._empty(sequences)
        M = self.memories.num_memories + self.memories.shared
        out = self._empty(M * sequences)
        out["seen"] = torch.zeros(M * sequences, dtype=torch.int64, device=self.out.weight.device)
        return {name: x.unflatten(0, (M, sequences)).transpose(0, 1) for name, x in out.items()}

    def _empty(self, segments: int) -> dict[str, Tensor]:
        like = self.out.weight
        dtype = torch.promote_types(like.dtype, torch.float32)
        out = {
            name: like.new_zeros(segments, *shape, dtype=dtype)
            for name, shape in self.family.state.items()
        }
        if self.conv is not None:
            channels, taps = self.conv.weight.shape
            out["ring"] = like.new_zeros(segments, taps, channels)
        return out

    def late(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What waits beside states of slots; nothing where a step writes every token at once."""
        if not self.family.unit:
            return {}
        assert self.conv is not None
        heads = self.conv.widths["q"] // state["s"].shape[-2]
        late = Late.zero(state["s"], heads, channels=self.family.channels)
        return {name: x for name, x in zip(LATE, late, strict=True) if x is not None}

    def forward(
        self,
        x: Tensor,
        at: Stream,
        state: dict[str, Tensor] | None,
        routes: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor], Routes | None]:
        """Mix L tokens of N sequences.

        Args:
            x: [L, D], packed.
            at: where the tokens stand.
            state: what `empty_state` or an earlier call returned; None: nothing is read yet.
            routes: [L, top_k] int64 memories to use in place of the router's own choice.

        Returns:
            y [L, D], the state after these tokens, and how the tokens were routed.
        """
        read = self.columns(x)
        if self.memories is None:
            nothing: Mapping[str, Tensor | None] = dict.fromkeys(self._kept)
            o, kept = self._recur(read, at, state or nothing)
            return self.out(self.family.read_out(o, read)), kept, None
        o, kept, routing, rows = self._routed(x, read, at, state, routes)
        return self.out(self._read_out(o, routing, rows, read)), kept, routing

    def _read_out(self, o: Tensor, routing: Routes, rows: Rows, read: dict[str, Tensor]) -> Tensor:
        """What the rows of all memories read, weighted."""
        norm = self.family.head_norm(read)
        if norm is None:
            return self.family.read_out(combine(o, routing.weights, rows), read)
        return combine_norm(
            o, routing.weights, rows, None, norm.norm.weight,
            eps=norm.norm.eps, gate=norm.gate, activation=norm.activation,
        ).flatten(-2)  # fmt: skip

    def _routed(
        self,
        x: Tensor,
        read: dict[str, Tensor],
        at: Stream,
        state: dict[str, Tensor] | None,
        routes: Tensor | None,
    ) -> tuple[Tensor, dict[str, Tensor], Routes, Rows]:
        """The reads of all rows, what is kept, and which row is whose."""
        assert self.router is not None and self.memories is not None
        shared, M = self.memories.shared, self.memories.num_memories
        routing = router(x, self.router.weight, self.memories.top_k, routes)
        rows = dispatch(routing.memories, M, at.cu_seqlens, shared=shared)
        c: dict[str, Part] = {name: Taken(read[name], rows) for name in self.family.reader}
        if self.writers is None:
            c |= {name: Taken(read[name], rows) for name in self.family.writer}
        else:
            sent = self.writers(take(x, rows), rows.ends)
            c |= {n: Joined(read[n], y) if shared else y for n, y in sent.items()}
        before: dict[str, Tensor | None] = dict.fromkeys((*self._kept, "seen"))
        if state is not None:
            # Of one sequence picked from several a view whose memories lie apart: copied then.
            flat = {name: kept.transpose(0, 1).flatten(0, 1) for name, kept in state.items()}
            before |= {name: kept.contiguous() for name, kept in flat.items()}
        seen, read_now = before["seen"], rows.cu_seqlens.diff()
        grid = chunk_grid(rows.cu_seqlens, rows.token.shape[0])
        inside = Stream(
            rows.cu_seqlens, at.positions, seen, across=at.across, grid=grid, token=rows.token
        )
        o, after = self._recur(c, inside, before)
        after["seen"] = read_now if seen is None else seen + read_now
        kept = {
            name: value.unflatten(0, (M + shared, -1)).transpose(0, 1)
            for name, value in after.items()
        }
        return o, kept, routing, rows

    def step(
        self, x: Tensor, y: Tensor | None, norm: RMSNorm, at: Stream, state: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """`forward` of the norm of x + y for one token a slot, whose states change in place.

        Returns x + y [R, D], and what is mixed as parts [S, R, D] whose sum it is. So may y be.
        """
        weights: list[Tensor] = [self.columns.weight]
        router = None
        if self.writers is not None:
            weights.append(self.writers.weight.flatten(0, 1))
        if self.router is not None:
            router = self.router.weight
        x, products = norm.times(x, y, weights, router)
        read, routed = self.columns.split(products[0]), None
        sent = {name: read[name] for name in self.family.writer if name in read}
        if self.writers is not None:
            sent = self.writers.split_every(products[1])
        if self.memories is not None:
            assert at.slots is not None
            routed = Routed(products[-1], self.memories.top_k, at.slots, state["seen"])
        if self.family.unit:
            o = self._fused(read, sent, at, state, routed)
        elif routed is None:
            o, _ = self._recur(read, at, state)
        else:
            o = self._apart(read, sent, at, state, routed)
        return x, self._step_out(o, read, routed)

    def _fused(
        self,
        read: dict[str, Tensor],
        sent: dict[str, Tensor],
        at: Stream,
        state: dict[str, Tensor],
        routed: Routed | None,
    ) -> Tensor:
        """The reads of a family whose recurrence takes what the convolution leaves."""
        assert self.conv is not None and at.slots is not None
        own = None
        if routed is not None and self.shared:
            own = Own(read["k"], read["v"], *self.family.step_gates(read)[:2])
        g, beta, soft = self.family.step_gates(read | sent)
        return conv_delta_step(
            read["q"], sent["k"], sent["v"], self.conv.weight, ring=state["ring"], state=state["s"],
            late=late_of(state), slots=at.slots if routed is None else None,
            times=at.seen if routed is None else None, g=g, beta=beta, soft=soft,
            bias=self.conv.bias, activation=self.family.conv_activation, routed=routed, own=own,
        )  # fmt: skip

    def _apart(
        self,
        read: dict[str, Tensor],
        sent: dict[str, Tensor],
        at: Stream,
        state: dict[str, Tensor],
        routed: Routed,
    ) -> Tensor:
        """The reads of another family: each memory is a slot of its own."""
        token, rows, times, source = routed.places(self.writers is not None)
        c = {name: y[token] for name, y in read.items() if name in self.family.reader}
        sent = {name: y[source] for name, y in sent.items()}
        if self.shared:
            sent = {name: torch.cat([read[name], y]) for name, y in sent.items()}
        # Views, or an error: what is written to a copy is lost.
        flat = {name: kept.view(-1, *kept.shape[2:]) for name, kept in state.items()}
        return self._recur(c | sent, at._replace(seen=times, slots=rows, token=token), flat)[0]

    def _step_out(self, o: Tensor, read: dict[str, Tensor], routed: Routed | None) -> Tensor:
        """`_read_out` and the way out, as parts; choice by choice lies behind the shared memory."""
        norm = self.family.head_norm(read)
        if norm is not None:
            y = read_out_step(
                o, self.out.weight, norm=norm.norm.weight, eps=norm.norm.eps, gate=norm.gate,
                activation=norm.activation, routed=routed,
            )  # fmt: skip
        else:
            if routed is not None:
                count_up(routed)
                rows = len(routed.slots)
                onto, o = (o[:rows], o[rows:]) if self.shared else (None, o)
                o = combine(o, routed.routes.weights, None, onto)
            y = few_linear(self.family.read_out(o, read), self.out.weight)
        bias = self.out.bias
        return y if bias is None else (y.sum(0) + bias).to(bias.dtype)[None]

    def _recur(
        self, c: Mapping[str, Part], at: Stream, state: Mapping[str, Tensor | None]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Convolution and recurrence of one memory-major stream of rows."""
        convolved = {} if self.conv is None else self.conv.widths
        columns = {name: whole(x) for name, x in c.items() if name not in convolved}
        if self.conv is None:
            return self.family.recur(columns, at, state)
        parts, ring = self._convolved([c[name] for name in convolved], at, state["ring"])
        columns |= dict(zip(convolved, parts, strict=True))
        o, kept = self.family.recur(columns, at, state)
        return o, kept | {"ring": ring}

    def _convolved(
        self, x: list[Part], at: Stream, ring: Tensor | None
    ) -> tuple[Sequence[Tensor], Tensor]:
        assert self.conv is not None
        how: dict[str, Any] = {"ring": ring, "bias": self.conv.bias}
        how["activation"] = self.family.conv_activation
        if at.slots is not None:
            assert ring is not None and at.seen is not None
            columns = torch.cat([whole(part) for part in x], -1)
            y = short_conv_step(columns, self.conv.weight, times=at.seen, slots=at.slots, **how)
            return y.split(list(self.conv.widths.values()), -1), ring
        width = self.family.state["s"][1] if self.family.unit else None
        return short_conv(
            x, self.conv.weight, cu_seqlens=at.cu_seqlens, grid=at.grid,
            seen=None if ring is None else at.seen,
            unit=[width if name in ("q", "k") else None for name in self.conv.widths], **how,
        )  # fmt: skip

    def reset_parameters(self, std: float) -> None:
        """Normal weights of a standard deviation; the family sets its own."""
        for columns in (self.columns, self.writers):
            if columns is not None:
                columns.reset_parameters(std)
        for linear in (self.router, self.out):
            if linear is not None:
                nn.init.normal_(linear.weight, std=std)
        if self.out.bias is not None:
            nn.init.zeros_(self.out.bias)
        if self.conv is not None:
            self.conv.reset_parameters()
        self.family.reset_parameters()

    def pieces(self) -> dict[str, Tensor]:
        """Every parameter by the name a checkpoint knows it by, as views that partition them."""
        out = self.columns.pieces()
        if self.memories is not None:
            written = {n for n in out if n.split(".")[0] in self.family.writer}
            out = {f"shared.{n}" if n in written else n: part for n, part in out.items()}
        if self.writers is not None:
            for m in range(self.writers.groups or 0):
                parts = self.writers.pieces(m)
                out |= {f"{ROUTED}{m}.{name}": part for name, part in parts.items()}
        if self.router is not None:
            out["router.weight"] = self.router.weight
        if self.conv is not None:
            out |= self.conv.pieces()
        out["out.weight"] = self.out.weight
        if self.out.bias is not None:
            out["out.bias"] = self.out.bias
        return out | dict(self.family.named_parameters())
