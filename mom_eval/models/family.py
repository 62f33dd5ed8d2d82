"""What a family of linear sequence models is: how columns become q, k, v, g and beta.

Every family is one recurrence (`kernels.gated_delta`) with gates present or absent. A family says
which columns are read once a token (the query, the output gate) and which are written once a memory
(key, value, whatever the gates are made of), and turns them into the op's inputs and its output
into the mixer's. The mixer (`memory.py`) does the rest: projections, convolution, routing, state.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from mom_eval.kernels import (
    ChunkGrid,
    TimeStep,
    add_norm,
    add_norm_linear,
    gated_delta,
    gated_delta_step,
    rms_norm,
)
from mom_eval.models.columns import Column
from mom_eval.models.extent import Extent


class Stream(NamedTuple):
    """Where the rows of a packed stream stand."""

    cu_seqlens: Tensor
    """[N + 1] int64, where each segment begins and ends."""
    positions: Tensor
    """[L] int64, each token's position in its own sequence, from 0."""
    seen: Tensor | None
    """[N] int64, rows that each segment had before this call, None if none had any; with slots [L],
    those of each row's slot."""
    across: Tensor | None = None
    """This layer's share of a parameter that spans the layers (HGRN2's lower bound)."""
    slots: Tensor | None = None
    """[L] int64 where each row is one more token of a slot, whose state changes in place; see
    `kernels.step`. Then N is the number of slots, and cu_seqlens means nothing."""
    grid: ChunkGrid | None = None
    """Of the segments, for the kernels that need it."""
    turns: Tensor | None = None
    """[L, 2, K / 2], rotations of the positions, where the model has attention."""
    extent: Extent | None = None
    """Where attention keeps keys and values, unless in slots."""
    token: Tensor | None = None
    """[rows] int64, the token of each row, where rows are not the tokens."""

    def row_positions(self) -> Tensor:
        """[rows] int64, the position of each row's token."""
        return self.positions if self.token is None else self.positions[self.token]


class Write(NamedTuple):
    """The inputs of `gated_delta` for L rows."""

    q: Tensor
    """[L, H, K]"""
    k: Tensor
    """[L, H, K]"""
    v: Tensor
    """[L, HV, V]"""
    g: Tensor | None = None
    """log decay: None, [L, HV] or [L, HV, K]"""
    beta: Tensor | None = None
    """[L, HV], with the delta rule only"""


