"""What a model costs: parameters, state, arithmetic. Counted from shapes, nothing is allocated."""

from dataclasses import dataclass
from math import prod

import torch

from mom_eval.models.config import ModelConfig
from mom_eval.models.lm import LM
from mom_eval.models.memory import ROUTED, Mixer


@dataclass(frozen=True)
class Cost:
    """One model's."""

    parameters: int
    activated: int
    """Parameters that one token's logits depend on: of routed memories, top-k each."""
    state_bytes: int
    """What a sequence leaves behind, in the model's type (states always float32)."""
    state_bytes_per_token: int
    """What it grows by with each token: attention's keys and values."""
    flops_per_token: int
    """Of one forward pass with logits: two for each activated weight in a product, and the
    recurrence as its plain loop counts them; attention over the past comes on top."""


def cost(config: ModelConfig, dtype: torch.dtype = torch.bfloat16) -> Cost:
    """Count a model of this shape, its weights in `dtype`."""
    with torch.device("meta"):
        model = LM(config).to(dtype)
        state = model.empty_state(1)
    memories = config.memories
    readers = 1 if memories is None else memories.top_k + memories.shared
    total = activated = products = 0
    for name, piece in model.pieces().items():
        share = 1.0
        if f".{ROUTED}" in name and memories is not None:
            share = memories.top_k / memories.num_memories
        total += piece.numel()
        activated += piece.numel() * share
        if "_conv." in name:
            share = readers  # each memory convolves what it reads
        if piece.ndim == 2 and name not in ("embeddings.weight", "lower_bounds"):
            products += piece.numel() * share
    if config.tie_embeddings:
        products += config.vocab_size * config.hidden_size
    recurrence = 0
    for block in model.layers:
        if isinstance(block.mixer, Mixer):
            recurrence += readers * block.mixer.family.flops()
    grows = sum(
        prod(tensor.shape[2:]) * tensor.element_size()
        for layer in state.layers
        for tensor in layer.values()
        if tensor.ndim > 1 and tensor.shape[1] == 0
    )
    return Cost(
        parameters=total,
        activated=round(activated),
        state_bytes=state.nbytes(),
        state_bytes_per_token=grows,
        flops_per_token=round(2 * products + recurrence),
    )
