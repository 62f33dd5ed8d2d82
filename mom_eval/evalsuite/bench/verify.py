"""Is a model right on this machine? Its kernels beside torch's in float32, before it is timed."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor

from mom_eval.errors import SettingError
from mom_eval.evalsuite.bench.machine import Machine
from mom_eval.evalsuite.bench.ops import relative
from mom_eval.evalsuite.bench.reading import loss, read
from mom_eval.evalsuite.bench.timing import seconds
from mom_eval.kernels import Routes
from mom_eval.kernels.late import EVERY
from mom_eval.models import LM, Output, State, cast
from mom_eval.models.decoder import Decoder

BATCH, LENGTH = 2, 96
"""Of the sequences that are compared: more than one chunk of the recurrences."""
STEPS = EVERY + 1
"""Tokens that are decoded behind them, so that states are written; where there is a router one, as
a choice that rounding turns changes what all later tokens find."""
FLOAT32 = 2e-3
"""The largest relative error of logits in float32 that is rounding: products in tf32, thrice."""
TIMES = 1.5
"""In half precision: times the error of torch's own kernels with the same roundings, which grows
with the number of layers."""
GRADIENTS, GRADIENTS_HALF = 1e-4, 3e-2
"""The largest relative errors of all gradients together that are rounding, in float32 and in half
precision; there more where torch's own kernels have more, as those of six layers already have."""
SLACK = 10
"""Bounds by which the logit of a decoded token may lie below the highest one, in the truth and over
its root mean square: the largest of thousands of errors is several times the usual one."""

_CHECK = ", and `mom-eval bench op --check` says which of them it is"


class Verified(NamedTuple):
    """A model that is right."""

    tokens: Tensor
    """[2, 96] int64, what it read."""
    truth: Tensor
    """[2, 96, vocab], its logits in float32 by torch alone."""
    error: float
    """Relative, of its own logits."""
    most: float
    """The largest that would be rounding."""
    first_s: float
    """Seconds of its first call in this process, with whatever was compiled."""


class VerifiedGradients(NamedTuple):
    """A model whose gradients are right."""

    tokens: Tensor
    """[2, 96] int64, what it read."""
    truth: float
    """Its loss in float32 by torch alone, mean nats."""
    error: float
    """Relative, of all its gradients together."""
    most: float
    """The largest that would be rounding."""
    first_s: float
    """Seconds of its first forward and backward pass, with whatever was compiled."""


@torch.inference_mode()
def verified(label: str, lm: LM, machine: Machine) -> Verified:
    """Compare a model with itself in float32 and torch, in prefill and in steps of decoding.

    In prefill the truth's choices of memories are forced upon it: near a tie rounding turns a
    choice, and a turned choice is no error.

    Raises:
        SettingError: it is wrong.
    """
    tokens = _tokens(lm, machine)
    steps = STEPS if lm.config.memories is None else 1
    tokens, more = tokens[:, :LENGTH], tokens[:, LENGTH : LENGTH + steps]
    reference = _reference(lm)
    truth = read(reference, tokens, every=True)
    forced = _chosen(truth.routing)
    held: list[Output] = []
    first_s = seconds(lambda: held.append(read(lm, tokens, routes=forced, every=True)), machine)
    error = relative(held[0].logits, truth.logits)
    most = FLOAT32
    if lm.embeddings.weight.dtype != torch.float32:
        most = TIMES * relative(_by_torch(lm, tokens, forced), truth.logits)
    if not error <= most:
        raise SettingError(_refusal(label, machine, "its logits are", error, most) + _CHECK)
    after = read(reference, more, truth.state).logits
    gap = _gap(_decoded(lm, held[0].state, more), after)
    if not gap <= SLACK * most:
        what = "a decoded token is"
        raise SettingError(_refusal(label, machine, what, gap, SLACK * most) + _CHECK)
    return Verified(tokens, truth.logits.unflatten(0, tokens.shape), error, most, first_s)


