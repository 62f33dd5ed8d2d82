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
import torch.nn.functional as F
from torch import Tensor, nn

from mom_eval.kernels import (
    Routes,
    Rows,
    combine,
    dispatch,
    route,
    short_conv,
    short_conv_step,
    take,
)
from mom_eval.models.columns import Columns
from mom_eval.models.family import Family, Stream, wide

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
        own = memories is None or memories.shared
        self.reader = Columns(hidden, family.reader | family.readout)
        self.writer = (
            Columns(hidden, family.writer)
            if own or (memories is not None and memories.common_kv)
            else None
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
        """What the mixer keeps of sequences that it has read nothing of."""
        like = self.out.weight
        shapes = dict(self.family.state)
        out = {}
        for prefix, lead in self._kept(sequences):
            for name, shape in shapes.items():
                dtype = torch.promote_types(like.dtype, torch.float32)
                out[prefix + name] = like.new_zeros(*lead, *shape, dtype=dtype)
            if self.conv is not None:
                channels, taps = self.conv.weight.shape
                out[f"{prefix}ring"] = like.new_zeros(*lead, taps, channels)
            if prefix:
                out[f"{prefix}seen"] = like.new_zeros(*lead, dtype=torch.int64)
        return out

    def _kept(self, sequences: int) -> list[tuple[str, tuple[int, ...]]]:
        own = [("", (sequences,))] if self.shared else []
        if self.memories is None:
            return own
        return [(ROUTED, (sequences, self.memories.num_memories)), *own]

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
        read = self.reader(x)
        own = self.writer(x) if self.writer is not None else {}
        y, kept, routing = None, {}, None
        if self.shared:
            y, kept = self._recur(read | own, at, state)
        if self.router is not None and self.memories is not None:
            logits = F.linear(wide(x), wide(self.router.weight))
            routing = route(logits, self.memories.top_k, routes)
            y, after = self._routed(x, read, own, at, state, routing, y)
            kept = after | kept
        assert y is not None
        return self.out(self.family.read_out(y, read)), kept, routing

    def _routed(
        self,
        x: Tensor,
        read: dict[str, Tensor],
        own: dict[str, Tensor],
        at: Stream,
        state: dict[str, Tensor],
        routing: Routes,
        onto: Tensor | None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The routed memories' reads, weighted, and added to the shared one's, [L, HV, V]."""
        sequences, num_memories = state[f"{ROUTED}seen"].shape
        if at.slots is not None:
            return self._step(x, read, own, at, state, routing, onto), state
        rows = dispatch(routing.memories, num_memories, at.cu_seqlens)
        c = {name: take(read[name], rows) for name in self.family.reader}
        if self.writers is None:
            c |= {name: take(column, rows) for name, column in own.items()}
        else:
            c |= self.writers(take(x, rows), rows.ends)
        before = {
            name.removeprefix(ROUTED): kept.transpose(0, 1).flatten(0, 1)
            for name, kept in state.items()
            if name.startswith(ROUTED)
        }
        inside = Stream(rows.cu_seqlens, at.positions[rows.token], before["seen"], across=at.across)
        o, after = self._recur(c, inside, before)
        after["seen"] = before["seen"] + rows.cu_seqlens.diff()
        kept = {
            ROUTED + name: value.unflatten(0, (num_memories, sequences)).transpose(0, 1)
            for name, value in after.items()
        }
        return combine(o, routing.weights, rows, onto), kept

    def _step(
        self,
        x: Tensor,
        read: dict[str, Tensor],
        own: dict[str, Tensor],
        at: Stream,
        state: dict[str, Tensor],
        routing: Routes,
        onto: Tensor | None,
    ) -> Tensor:
        """`_routed` for one token a slot: a row a choice, and no memory's state is copied.

        All memories' projections are made: a batch chooses nearly all of them anyway.
        """
        slots, chosen = at.slots, routing.memories
        assert slots is not None
        num_memories, top_k = state[f"{ROUTED}seen"].shape[1], chosen.shape[1]
        c = {name: read[name].repeat_interleave(top_k, 0) for name in self.family.reader}
        if self.writers is None:
            c |= {name: column.repeat_interleave(top_k, 0) for name, column in own.items()}
        else:
            c |= self.writers.chosen(x, chosen)
        # A slot that is nobody's stays behind the end: its memories are the last ones.
        rows = (slots[:, None] * num_memories + chosen).flatten()
        flat = {
            name.removeprefix(ROUTED): kept.flatten(0, 1)
            for name, kept in state.items()
            if name.startswith(ROUTED)
        }
        positions = at.positions.repeat_interleave(top_k)
        inside = Stream(at.cu_seqlens, positions, flat["seen"], at.across, rows)
        o, _ = self._recur(c, inside, flat)
        flat["seen"][rows] += 1
        place = torch.arange(len(o), device=o.device).view(-1, top_k)
        return combine(o, routing.weights, Rows(place, place.flatten(), rows, rows), onto)

    def _recur(
        self, c: dict[str, Tensor], at: Stream, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Convolution and recurrence of one memory-major stream of rows."""
        if self.conv is None:
            return self.family.recur(c, at, state)
        parts, ring = self._convolved([c[name] for name in self.conv.widths], at, state["ring"])
        o, kept = self.family.recur(c | dict(zip(self.conv.widths, parts, strict=True)), at, state)
        return o, kept | {"ring": ring}

    def _convolved(
        self, x: list[Tensor], at: Stream, ring: Tensor
    ) -> tuple[Sequence[Tensor], Tensor]:
        assert self.conv is not None
        weight, bias, act = self.conv.weight, self.conv.bias, self.family.conv_activation
        past: dict[str, Any] = {"bias": bias, "ring": ring, "seen": at.seen, "activation": act}
        if at.slots is None:
            return short_conv(x, weight, cu_seqlens=at.cu_seqlens, **past)
        y = short_conv_step(torch.cat(x, -1), weight, slots=at.slots, **past)
        return y.split(list(self.conv.widths.values()), -1), ring

    def reset_parameters(self, std: float) -> None:
        """Normal weights of a standard deviation; the family sets its own."""
        for columns in (self.reader, self.writer, self.writers):
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
        out = self.reader.pieces()
        if self.writer is not None:
            prefix = "" if self.memories is None else "shared."
            out |= {prefix + name: part for name, part in self.writer.pieces().items()}
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