class RMSNorm(nn.Module):
    """Root mean square norm over the last axis, with an optional gate (`kernels.rms_norm`)."""

    def __init__(self, width: int, eps: float, affine: bool = True) -> None:
        """`affine` False: no weight."""
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width)) if affine else None

    def forward(self, x: Tensor, gate: Tensor | None = None, activation: str = "silu") -> Tensor:
        """X [..., width]; times weight, times activation(gate [..., width])."""
        return rms_norm(x, self.weight, eps=self.eps, gate=gate, activation=activation)

    def behind(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """The residual stream x + y [L, D], and its norm in the type of the weight (`add_norm`).

        Of few rows y may be parts [S, L, D].
        """
        assert self.weight is not None
        return add_norm(x, y, self.weight, eps=self.eps)

    def times(
        self,
        x: Tensor,
        y: Tensor | None,
        weights: Sequence[Tensor],
        router: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """`behind`, and products of the norm in place of the norm (`add_norm_linear`)."""
        assert self.weight is not None
        return add_norm_linear(x, y, self.weight, weights, eps=self.eps, router=router)

    def reset_parameters(self) -> None:
        """A weight of ones."""
        if self.weight is not None:
            nn.init.ones_(self.weight)


class HeadNorm(NamedTuple):
    """How a family reads out: rms(o) * weight * activation(gate), a head on its own."""

    norm: RMSNorm
    gate: Tensor | None = None
    """[L, HV, V]"""
    activation: str = "silu"


class Family(nn.Module):
    """Base of all families; see `docs/adding.md`.

    A subclass sets the attributes below in `__init__(options, hidden, norm_eps)` and defines
    `write` and `head_norm` or `read_out`, and `recur` where its recurrence is more than the one op.
    """

    name: ClassVar[str]
    delta: ClassVar[bool] = False
    """Is the write a delta rule, which first reads what the key holds?"""
    channels: ClassVar[bool] = False
    """Of a family of `unit`: does each key channel decay by itself?"""
    Options: ClassVar[type]
    """A frozen dataclass: the family's part of a configuration, under its published names."""

    reader: dict[str, Column]
    """Read once a token and needed by the recurrence: q."""
    writer: dict[str, Column]
    """Read once a memory: k, v and what the gates are made of."""
    readout: dict[str, Column]
    """Read once a token and needed behind the recurrence: the output gate."""
    conv: tuple[str, ...] = ()
    """Columns that pass the short convolution, in the order of its weights."""
    conv_size: int = 4
    conv_bias: bool = False
    conv_activation: str | None = "silu"
    unit: bool = False
    """Are the op's q, k and v the columns of these names, as the convolution leaves them, with unit
    vectors for heads of q and k? Then `gates` gives what else the op takes."""
    state: dict[str, tuple[int, ...]]
    """What a memory keeps of a sequence: name -> shape, float32."""
    value_width: int
    """Width of what `read_out` returns."""
    out_bias: bool = False
    scale: float | None = None
    """The op's scale; None is K^-0.5."""

    def reset_parameters(self) -> None:
        """Draw the family's own parameters; those that are no linear map and no norm it adds."""
        for part in self.modules():
            if isinstance(part, nn.Linear | RMSNorm):
                part.reset_parameters()

    def write(self, c: dict[str, Tensor], at: Stream) -> Write:
        """The columns of L rows -> the op's inputs."""
        raise NotImplementedError

    def gates(self, c: dict[str, Tensor]) -> tuple[Tensor | None, Tensor | None]:
        """Decay and strength of `write`, of a family of `unit`."""
        raise NotImplementedError

    def step_gates(
        self, c: dict[str, Tensor]
    ) -> tuple[Tensor | None, Tensor | None, TimeStep | None]:
        """`gates` as `conv_delta_step` takes them: g, beta and soft."""
        return *self.gates(c), None

    def head_norm(self, c: dict[str, Tensor]) -> "HeadNorm | None":
        """The gated norm of each head that is all of `read_out`; None where it is another."""
        return None

    def read_out(self, o: Tensor, c: dict[str, Tensor]) -> Tensor:
        """O [L, HV, V] of L tokens and the `readout` columns -> [L, value_width]."""
        norm = self.head_norm(c)
        if norm is None:
            raise NotImplementedError
        return norm.norm(o, norm.gate, norm.activation).flatten(-2)

    def recur(
        self, c: dict[str, Tensor], at: Stream, state: Mapping[str, Tensor | None]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run L rows through the recurrence: (o [L, HV, V], what is kept).

        What `state` has is None where nothing is read yet.
        """
        o, s = recurrence(self.write(c, at), at, state["s"], self.scale)
        return o, {"s": s}

    def flops(self) -> int:
        """Floating-point operations of the recurrence for one row, as the plain loop counts them.

        Read and write take a multiplication and an addition an entry of the state each, the delta
        rule's read of the old value another two.
        """
        entries = sum(math.prod(shape) for shape in self.state.values())
        return (6 if self.delta else 4) * entries

    @classmethod
    def across_layers(cls, options: Any, hidden: int, num_layers: int) -> nn.Module | None:
        """A module of the whole model whose call returns one row a layer, handed to `Stream`.

        Its parameters begin at zero.
        """
        return None


def recurrence(
    w: Write, at: Stream, state: Tensor | None, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """The op over segments, or in decoding over slots: reads [L, HV, V] and the state."""
    gates: dict[str, Any] = {"g": w.g, "beta": w.beta, "scale": scale, "state": state}
    if at.slots is None:
        return gated_delta(w.q, w.k, w.v, cu_seqlens=at.cu_seqlens, grid=at.grid, **gates)
    assert state is not None
    return gated_delta_step(w.q, w.k, w.v, slots=at.slots, **gates), state


def wide(x: Tensor) -> Tensor:
    """In float32 at least: what gates and states are computed in."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[L, heads * width] -> [L, heads, width]."""
    return x.unflatten(-1, (heads, -1))