def verified_gradients(label: str, lm: LM, machine: Machine) -> VerifiedGradients:
    """Compare a model's gradients with those of itself in float32 and torch, as `verified` does.

    Raises:
        SettingError: they are wrong.
    """
    tokens = _tokens(lm, machine)[:, :LENGTH]
    reference = _reference(lm)
    truth, routing = loss(reference, tokens)
    truth.backward()
    forced = _chosen(routing)

    def step(one: LM) -> None:
        loss(one, tokens, routes=forced)[0].backward()

    first_s = seconds(lambda: step(lm), machine)
    error, most = _gradient_error(lm, reference), GRADIENTS
    if lm.embeddings.weight.dtype != torch.float32:
        by_torch = copy.copy(lm)
        by_torch.kernels = "torch"
        step(by_torch)
        most = max(GRADIENTS_HALF, TIMES * _gradient_error(by_torch, reference))
    if not error <= most:
        raise SettingError(_refusal(label, machine, "its gradients are", error, most))
    return VerifiedGradients(tokens, float(truth.detach()), error, most, first_s)


def _gradient_error(lm: LM, reference: LM) -> float:
    """Root mean square of the difference of all gradients over that of the reference's.

    The model's own are gone then.
    """
    wrong = whole = 0.0
    for one, true in zip(lm.parameters(), reference.parameters(), strict=True):
        found, wanted = (
            torch.zeros_like(part, dtype=torch.float32) if part.grad is None else part.grad.float()
            for part in (one, true)
        )
        wrong += float((found - wanted).square().sum())
        whole += float(wanted.square().sum())
        one.grad = None
    return (wrong / max(whole, 1e-30)) ** 0.5


def _tokens(lm: LM, machine: Machine) -> Tensor:
    """What is read, and what is decoded behind it."""
    size = (BATCH, LENGTH + STEPS)
    return torch.randint(
        lm.config.vocab_size, size, generator=machine.random(), device=machine.device
    )


def _reference(lm: LM) -> LM:
    """The same model in float32, on torch's kernels."""
    reference = cast(copy.deepcopy(lm), torch.float32)
    reference.kernels = "torch"
    return reference


def _chosen(routing: dict[int, Routes]) -> dict[int, Tensor]:
    """The memories of each layer's tokens."""
    return {layer: routed.memories for layer, routed in routing.items()}


def _by_torch(lm: LM, tokens: Tensor, routes: dict[int, Tensor]) -> Tensor:
    """Logits of the same weights, in the same type, without Triton's kernels."""
    kernels = lm.kernels
    lm.kernels = "torch"
    try:
        return read(lm, tokens, routes=routes, every=True).logits
    finally:
        lm.kernels = kernels


def _decoded(lm: LM, state: State, tokens: Tensor) -> list[int]:
    """What decoding writes behind more tokens [B, T] of each sequence."""
    decoder = Decoder(lm, BATCH, capacity=LENGTH + STEPS)
    decoder.write(range(BATCH), state)
    found: dict[int, int] = {}
    for column in tokens.T.tolist():
        found = decoder.step(dict(enumerate(column)))
    return [found[slot] for slot in range(BATCH)]


def _gap(tokens: list[int], logits: Tensor) -> float:
    """How far the logits [B, vocab] of some tokens lie below the highest, over their own size."""
    chosen = logits.gather(-1, torch.tensor(tokens, device=logits.device)[:, None])[:, 0]
    gaps = (logits.amax(-1) - chosen) / logits.square().mean(-1).sqrt()
    return float(gaps.max())


def _refusal(label: str, machine: Machine, what: str, error: float, most: float) -> str:
    return (
        f"{label} in {machine.dtype_name} is wrong on this machine and is not timed: {what} off by"
        f" {error:.1e} from torch's in float32, at most {most:.1e} is rounding; --kernels torch"
        " does without Triton's kernels"
    )
