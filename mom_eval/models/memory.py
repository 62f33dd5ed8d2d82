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
    Own,
    Part,
    Routes,
    Rows,
    Taken,
    chunk_grid,
    combine,
    combine_norm,
    conv_delta_step,
    dispatch,
    entries,
    router,
    router_step,
    short_conv,
    short_conv_step,
    take,
    whole,
)
from mom_eval.models.columns import Columns
from mom_eval.models.family import Family, Stream

ROUTED = "memories."
"""Prefix of the weights of routed memories."""


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


class ShortConv(nn.Module):
    """The weights of one depthwise convolution over several columns."""

    def __init__(self, widths: dict[str, int], size: int, bias: bool) -> None:
        """`widths`: column -> channels, in the order of the weights."""
        super().__init__()
        self.widths = widths
        self.weight = nn.Parameter(torch.empty(sum(widths.values()), size))
        self.bias = nn.Parameter(torch.empty(sum(widths.values()))) if bias else None

    def reset_parameters(self) -> None:
        """Uniform within the square root of 1 / taps, as torch's own convolution."""
        bound = self.weight.shape[1] ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def pieces(self) -> dict[str, Tensor]:
        """Each column's own part of weight and bias, as views."""
        sizes = list(self.widths.values())
        out = {}
        for name, part in zip(self.widths, self.weight.split(sizes), strict=True):
            out[f"{name}_conv.weight"] = part
        if self.bias is not None:
            for name, part in zip(self.widths, self.bias.split(sizes), strict=True):
                out[f"{name}_conv.bias"] = part
        return out


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

    def forward(
        self,
        x: Tensor,
        at: Stream,
        state: dict[str, Tensor],
        routes: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor], Routes | None]:
        """Mix L tokens of N sequences.

        Args:
            x: [L, D], packed.
            at: where the tokens stand.
            state: what `empty_state` or an earlier call returned.
            routes: [L, top_k] int64 memories to use in place of the router's own choice.

        Returns:
            y [L, D], the state after these tokens, and how the tokens were routed.
        """
        read = self.columns(x)
        if self.memories is None:
            o, kept = self._recur(read, at, state)
            return self.out(self.family.read_out(o, read)), kept, None
        if at.slots is None:
            o, kept, routing, rows = self._routed(x, read, at, state, routes)
        else:
            (o, routing), kept, rows = self._step(x, read, at, state), state, None
        return self.out(self._read_out(o, routing, rows, read)), kept, routing

    def _read_out(
        self, o: Tensor, routing: Routes, rows: Rows | None, read: dict[str, Tensor]
    ) -> Tensor:
        """What the rows of all memories read, weighted, those of the shared one first."""
        onto, sent, weights = None, o, routing.weights
        if self.memories is not None and self.memories.shared:
            onto = o[: len(weights)]
            sent = o if rows is not None else o[len(weights) :]
        norm = self.family.head_norm(read)
        if norm is None:
            return self.family.read_out(combine(sent, weights, rows, onto), read)
        return combine_norm(
            sent, weights, rows, onto, norm.norm.weight,
            eps=norm.norm.eps, gate=norm.gate, activation=norm.activation,
        ).flatten(-2)  # fmt: skip

    def _routed(
        self,
        x: Tensor,
        read: dict[str, Tensor],
        at: Stream,
        state: dict[str, Tensor],
        routes: Tensor | None,
    ) -> tuple[Tensor, dict[str, Tensor], Routes, Rows]:
        """The reads of all rows, what is kept, and which row is whose."""
        assert self.router is not None and self.memories is not None
        sequences, memories = state["seen"].shape
        routing = router(x, self.router.weight, self.memories.top_k, routes)
        shared, M = self.memories.shared, self.memories.num_memories
        rows = dispatch(routing.memories, M, at.cu_seqlens, shared=shared)
        c: dict[str, Part] = {name: Taken(read[name], rows) for name in self.family.reader}
        if self.writers is None:
            c |= {name: Taken(read[name], rows) for name in self.family.writer}
        else:
            sent = self.writers(take(x, rows), rows.ends)
            c |= {n: Joined(read[n], y) if shared else y for n, y in sent.items()}
        # Of one sequence picked from several this is a view whose memories lie apart.
        before = {n: kept.transpose(0, 1).flatten(0, 1).contiguous() for n, kept in state.items()}
        inside = Stream(
            rows.cu_seqlens,
            at.positions[rows.token],
            before["seen"],
            across=at.across,
            grid=chunk_grid(rows.cu_seqlens, len(rows.token)),
        )
        o, after = self._recur(c, inside, before)
        after["seen"] = before["seen"] + rows.cu_seqlens.diff()
        kept = {
            name: value.unflatten(0, (memories, sequences)).transpose(0, 1)
            for name, value in after.items()
        }
        return o, kept, routing, rows

    def _step(
        self, x: Tensor, read: dict[str, Tensor], at: Stream, state: dict[str, Tensor]
    ) -> tuple[Tensor, Routes]:
        """`_routed` for one token a slot: no memory's state is copied."""
        assert self.router is not None and self.memories is not None and at.slots is not None
        shared, top_k = self.memories.shared, self.memories.top_k
        routing, times = router_step(
            x, self.router.weight, top_k, slots=at.slots, seen=state["seen"]
        )
        sent = {name: read[name] for name in self.family.writer if name in read}
        if self.writers is not None:
            sent = self.writers.every(x)
        if self.family.unit:
            own = None
            if shared:
                own = Own(read["k"], read["v"], *self.family.gates(read))
            at = at._replace(seen=times)
            return self._fused(read | sent, at, state, routing.memories, own), routing
        token = torch.arange(len(x), device=x.device)[:, None]
        groups = 1 if self.writers is None else self.memories.num_memories
        place = token * groups + (routing.memories if groups > 1 else 0)
        place = place.expand_as(routing.memories).flatten()
        names = self.family.reader
        c = {name: Joined(read[name], read[name].repeat_interleave(top_k, 0)) for name in names}
        c |= {n: Joined(read.get(n, y), y[place]) for n, y in sent.items()}
        # A slot that is nobody's stays behind the end: its memories are the last ones.
        rows = at.slots[:, None] * state["seen"].shape[1] + entries(routing.memories, shared)
        positions = at.positions[:, None].expand_as(rows)
        # Views, or an error: what is written to a copy is lost.
        flat = {name: kept.view(-1, *kept.shape[2:]) for name, kept in state.items()}

        def ordered(y: Tensor) -> Tensor:
            """[R, k] or [R, k + 1] as the rows lie."""
            return torch.cat([y[:, 0], y[:, 1:].flatten()]) if shared else y.flatten()

        inside = Stream(at.cu_seqlens, ordered(positions), ordered(times), at.across, ordered(rows))
        columns = {name: y.whole() if shared else y.sent for name, y in c.items()}
        o, _ = self._recur(columns, inside, flat)
        return o, routing

    def _fused(
        self,
        c: dict[str, Tensor],
        at: Stream,
        state: dict[str, Tensor],
        memories: Tensor | None = None,
        own: Own | None = None,
    ) -> Tensor:
        """One token a slot of a family whose recurrence takes what the convolution leaves."""
        assert self.conv is not None and at.slots is not None
        g, beta = self.family.gates(c)
        return conv_delta_step(
            c["q"], c["k"], c["v"], self.conv.weight, ring=state["ring"], state=state["s"],
            slots=at.slots, times=at.seen, g=g, beta=beta, bias=self.conv.bias,
            activation=self.family.conv_activation, memories=memories, own=own,
        )  # fmt: skip

    def _recur(
        self, c: Mapping[str, Part], at: Stream, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Convolution and recurrence of one memory-major stream of rows."""
        convolved = {} if self.conv is None else self.conv.widths
        columns = {name: whole(x) for name, x in c.items() if name not in convolved}
        if self.conv is None:
            return self.family.recur(columns, at, state)
        if at.slots is not None and self.family.unit:
            columns |= {name: whole(c[name]) for name in convolved}
            return self._fused(columns, at, state), state
        parts, ring = self._convolved([c[name] for name in convolved], at, state["ring"])
        columns |= dict(zip(convolved, parts, strict=True))
        o, kept = self.family.recur(columns, at, state)
        return o, kept | {"ring": ring}

    def _convolved(
        self, x: list[Part], at: Stream, ring: Tensor
    ) -> tuple[Sequence[Tensor], Tensor]:
        assert self.conv is not None
        how: dict[str, Any] = {"ring": ring, "bias": self.conv.bias}
        how["activation"] = self.family.conv_activation
        if at.slots is not None:
            columns = torch.cat([whole(part) for part in x], -1)
            y = short_conv_step(columns, self.conv.weight, times=at.seen, slots=at.slots, **how)
            return y.split(list(self.conv.widths.values()), -1), ring
        width = self.family.state["s"][1] if self.family.unit else None
        return short_conv(
            x, self.conv.weight, seen=at.seen, cu_seqlens=at.cu_seqlens, grid=at.grid,
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
