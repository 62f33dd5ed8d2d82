"""Our model and a peer's: what both do is measured one after the other, once ours is right."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from mom_eval.errors import SettingError
from mom_eval.evalsuite.bench.machine import Machine, command
from mom_eval.evalsuite.bench.peer_models import PEERS
from mom_eval.evalsuite.bench.peer_ops import failure_of
from mom_eval.evalsuite.bench.presets import PRESETS
from mom_eval.evalsuite.bench.rates import launched, measured_rates
from mom_eval.evalsuite.bench.timing import Run, measured
from mom_eval.evalsuite.memory import release_memory
from mom_eval.models import LM
from mom_eval.models.work import ModelWork, Rates
from mom_eval.results.bench import Bench, Launched, Measured, Row

Say = Callable[[str], None]


class Weighed(Protocol):
    """Something with weights."""

    def parameters(self) -> Iterator[Tensor]:
        """Each once."""
        ...


P = TypeVar("P", bound=Weighed)


@dataclass
class Sides(Generic[P]):
    """A model that is right, and its peer where it has one."""

    label: str
    lm: LM
    machine: Machine
    rates: Rates
    notes: list[str]
    peer: P | None = None
    absent: bool = field(default=False, init=False)
    """Is a peer asked for, and there is none?"""

    def meet(self, against: str, look: Callable[[], tuple[P, str]]) -> None:
        """Get the peer and what there is to say of it; where there is none, say why."""
        try:
            self.peer, said = look()
        except SettingError as error:
            self._lacks(str(error))
        # Whatever a peer raises, it is the peer's answer, and the table shows it.
        except Exception as failure:
            self._lacks(f"{PEERS[against]} {failure_of(failure)}")
        else:
            self.notes.append(f"{self.label} of {PEERS[against]}: {said}.")
        release_memory()

    def _lacks(self, reason: str) -> None:
        self.absent = True
        self.notes.append(f"{self.label}: {reason}.")

    def row(self, row: Row, ours: Callable[[], Run], peer: Callable[[], Run] | None) -> Row:
        """The row with both sides measured, ours first; what is held for one is gone for the other.

        Args:
            row: without times.
            ours: prepares our call.
            peer: prepares the peer's; None: there is none.
        """
        found, kernels = self._ours(ours)
        row = replace(row, ours=found, launched=kernels)
        release_memory()
        if peer is None:
            return replace(row, peer=Measured(note="none")) if self.absent else row
        try:
            theirs = self._without(self.lm, self.peer, measured(peer, self.machine))
        # As in `meet`.
        except Exception as failure:
            theirs = Measured(note=failure_of(failure))
        release_memory()
        return replace(row, peer=theirs)

    def _ours(self, make: Callable[[], Run]) -> tuple[Measured, tuple[Launched, ...]]:
        """Our time, and our kernels."""
        held: list[Run] = []

        def keep() -> Run:
            held.append(make())
            return held[0]

        found = measured(keep, self.machine)
        kernels = () if found.ms is None else launched(held[0], self.machine)
        return self._without(self.peer, self.lm, found), kernels

    def _without(self, other: Weighed | None, own: Weighed | None, found: Measured) -> Measured:
        """Without the weights that are only the other side's, and on the GPU all the while.

        On a CPU the process' size is not counted so exactly, and is left as it is.
        """
        if other is None or own is None or found.peak_bytes is None or not self.machine.gpu:
            return found
        known = {id(part) for part in own.parameters()}
        weights = sum(part.nbytes for part in other.parameters() if id(part) not in known)
        return replace(found, peak_bytes=found.peak_bytes - weights)

    @property
    def work(self) -> ModelWork:
        """What the model must do at least."""
        return ModelWork(self.lm.config, self.machine.dtype)

    def tokens(self, batch: int, length: int) -> Tensor:
        """Random ones [B, T], the same each time."""
        machine = self.machine
        return torch.randint(
            self.lm.config.vocab_size,
            (batch, length),
            generator=machine.random(),
            device=machine.device,
        )


def benched(
    kind: str,
    names: Sequence[str],
    machine: Machine,
    asked: dict[str, Any],
    begin: Callable[[str, Rates], tuple[list[str], Iterator[Row]]],
    say: Say,
) -> Bench:
    """All models, one after the other.

    Args:
        kind: model or train.
        names: presets, or checkpoints.
        machine: where.
        asked: the options of the command, by name.
        begin: sees that a model is right; what there is to say of it, and its rows as they come.
        say: is told each row as it is measured.
    """
    rates = measured_rates(machine)
    rows, notes = [], []
    for name in names:
        said, found = begin(name, rates)
        notes += said
        for row in found:
            rows.append(row)
            say(row.line())
        del found
        release_memory()
    about = {
        "command": command(kind, names, machine, **asked),
        "random_weights": all(name in PRESETS for name in names),
    }
    return Bench(
        kind=kind,
        rows=rows,
        peer=asked["against"],
        rates=rates._asdict(),
        about=machine.about() | about,
        notes=notes,
    )
