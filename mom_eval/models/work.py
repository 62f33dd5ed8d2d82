"""What must be done at least, and the least time that it can take on a machine.

Floor = max(FLOPs / rate of a large product, compulsory bytes / rate of a large copy). FLOPs of a
recurrence are those of its plain loop (`cost`); compulsory bytes are inputs and outputs, each once.
"""

from math import prod
from typing import NamedTuple

import torch

from mom_eval.models.config import ModelConfig
from mom_eval.models.cost import cost


class Rates(NamedTuple):
    """What this machine reaches, a second."""

    flops: float
    bytes: float
    """Read and written, both counted."""


class Work(NamedTuple):
    """What must be done at least."""

    flops: float
    bytes: float

    def floor_ms(self, rates: Rates) -> float:
        """The least time, where products and memory overlap perfectly."""
        return 1e3 * max(self.flops / rates.flops, self.bytes / rates.bytes)


def op_work(entries: int, rows: int, delta: bool, nbytes: int) -> Work:
    """Of the recurrence.

    Args:
        entries: of one state, K V.
        rows: tokens times value heads.
        delta: the write reads the state first.
        nbytes: of all inputs and outputs.
    """
    return Work((6 if delta else 4) * entries * rows, nbytes)


class ModelWork:
    """Of a model, by shapes alone."""

    def __init__(self, config: ModelConfig, dtype: torch.dtype) -> None:
        """Weights and states in `dtype`, recurrent states in float32."""
        self._config, self._cost, self._item = config, cost(config, dtype), dtype.itemsize
        heads = config.attention.num_heads * config.attention.head_dim if config.attention else 0
        self._attention = len(config.attention_layers) * heads

    def prefill(self, batch: int, length: int) -> Work:
        """`batch` sequences of `length` tokens, logits behind the last of each."""
        written = self._cost.state_bytes + self._cost.state_bytes_per_token * length
        return Work(self._flops(batch, length, 1), self._weights + batch * written)

    def forward(self, batch: int, length: int) -> Work:
        """The loss of `batch` sequences of `length` tokens, each token but the first a label."""
        return Work(self._flops(batch, length, length - 1), self._weights)

    def step(self, batch: int, length: int) -> Work:
        """That, and the gradients of all weights: two products in place of each."""
        return Work(3 * self._flops(batch, length, length - 1), 2 * self._weights)

    @property
    def _weights(self) -> int:
        return self._cost.parameters * self._item

    def _flops(self, batch: int, length: int, logits: int) -> float:
        """Of `batch` sequences of `length` tokens, with the logits of so many."""
        head = 2 * prod((self._config.vocab_size, self._config.hidden_size))
        each = (self._cost.flops_per_token - head) * length + head * logits
        # A token reads half of the others on average: q k and p v, two operations each.
        return batch * (each + 2 * self._attention * length**2)

    def decode(self, batch: int, context: int, *, every: int = 1) -> Work:
        """One token more in `batch` sequences of `context` tokens each.

        Of the routed memories' weights those count that a batch is expected to choose, of a
        sequence's memories those that its token reads, and writes at `every` such token; what
        waits meanwhile (`kernels.late`) is not counted.
        """
        config, cost = self._config, self._cost
        weights, touched = float(cost.parameters), 1.0
        if not config.tie_embeddings:
            weights -= config.vocab_size * config.hidden_size
        if config.memories is not None:
            num, top = config.memories.num_memories, config.memories.top_k
            share = top / num
            if top < num:
                routed = (cost.parameters - cost.activated) / (1 - share)
                weights -= routed * (1 - share) ** batch
            shared = config.memories.shared
            touched = (top + shared) / (num + shared)
        state = (1 + 1 / every) * touched * cost.state_bytes + cost.state_bytes_per_token * context
        flops = cost.flops_per_token + 4 * self._attention * context
        return Work(batch * flops, weights * self._item + batch * state)
