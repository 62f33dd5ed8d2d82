"""A step of training: forward and backward by length and batch, and forward alone; no optimizer."""

from collections.abc import Iterator, Sequence
from copy import copy
from functools import partial
from itertools import product
from typing import Any, Protocol

from torch import Tensor

from mom_eval.errors import SettingError
from mom_eval.evalsuite.bench.machine import Machine, check_counts
from mom_eval.evalsuite.bench.peer_models import check_peer, peer_model
from mom_eval.evalsuite.bench.presets import checkpoint, model
from mom_eval.evalsuite.bench.reading import loss
from mom_eval.evalsuite.bench.sides import Say, Sides, benched
from mom_eval.evalsuite.bench.timing import Run, seconds
from mom_eval.evalsuite.bench.verify import VerifiedGradients, verified_gradients
from mom_eval.evalsuite.quiet import quiet_libraries
from mom_eval.models import LM
from mom_eval.models.ahead import compile_gradients
from mom_eval.models.work import Rates, Work
from mom_eval.results.bench import Bench, Measured, Row

LENGTHS = {"cuda": (512, 2048), "cpu": (128,)}
BATCHES = {"cuda": (8, 32), "cpu": (1, 2)}
"""Where none are asked for."""


def bench_training(
    names: Sequence[str],
    *,
    batch: Sequence[int] | None = None,
    lengths: Sequence[int] | None = None,
    against: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    kernels: str = "auto",
    allow_pickle: bool = False,
    seed: int = 0,
    say: Say = lambda text: None,
) -> Bench:
    """Time a step of every model at every batch and length, once its gradients are right.

    Args:
        names: presets, or checkpoints of our own models.
        batch: sequences at once; None: usual ones of the device.
        lengths: tokens of each; None: usual ones of the device.
        against: `torch`, the same model without Triton's kernels; `fla` or `hf`, whose model gets
            the same weights; None: nobody.
        device, dtype, kernels, allow_pickle: as `evaluate` takes them; dtype `auto` is bfloat16 on
            a GPU.
        seed: draws weights and tokens.
        say: is told each row as it is measured.

    Raises:
        MomEvalError: a model's gradients are wrong, it is not there, or options do not fit.
    """
    quiet_libraries()
    machine = Machine.of(device, dtype, kernels, seed)
    kind = machine.device.type
    batches, sizes = batch or BATCHES[kind], lengths or LENGTHS[kind]
    check_counts(batch=min(batches), lengths=min(sizes))
    if min(sizes) < 2:
        raise SettingError(f"--lengths {min(sizes)} leaves no token to predict; take 2 or more")
    check_peer(against, machine)
    for name in names:
        checkpoint(name, allow_pickle=allow_pickle)
    asked = {"batch": batches, "lengths": sizes, "against": against}

    def begin(name: str, rates: Rates) -> tuple[list[str], Iterator[Row]]:
        one = _Step.ready(name, against, machine, rates, allow_pickle)
        return one.notes, one.rows(batches, sizes)

    return benched("train", names, machine, asked, begin, say)


class Learner(Protocol):
    """What a step is made of."""

    def parameters(self) -> Iterator[Tensor]:
        """Its weights, each once."""
        ...

    def loss(self, tokens: Tensor) -> Tensor:
        """Mean nats of each sequence's tokens [B, T] but its first, with gradients."""
        ...


class Own:
    """A model of ours that learns."""

    def __init__(self, lm: LM, kernels: str) -> None:
        """The weights are those of `lm`, the kernels another matter."""
        self._lm = copy(lm)
        self._lm.kernels = kernels

    def parameters(self) -> Iterator[Tensor]:
        """Its weights, each once."""
        return self._lm.parameters()

    def loss(self, tokens: Tensor) -> Tensor:
        """Mean nats of each sequence's tokens [B, T] but its first."""
        return loss(self._lm, tokens)[0]


class _Step(Sides[Learner]):
    """Learns."""

    @classmethod
    def ready(
        cls, name: str, against: str | None, machine: Machine, rates: Rates, allow_pickle: bool
    ) -> "_Step":
        """Load it and see that its gradients are right."""
        label, lm = model(name, machine, allow_pickle=allow_pickle)
        compile_gradients(lm.train().requires_grad_(True))
        seen = verified_gradients(label, lm, machine)
        notes = [
            f"{label}: first step in this process {seen.first_s:.1f} s; relative error of its"
            f" gradients {seen.error:.1e}, at most {seen.most:.1e} is rounding."
        ]
        one = cls(label, lm, machine, rates, notes)
        if against is not None:
            one.meet(against, partial(one._compared, against, seen))
        return one

    def _compared(self, against: str, seen: VerifiedGradients) -> tuple[Learner, str]:
        """The peer once it has made a step, and how far its loss lies from ours."""
        if against == "torch":
            peer: Learner = Own(self.lm, "torch")
        else:
            peer = peer_model(self.lm, against, self.machine).learning()
        first = seconds(_step(peer, seen.tokens), self.machine)
        error = abs(float(peer.loss(seen.tokens).detach()) / seen.truth - 1)
        return (
            peer,
            f"first step {first:.1f} s; its loss differs from ours in float32 by {error:.1e}",
        )

    def rows(self, batches: Sequence[int], lengths: Sequence[int]) -> Iterator[Row]:
        """All that is asked for, forward before the whole step; the longest last."""
        for length, batch in product(sorted(set(lengths)), sorted(set(batches))):
            tokens, work = self.tokens(batch, length), self.work
            yield self._timed("forward", tokens, work.forward(batch, length))
            yield self._timed("train", tokens, work.step(batch, length))

    def _timed(self, phase: str, tokens: Tensor, work: Work) -> Row:
        """Forward alone, with all that is kept for the backward pass; or, of `train`, both."""
        make = _step if phase == "train" else _forward
        peer, own = self.peer, Own(self.lm, self.machine.kernels)
        batch, length = tokens.shape
        row = Row(
            work=self.label,
            phase=phase,
            batch=batch,
            length=length,
            tokens=batch * length,
            ours=Measured(),
            floor_ms=work.floor_ms(self.rates),
        )
        return self.row(
            row,
            lambda: make(own, tokens),
            None if peer is None else lambda: make(peer, tokens),
        )


def _forward(learner: Learner, tokens: Tensor) -> Run:
    return lambda: learner.loss(tokens)


def _step(learner: Learner, tokens: Tensor) -> Run:
    """Forward and backward; gradients are gone afterwards, as they are before a step."""

    def step() -> Any:
        try:
            learner.loss(tokens).backward()
        finally:
            for part in learner.parameters():
                part.grad = None

    return step
