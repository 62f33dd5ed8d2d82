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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mom_eval.kernels import (
    Routes,
    Rows,
    chunk_grid,
    combine,
    combine_norm,
    conv_delta_step,
    dispatch,
    router,
    router_step,
    short_conv,
    short_conv_step,
    take,
)
from mom_eval.models.columns import Columns
from mom_eval.models.family import Family, Stream

ROUTED = "memories."
"""Prefix of what routed memories keep: [N, M, ...]; everything else is [N, ...]."""


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

        Routed memories' states lie memory after memory, as their segments do: so no call copies
        them before it changes them.
        """
        out = self._empty(sequences) if self.shared else {}
        if self.memories is not None:
            M = self.memories.num_memories
            seen = torch.zeros(M * sequences, dtype=torch.int64, device=self.out.weight.device)
            routed = self._empty(M * sequences) | {"seen": seen}
            for name, kept in routed.items():
                out[ROUTED + name] = kept.unflatten(0, (M, sequences)).transpose(0, 1)
        return out

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
        read, own = self.columns(x), {}
        if self.family.writer.keys() <= read.keys():
            own = {name: read[name] for name in self.family.writer}
        onto, kept = self._recur(read, at, state) if self.shared else (None, {})
        if self.memories is None:
            assert onto is not None
            return self.out(self.family.read_out(onto, read)), kept, None
        if at.slots is None:
            o, after, routing, rows = self._routed(x, read, own, at, state, routes)
            kept = after | kept
        else:
            (o, routing), rows, kept = self._step(x, read, own, at, state), None, state
        return self.out(self._read_out(o, routing.weights, rows, onto, read)), kept, routing

    def _read_out(
        self,
        o: Tensor,
        weights: Tensor,
        rows: Rows | None,
        onto: Tensor | None,
        read: dict[str, Tensor],
    ) -> Tensor:
        """The routed memories' reads, weighted, and added to the shared one's, [L, HV, V]."""
        norm = self.family.head_norm(read)
        if norm is None:
            return self.family.read_out(combine(o, weights, rows, onto), read)
        return combine_norm(
            o, weights, rows, onto, norm.norm.weight,
            eps=norm.norm.eps, gate=norm.gate, activation=norm.activation,
        ).flatten(-2)  # fmt: skip

    def _routed(
        self,
        x: Tensor,
        read: dict[str, Tensor],
        own: dict[str, Tensor],
        at: Stream,
        state: dict[str, Tensor],
        routes: Tensor | None,
    ) -> tuple[Tensor, dict[str, Tensor], Routes, Rows]:
        """The reads of all choices [R, HV, V], and which is whose."""
        assert self.router is not None and self.memories is not None
        sequences, num_memories = state[f"{ROUTED}seen"].shape
        routing = router(x, self.router.weight, self.memories.top_k, routes)
        rows = dispatch(routing.memories, num_memories, at.cu_seqlens)
        # What the convolution reads, it takes itself.
        convolved = self.conv.widths if self.conv is not None else {}
        c = {n: read[n] if n in convolved else take(read[n], rows) for n in self.family.reader}
        taken = set(c) & set(convolved)
        if self.writers is None:
            c |= {name: take(column, rows) for name, column in own.items()}
        else:
            c |= self.writers(take(x, rows), rows.ends)
        before = {
            name.removeprefix(ROUTED): kept.transpose(0, 1).flatten(0, 1)
            for name, kept in state.items()
            if name.startswith(ROUTED)
        }
        inside = Stream(
            rows.cu_seqlens,
            at.positions[rows.token],
            before["seen"],
            across=at.across,
            grid=chunk_grid(rows.cu_seqlens, len(rows.token)),
        )
        o, after = self._recur(c, inside, before, dict.fromkeys(taken, rows))
        after["seen"] = before["seen"] + rows.cu_seqlens.diff()
        kept = {
            ROUTED + name: value.unflatten(0, (num_memories, sequences)).transpose(0, 1)
            for name, value in after.items()
        }
        return o, kept, routing, rows

    def _step(
        self,
        x: Tensor,
        read: dict[str, Tensor],
        own: dict[str, Tensor],
        at: Stream,
        state: dict[str, Tensor],
    ) -> tuple[Tensor, Routes]:
        """`_routed` for one token a slot: a row a choice, and no memory's state is copied."""
        assert self.router is not None and self.memories is not None and at.slots is not None
        inside = {
            name.removeprefix(ROUTED): kept
            for name, kept in state.items()
            if name.startswith(ROUTED)
        }
        seen, top_k = inside.pop("seen"), self.memories.top_k
        routing, times = router_step(x, self.router.weight, top_k, slots=at.slots, seen=seen)
        written = own if self.writers is None else self.writers.every(x)
        if self.family.unit:
            o = self._fused(read | written, at._replace(seen=times), inside, routing.memories)
            return o, routing
        groups = 1 if self.writers is None else self.memories.num_memories
        token = torch.arange(len(x), device=x.device)[:, None]
        place = (token * groups + (routing.memories if groups > 1 else 0)).expand_as(times)
        c = {name: read[name].repeat_interleave(top_k, 0) for name in self.family.reader}
        c |= {name: column[place.flatten()] for name, column in written.items()}
        # A slot that is nobody's stays behind the end: its memories are the last ones.
        rows = (at.slots[:, None] * self.memories.num_memories + routing.memories).flatten()
        positions = at.positions.repeat_interleave(top_k)
        flat = {name: kept.flatten(0, 1) for name, kept in inside.items()}
        o, _ = self._recur(
            c, Stream(at.cu_seqlens, positions, times.flatten(), at.across, rows), flat
        )
        return o, routing

    def _fused(
        self,
        c: dict[str, Tensor],
        at: Stream,
        state: dict[str, Tensor],
        memories: Tensor | None = None,
    ) -> Tensor:
        """One token a slot of a family whose recurrence takes what the convolution leaves."""
        assert self.conv is not None and at.slots is not None
        g, beta = self.family.gates(c)
        return conv_delta_step(
            c["q"], c["k"], c["v"], self.conv.weight, ring=state["ring"], state=state["s"],
            slots=at.slots, times=at.seen, g=g, beta=beta, bias=self.conv.bias,
            activation=self.family.conv_activation, memories=memories,
        )  # fmt: skip

    def _recur(
        self,
        c: dict[str, Tensor],
        at: Stream,
        state: dict[str, Tensor],
        taken: dict[str, Rows] | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Convolution and recurrence of one memory-major stream of rows.

        `taken`: columns that are a token's, and which of them each row takes.
        """
        if self.conv is None:
            return self.family.recur(c, at, state)
        if at.slots is not None and self.family.unit:
            return self._fused(c, at, state), state
        parts, ring = self._convolved(c, at, state["ring"], taken or {})
        o, kept = self.family.recur(c | dict(zip(self.conv.widths, parts, strict=True)), at, state)
        return o, kept | {"ring": ring}

    def _convolved(
        self, c: dict[str, Tensor], at: Stream, ring: Tensor, taken: dict[str, Rows]
    ) -> tuple[Sequence[Tensor], Tensor]:
        assert self.conv is not None
        x = [c[name] for name in self.conv.widths]
        how: dict[str, Any] = {"ring": ring, "bias": self.conv.bias}
        how["activation"] = self.family.conv_activation
        if at.slots is not None:
            y = short_conv_step(
                torch.cat(x, -1), self.conv.weight, times=at.seen, slots=at.slots, **how
            )
            return y.split(list(self.conv.widths.values()), -1), ring
        width = self.family.state["s"][1] if self.family.unit else None
        return short_conv(
            x, self.conv.weight, seen=at.seen, cu_seqlens=at.cu_seqlens, grid=at.grid,
            rows=[taken.get(name) for name in self.conv.widths],
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
