"""Arguments of the two recurrences for every gate kind, and memory that is NaN until written."""

import gc
import os
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from mom_eval.kernels import gated_delta, gated_slot, l2_norm
from mom_eval.models import LM, ModelConfig
from mom_eval.models.decoder import Decoder

KINDS = ["none", "head", "channel", "none-delta", "head-delta", "channel-delta", "slot"]
DECAYS: dict[str, Callable[[Tensor], Tensor]] = {
    # From numbers in [0, 1): close to 0; so that half a chunk forgets nearly e^-60, or about that
    # much, where kernels change their way; anything from 0 to -50; -50 at every token.
    "mild": lambda x: -0.2 * x,
    "near": lambda x: -1.75 - 0.1 * x,
    "edge": lambda x: -3.1 * x,
    "wild": lambda x: -50 * x**4,
    "full": lambda x: torch.full_like(x, -50.0),
}


@dataclass(frozen=True)
class Case:
    """An op, its arguments along the tokens by name, the states, the lengths of the segments."""

    op: Callable[..., tuple[Tensor, Tensor]]
    stream: dict[str, Tensor]
    state: Tensor
    lengths: tuple[int, ...]

    def run(self, impl: str) -> tuple[Tensor, Tensor]:
        """Reads and states."""
        segments = torch.tensor([0, *accumulate(self.lengths)], device=self.state.device)
        return self.op(**self.stream, state=self.state, cu_seqlens=segments, impl=impl)

    def to(self, there: torch.dtype | torch.device) -> "Case":
        """The case in another type, or on another device."""
        stream = {name: x.to(there) for name, x in self.stream.items()}
        return replace(self, stream=stream, state=self.state.to(there))

    def tokens(self, chosen: Tensor, state: Tensor, lengths: tuple[int, ...]) -> "Case":
        """These tokens, in segments of these lengths, from this state."""
        stream = {name: x[chosen] for name, x in self.stream.items()}
        return replace(self, stream=stream, state=state, lengths=lengths)

    def places(self) -> list[Tensor]:
        """The tokens of each segment."""
        return [torch.arange(*ends) for ends in pairwise([0, *accumulate(self.lengths)])]

    def segments(self, chosen: list[int]) -> "Case":
        """These segments, in this order."""
        places, lengths = self.places(), tuple(self.lengths[n] for n in chosen)
        return self.tokens(torch.cat([places[n] for n in chosen]), self.state[chosen], lengths)

    def gradients(self, impl: str) -> dict[str, Tensor]:
        """Reads, states, and the gradients of a random sum of both, by name."""
        leaves = {name: x.clone().requires_grad_() for name, x in self.stream.items()}
        state = self.state.clone().requires_grad_()
        o, states = replace(self, stream=leaves, state=state).run(impl)
        random = torch.Generator().manual_seed(9)
        weights = [torch.randn(x.shape, generator=random).to(x) for x in (o, states)]
        torch.autograd.backward([o, states], weights)
        grads = {f"d{name}": x.grad for name, x in (leaves | {"state": state}).items()}
        return {"o": o.detach(), "states": states.detach()} | grads


def gated_delta_case(kind: str, lengths: tuple[int, ...], decay: str, sizes: tuple) -> Case:
    random, length, (H, HV, K, V) = torch.Generator().manual_seed(7), sum(lengths), sizes
    stream = {
        "q": torch.randn(length, H, K, generator=random),
        "k": l2_norm(torch.randn(length, H, K, generator=random)),
        "v": torch.randn(length, HV, V, generator=random),
    }
    shapes = {"head": (length, HV), "channel": (length, HV, K)}
    gate, _, delta = kind.partition("-")
    if gate != "none":
        stream["g"] = DECAYS[decay](torch.rand(shapes[gate], generator=random))
    if delta:
        stream["beta"] = 2 * torch.rand(length, HV, generator=random)
    state = torch.randn(len(lengths), HV, K, V, generator=random)
    return Case(gated_delta, stream, state, lengths)


def gated_slot_case(lengths: tuple[int, ...], decay: str, sizes: tuple) -> Case:
    random, length, (H, _, K, M) = torch.Generator().manual_seed(8), sum(lengths), sizes
    q, k = torch.randn(2, length, H, K, generator=random)
    g = DECAYS[decay](torch.rand(length, H, M, generator=random))
    stream = {"q": q, "k": k, "s": -torch.expm1(g), "g": g}
    return Case(gated_slot, stream, torch.randn(len(lengths), H, K, M, generator=random), lengths)


def small_enough(config: ModelConfig) -> ModelConfig:
    """What the interpreter runs in seconds: of several memories, whose rows are many, one layer.

    HGRN2 keeps two: the bound of its first layer is none and has no gradient.
    """
    if torch.cuda.is_available() or config.memories is None or config.family == "hgrn2":
        return config
    return replace(config, num_layers=1)


def make_step(model: LM, slots: int) -> None:
    """A step of decoding in so many slots."""
    rows = torch.arange(slots, device=model.embeddings.weight.device)
    Decoder(model, slots, capacity=16).push(torch.zeros_like(rows), rows)


def forget_kernels() -> None:
    """As in a new process: no kernel of Triton is compiled."""
    from mom_eval.kernels.launch import Kernel

    for kernel in gc.get_objects():
        if isinstance(kernel, Kernel):
            kernel._compiled.clear()
            kernel.function.device_caches.clear()


def but_slow(cases: Iterable[str], slow: Container[str]) -> list[Any]:
    """The cases as parameters, of which those in `slow` are for `-m slow`."""
    return [pytest.param(one, marks=[pytest.mark.slow] if one in slow else []) for one in cases]


@pytest.fixture(autouse=True, scope="session")
def _comparisons_are_truth_values():
    """In Triton 3.9's interpreter a comparison has the type of what it compares.

    Spread over a mask a single one would be an integer there, which a load then refuses.
    """
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("TRITON_INTERPRET") == "1":
            import triton.language as tl
            from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

            spread = InterpreterBuilder.create_splat

            def splat(self, shape, x):
                one = TensorHandle(x.data, tl.int1) if x.data.dtype == bool else x
                return spread(self, shape, one)

            patch.setattr(InterpreterBuilder, "create_splat", splat)
        yield


@pytest.fixture(params=KINDS)
def make_case(request):
    """For each kind of recurrence: lengths -> a random float32 case; `sizes` are H, HV, K, V."""
    kind: str = request.param

    def make(lengths: tuple[int, ...], decay: str = "mild", sizes: tuple = (1, 2, 6, 5)) -> Case:
        if kind == "slot":
            return gated_slot_case(lengths, decay, sizes)
        return gated_delta_case(kind, lengths, decay, sizes)

    return make


@pytest.fixture
def relative():
    """The distance of a tensor from the true one: root mean square of the difference over it.

    Where the truth is nearly nothing, as the gradient of a gate that let nothing through, 1e-13 is:
    it is the rounding of terms of size one that cancel. `least`: what counts as the truth's norm.
    """

    def distance(x: Tensor, truth: Tensor, least: float = 1e-8) -> float:
        difference = x.double() - truth.double()
        return float(difference.norm() / truth.double().norm().clamp_min(least))

    return distance


@pytest.fixture(autouse=True)
def _poisoned():
    """What torch.empty gives is NaN, or the largest integer; random numbers repeat."""
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)
