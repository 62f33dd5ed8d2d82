"""A model's shape: all that its parameters and its forward pass follow from."""

from dataclasses import dataclass
from typing import Any

from mom_eval.models.memory import Memories


@dataclass(frozen=True, kw_only=True)
class AttentionOptions:
    """Softmax attention: rotary positions, grouped queries, an optional sliding window."""

    num_heads: int
    num_kv_heads: int
    head_dim: int
    rope_theta: float = 10_000.0
    window: int | None = None
    """Tokens that a token sees, itself included; None is all before it."""
    qkv_bias: bool = False
    qk_norm: bool = False

    def __post_init__(self) -> None:
        """Refuse head counts that cannot be grouped."""
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"{self.num_heads} heads over {self.num_kv_heads} key-value heads")
        if self.head_dim % 2:
            raise ValueError(f"rotary positions need an even head_dim, not {self.head_dim}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """One model. A layer mixes by its family, or by attention where `attention_layers` names it."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    family: str | None = None
    """A name in `families.FAMILIES`; None where every layer is attention."""
    options: Any = None
    """The family's own `Options`."""
    memories: Memories | None = None
    """None: the plain family, one memory."""
    attention: AttentionOptions | None = None
    attention_layers: tuple[int, ...] = ()
    intermediate_size: int | None = None
    """Width of the SwiGLU layer; None: no such layer (Mamba-2)."""
    norm_eps: float = 1e-6
    tie_embeddings: bool = False
    residual_float32: bool = False
    """Keep the sum of the layers in float32 (Mamba-2)."""
    max_positions: int | None = None
    """Tokens the model was trained for; None where nothing says."""
    init_std: float = 0.02

    def __post_init__(self) -> None:
        """Refuse layers without a mixer."""
        wrong = [layer for layer in self.attention_layers if not 0 <= layer < self.num_layers]
        if wrong:
            raise ValueError(f"attention layers {wrong} of {self.num_layers} layers")
        if self.attention_layers and self.attention is None:
            raise ValueError("attention_layers are named, but attention has no options")
        if self.family is None and len(set(self.attention_layers)) < self.num_layers:
            raise ValueError("no family for the layers without attention")

    @property
    def name(self) -> str:
        """How a table calls this architecture: `mom-gated_deltanet`, `gla+attention`, ..."""
        if self.family is None:
            return "transformer"
        routed = f"mom-{self.family}" if self.memories else self.family
        return f"{routed}+attention" if self.attention_layers else routed
