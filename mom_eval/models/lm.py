"""The language model: packed tokens and a state in, logits and a state out.

Prefill, prefill in parts, continuation and decoding are one call. A batch is one stream of tokens
[L] with `cu_seqlens` [N + 1]: sequence n owns tokens cu_seqlens[n] to cu_seqlens[n + 1].
"""

from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mom_eval.kernels import (
    Routes,
    begin_step,
    chunk_grid,
    label_scores,
    linear_cross_entropy,
    preferring,
    takes_triton,
)
from mom_eval.kernels.shapes import checked_segments, segment_of
from mom_eval.models.attention import prepared
from mom_eval.models.block import Block
from mom_eval.models.config import ModelConfig
from mom_eval.models.families import FAMILIES
from mom_eval.models.family import RMSNorm, Stream, wide
from mom_eval.models.state import State


class Output(NamedTuple):
    """What one call returns."""

    logits: Tensor
    """[P, vocab] float32, at the positions asked for."""
    state: State
    routing: dict[int, Routes]
    """Layer -> how its tokens were routed; layers with a router only."""


class LM(nn.Module):
    """A language model of any family, with one memory or many, with or without attention."""

    def __init__(self, config: ModelConfig) -> None:
        """Parameters are allocated, not initialised: see `reset_parameters` and `load`."""
        super().__init__()
        self.config = config
        self.kernels = "auto"
        """Which kernels it runs on: auto, torch or triton; see `kernels.choose`."""
        self.recompute = False
        """In training, keep of a block what it is given, and run it anew for its gradients?"""
        # Its own way draws what nobody uses, and on the meta device first imports all of dynamo.
        self.embeddings = nn.Embedding.from_pretrained(
            torch.empty(config.vocab_size, config.hidden_size), freeze=False
        )
        family = FAMILIES[config.family] if config.family else None
        self.across = (
            family.across_layers(config.options, config.hidden_size, config.num_layers)
            if family
            else None
        )
        # Any: a checker takes what is in a ModuleList for a tensor or any module.
        self.layers: Any = nn.ModuleList(Block(config, layer) for layer in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_embeddings:
            self.head.weight = self.embeddings.weight

    def on_triton(self) -> bool:
        """Does it run on Triton's kernels, on a GPU?"""
        weight = self.embeddings.weight.detach()
        with preferring(self.kernels):
            return weight.is_cuda and takes_triton("a model", "auto", (weight,))

    def shallow(self) -> tuple["LM", list[int]]:
        """Two layers of each kind, and which: they launch all kernels that the model does."""
        kinds: dict[type, list[int]] = {}
        for index, block in enumerate(self.layers):
            kinds.setdefault(type(block.mixer), []).append(index)
        kept = sorted(index for same in kinds.values() for index in same[:2])
        few = copy(self)
        few._modules = self._modules | {"layers": nn.ModuleList(self.layers[i] for i in kept)}
        return few, kept

    def reset_parameters(self) -> None:
        """Draw every parameter from torch's generator; none keeps what it was."""
        std = self.config.init_std
        nn.init.normal_(self.embeddings.weight, std=std)
        if not self.config.tie_embeddings:
            nn.init.normal_(self.head.weight, std=std)
        if self.across is not None:
            for parameter in self.across.parameters():
                nn.init.zeros_(parameter)
        for part in self.modules():
            if isinstance(part, RMSNorm):
                part.reset_parameters()
        for block in self.layers:
            block.mixer.reset_parameters(std)
            if block.mlp is not None:
                nn.init.normal_(block.mlp.gate_up.weight, std=std)
                nn.init.normal_(block.mlp.down.weight, std=std)

    def empty_state(self, sequences: int) -> State:
        """The state of sequences of which nothing is read yet."""
        seen = torch.zeros(sequences, dtype=torch.int64, device=self.embeddings.weight.device)
        return State(seen, [block.mixer.empty_state(sequences) for block in self.layers])

    def forward(
        self,
        tokens: Tensor,
        cu_seqlens: Tensor | None = None,
        state: State | None = None,
        *,
        at: Tensor | None = None,
        routes: dict[int, Tensor] | None = None,
    ) -> Output:
        """Read tokens behind what the state has read.

        Args:
            tokens: [L] int64, N sequences one after the other.
            cu_seqlens: [N + 1] int64, where they begin and end; None is one sequence.
            state: of N sequences; None is nothing read. It is not changed.
            at: [P] int64, indices into the L tokens whose logits are wanted; None is each
                sequence's last token. Logits of all L tokens are never made unasked.
            routes: layer -> [L, top_k] int64, memories to use in place of the router's choice.

        Raises:
            ValueError: shapes disagree, a sequence without a token has no last one (looked at on a
                CPU only, since on a GPU that would wait for it), or routes are given for a layer
                without a router.
        """
        normed, state, routing = self._normed(tokens, cu_seqlens, state, at, routes, keep=True)
        return Output(wide(self.head(normed)), state, routing)

    def nats(
        self,
        tokens: Tensor,
        cu_seqlens: Tensor | None = None,
        *,
        at: Tensor,
        labels: Tensor,
        routes: dict[int, Tensor] | None = None,
    ) -> tuple[Tensor, dict[int, Routes]]:
        """The sum of the nats of labels [P] int64 at the tokens `at`, and the routing.

        The rest is as `forward` has it, and the gradients are those of its logits, of which never
        more than a chunk is made (`kernels.linear_cross_entropy`).
        """
        normed, _, routing = self._normed(tokens, cu_seqlens, None, at, routes, keep=False)
        return linear_cross_entropy(normed, self.head.weight, labels), routing

    def label_scores(
        self, tokens: Tensor, cu_seqlens: Tensor | None = None, *, at: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The nats [P] of each label, and whether it is the most probable token [P], as `nats`."""
        normed, _, _ = self._normed(tokens, cu_seqlens, None, at, None, keep=False)
        return label_scores(normed, self.head.weight, labels)

    def step(self, tokens: Tensor, slots: Tensor, state: State) -> Tensor:
        """Read one token more in each of some slots, whose states change in place.

        Args:
            tokens: [R] int64.
            slots: [R] int64, the sequences of the state that they belong to, none of them twice;
                a row of slot -1 is nobody's, and the last sequence must be nobody's then.
            state: attention's keys and values have room for the tokens. Changed.

        Returns:
            Logits [R, vocab] in the type of the head's weight.
        """
        with preferring(self.kernels):
            x, seen = begin_step(tokens, slots, self.embeddings.weight, state.seen)
            at, y = self._prepared(Stream(slots, seen, seen, slots=slots), x), None
            for block, kept, across in zip(self.layers, state.layers, self._across(), strict=True):
                x, y = block.step(x, y, at._replace(across=across), kept)
            assert y is not None
            _, (logits,) = self.norm.times(x, y, [self.head.weight])
        return logits

    def _normed(
        self,
        tokens: Tensor,
        cu_seqlens: Tensor | None,
        state: State | None,
        at: Tensor | None,
        routes: dict[int, Tensor] | None,
        *,
        keep: bool,
    ) -> tuple[Tensor, State, dict[int, Routes]]:
        """What the head reads of a call's tokens [P, D], the state behind them, the routing.

        The state has no layers unless it is kept: those of all layers are gigabytes.
        """
        routes = routes or {}
        cu_seqlens = self._check(tokens, cu_seqlens, state, at, routes)
        with preferring(self.kernels):
            seen = torch.zeros_like(cu_seqlens[1:]) if state is None else state.seen
            stream = _stream(tokens, cu_seqlens, seen)
            x, y, kept, routing = self._mix(tokens, stream, state, routes, keep)
            wanted = cu_seqlens[1:] - 1 if at is None else at
            _, normed = self.norm.behind(x[wanted], y[wanted])
        return normed, State(seen + cu_seqlens.diff(), kept), routing

    def _mix(
        self,
        tokens: Tensor,
        stream: Stream,
        state: State | None,
        routes: dict[int, Tensor],
        keep: bool,
    ) -> tuple[Tensor, Tensor, list[dict[str, Tensor]], dict[int, Routes]]:
        x, y, kept, routing = self.embeddings(tokens), None, [], {}
        stream = self._prepared(stream, x)
        states = [None] * len(self.layers) if state is None else state.layers
        layers = zip(self.layers, states, self._across(), strict=True)
        for index, (block, before, across) in enumerate(layers):
            stream = stream._replace(across=across)
            x, y, after, routed = self._run(block, x, y, stream, before, routes.get(index))
            if keep:
                kept.append(after)
            if routed is not None:
                routing[index] = routed
        assert y is not None
        return x, y, kept, routing

    def _run(self, block: Block, *given: Any) -> Any:
        """A block's forward pass, and in training, where `recompute` is set, a second one later."""
        if not (self.recompute and self.training and torch.is_grad_enabled()):
            return block(*given)
        kernels = self.kernels

        def run(*given: Any) -> Any:
            # The second one comes outside of any call of the model.
            with preferring(kernels):
                return block(*given)

        return checkpoint(run, *given, use_reentrant=False, preserve_rng_state=False)

    def _prepared(self, stream: Stream, x: Tensor) -> Stream:
        """The stream, with what all layers of attention share."""
        attention = self.config.attention
        return stream if attention is None else prepared(stream, attention, x)

    def _across(self) -> Sequence[Tensor | None]:
        """Each layer's share of a parameter that spans the layers."""
        if self.across is None:
            return [None] * len(self.layers)
        return list(self.across())[: len(self.layers)]

    def _check(
        self,
        tokens: Tensor,
        cu_seqlens: Tensor | None,
        state: State | None,
        at: Tensor | None,
        routes: dict[int, Tensor],
    ) -> Tensor:
        if tokens.ndim != 1:
            raise ValueError(f"tokens are packed [L], got {list(tokens.shape)}")
        cu_seqlens = checked_segments(cu_seqlens, len(tokens), tokens.device)
        if state is not None and len(state) != len(cu_seqlens) - 1:
            raise ValueError(
                f"a state of {len(state)} sequences, {len(cu_seqlens) - 1} in the call"
            )
        if at is None and cu_seqlens.device.type == "cpu" and not cu_seqlens.diff().all():
            raise ValueError("a sequence without a token has no last one; name positions with at=")
        routers = {
            index
            for index in range(self.config.num_layers)
            if self.config.memories is not None and index not in self.config.attention_layers
        }
        if not routes.keys() <= routers:
            wrong = sorted(routes.keys() - routers)
            raise ValueError(f"routes are given for layers {wrong}, which have no router")
        return cu_seqlens

    def pieces(self) -> dict[str, Tensor]:
        """Canonical name -> view into a parameter; together they are all parameters, once each."""
        out = {"embeddings.weight": self.embeddings.weight, "norm.weight": self.norm.weight}
        if not self.config.tie_embeddings:
            out["head.weight"] = self.head.weight
        if self.across is not None:
            out |= dict(self.across.named_parameters())
        for index, block in enumerate(self.layers):
            out |= {f"layers.{index}.{name}": part for name, part in block.pieces().items()}
        return out


def _stream(tokens: Tensor, cu_seqlens: Tensor, seen: Tensor) -> Stream:
    """Each token's position in its sequence, counted from the sequence's first token ever."""
    index = torch.arange(len(tokens), device=tokens.device)
    sequence = segment_of(cu_seqlens, len(tokens))
    positions = index - cu_seqlens[sequence] + seen[sequence]
    grid = chunk_grid(cu_seqlens, len(tokens))
    return Stream(cu_seqlens, positions, seen, grid=grid)


def packed(sequences: Sequence[Sequence[int]], device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Token lists -> (tokens [L], cu_seqlens [N + 1])."""
    lengths = torch.tensor([0, *map(len, sequences)], device=device)
    tokens = [token for sequence in sequences for token in sequence]
    return torch.tensor(tokens, dtype=torch.int64, device=device), lengths.cumsum(0)
