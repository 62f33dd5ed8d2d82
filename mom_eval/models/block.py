"""A layer: a mixer and a feed-forward part, each behind its norm."""

from torch import Tensor, nn

from mom_eval.kernels import Routes, add_norm_swiglu, few_linear, swiglu
from mom_eval.models.attention import Attention
from mom_eval.models.config import ModelConfig
from mom_eval.models.families import FAMILIES
from mom_eval.models.family import RMSNorm, Stream, wide
from mom_eval.models.memory import Mixer


class SwiGLU(nn.Module):
    """down(silu(gate x) * up x), arXiv 2002.05202."""

    def __init__(self, hidden: int, width: int) -> None:
        """Gate and up are one weight [2 width, hidden], gate first."""
        super().__init__()
        self.gate_up = nn.Linear(hidden, 2 * width, bias=False)
        self.down = nn.Linear(width, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[L, D] -> [L, D]."""
        return self.down(swiglu(self.gate_up(x)))

    def step(self, x: Tensor, y: Tensor, norm: RMSNorm) -> tuple[Tensor, Tensor]:
        """`forward` of the norm of x + y [R, D], of few rows: that sum, and what is made of it.

        The latter as parts [S, R, D] whose sum it is; so may y be.
        """
        assert norm.weight is not None
        x, made = add_norm_swiglu(x, y, norm.weight, self.gate_up.weight, eps=norm.eps)
        return x, few_linear(made, self.down.weight)

    def pieces(self) -> dict[str, Tensor]:
        """The three published weights, as views."""
        gate, up = self.gate_up.weight.chunk(2)
        return {"gate.weight": gate, "up.weight": up, "down.weight": self.down.weight}


class Block(nn.Module):
    """x + mixer(norm(x)), then x + swiglu(norm(x)) where there is one.

    The stream comes and goes as x and the y that is still to be added, so that each sum and the
    norm behind it are one kernel.
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        """The mixer is attention or the family's, by the config."""
        super().__init__()
        hidden = config.hidden_size
        self.residual_float32 = config.residual_float32
        self.mixer_norm = RMSNorm(hidden, config.norm_eps)
        if layer in config.attention_layers:
            assert config.attention is not None
            self.mixer: Attention | Mixer = Attention(config.attention, hidden)
        else:
            assert config.family is not None
            family = FAMILIES[config.family](config.options, hidden, config.norm_eps)
            self.mixer = Mixer(family, hidden, config.memories)
        self.mlp_norm = self.mlp = None
        if config.intermediate_size is not None:
            self.mlp_norm = RMSNorm(hidden, config.norm_eps)
            self.mlp = SwiGLU(hidden, config.intermediate_size)

    def forward(
        self,
        x: Tensor,
        y: Tensor | None,
        at: Stream,
        state: dict[str, Tensor] | None,
        routes: Tensor | None,
    ) -> tuple[Tensor, Tensor, dict[str, Tensor], Routes | None]:
        """The stream x + y [L, D] -> x, y, the layer's state, and its routing."""
        if self.residual_float32:
            x = wide(x)
        x, normed = self.mixer_norm.behind(x, y)
        mixed, kept, routing = self.mixer(normed, at, state, routes)
        if self.mlp is not None and self.mlp_norm is not None:
            x, normed = self.mlp_norm.behind(x, mixed)
            mixed = self.mlp(normed)
        return x, mixed, kept, routing

    def step(
        self, x: Tensor, y: Tensor | None, at: Stream, state: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """`forward` for one token in each of some slots, whose states change in place.

        The second is parts [S, R, D] whose sum it is; so may y be.
        """
        if self.residual_float32:
            x = wide(x)
        x, mixed = self.mixer.step(x, y, self.mixer_norm, at, state)
        if self.mlp is not None and self.mlp_norm is not None:
            x, mixed = self.mlp.step(x, mixed, self.mlp_norm)
        return x, mixed

    def pieces(self) -> dict[str, Tensor]:
        """Every parameter by its canonical name."""
        out = {f"mixer.{name}": part for name, part in self.mixer.pieces().items()}
        out |= {f"mixer_norm.{name}": part for name, part in self.mixer_norm.named_parameters()}
        if self.mlp is not None and self.mlp_norm is not None:
            out |= {f"mlp_norm.{name}": part for name, part in self.mlp_norm.named_parameters()}
            out |= {f"mlp.{name}": part for name, part in self.mlp.pieces().items()}
        return out
