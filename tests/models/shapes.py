"""Tiny models of every family, with one memory and with several: the cases of the laws."""

from dataclasses import replace

import torch
from torch import Tensor

from mom_eval.models import FAMILIES, LM, AttentionOptions, Memories, ModelConfig, packed

OPTIONS = {
    "linear_attn": {
        "num_heads": 2,
        "num_kv_heads": 1,
        "feature_map": "elu",
        "norm_feature_map": True,
    },
    "retnet": {"num_heads": 2},
    "gla": {"num_heads": 2, "use_short_conv": True},
    "hgrn2": {"expand_ratio": 16},
    "mamba2": {"num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 2},
    "delta_net": {"num_heads": 2, "use_gate": True},
    "gated_deltanet": {"num_heads": 2, "head_dim": 8, "num_v_heads": 4},
    "kda": {"num_heads": 2, "head_dim": 8},
    "gsa": {"num_heads": 2, "num_slots": 8},
}
MEMORIES = {
    "1": None,
    "4": Memories(num_memories=4, top_k=2),
    "4+shared": Memories(num_memories=4, top_k=2, shared=True),
}
COMMON = Memories(num_memories=4, top_k=2, shared=True, common_kv=True)
ATTENTION = AttentionOptions(num_heads=4, num_kv_heads=2, head_dim=8, window=11, qk_norm=True)


def config_of(family: str, memories: Memories | None = None) -> ModelConfig:
    """Two layers, hidden 32, vocabulary 50; large weights, so that every part of it shows."""
    return ModelConfig(
        vocab_size=50,
        hidden_size=32,
        num_layers=2,
        family=family,
        options=FAMILIES[family].Options(**OPTIONS[family]),
        memories=memories,
        intermediate_size=None if family == "mamba2" else 48,
        init_std=0.3,
    )


CASES = {
    f"{family}-{memories}": config_of(family, MEMORIES[memories])
    for family in FAMILIES
    for memories in MEMORIES
}
CASES["gated_deltanet-4+shared-common"] = config_of("gated_deltanet", COMMON)
CASES["hybrid"] = replace(CASES["gla-4+shared"], attention=ATTENTION, attention_layers=(1,))
CASES["transformer"] = replace(
    CASES["gla-1"],
    family=None,
    options=None,
    attention=replace(ATTENTION, window=None, qkv_bias=True),
    attention_layers=(0, 1),
)


def new_model(config: ModelConfig, seed: int = 0) -> LM:
    """A model with drawn weights; every parameter away from where it would not matter."""
    torch.manual_seed(seed)
    model = LM(config).eval()
    model.reset_parameters()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Of several memories a bias is [M, width].
            if parameter.ndim == 1 or ".bias." in name or "lower_bounds" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def sequences(*lengths: int, seed: int = 1) -> list[list[int]]:
    """Token lists of these lengths."""
    torch.manual_seed(seed)
    return [torch.randint(50, (length,)).tolist() for length in lengths]


def run(model: LM, batch: list[list[int]], state=None, routes=None):
    """One call over a batch, with the logits of every token."""
    tokens, cu_seqlens = packed(batch, "cpu")
    with torch.no_grad():
        return model(tokens, cu_seqlens, state, at=torch.arange(len(tokens)), routes=routes)


def error(got: Tensor, want: Tensor) -> float:
    """Relative root mean square error."""
    if want.numel() == 0:
        return 0.0
    return float((got - want).square().mean().sqrt() / want.square().mean().sqrt().clamp_min(1e-20))
