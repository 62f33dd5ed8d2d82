"""Models: prefill by length and batch, one step of decoding by context and batch."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor

from mom_eval.evalsuite.bench.machine import Machine, check_counts
from mom_eval.evalsuite.bench.ops import relative
from mom_eval.evalsuite.bench.peer_models import PeerModel, check_peer, peer_model
from mom_eval.evalsuite.bench.presets import checkpoint, model
from mom_eval.evalsuite.bench.reading import groups, prefill
from mom_eval.evalsuite.bench.sides import Say, Sides, benched
from mom_eval.evalsuite.bench.timing import Run, seconds
from mom_eval.evalsuite.bench.verify import Verified, verified
from mom_eval.evalsuite.engine.limits import room_of
from mom_eval.evalsuite.quiet import quiet_libraries
from mom_eval.models.decoder import Decoder
from mom_eval.models.late_states import written_every
from mom_eval.models.work import Rates
from mom_eval.results.bench import Bench, Measured, Row

LENGTHS = {"cuda": (300, 2048, 8192, 65_536), "cpu": (300, 2048)}
BATCHES = {"cuda": (1, 2, 8, 32), "cpu": (1, 2)}
"""Where none are asked for."""
_STEPS = 128
"""Tokens that a slot has room for behind its context: more than one measurement writes."""
_PIECE = 32_768
"""Tokens of a call that only fills the context of decoding."""


def bench_models(
    names: Sequence[str],
    *,
    batch: Sequence[int] | None = None,
    lengths: Sequence[int] | None = None,
    context: Sequence[int] = (1024,),
    against: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    kernels: str = "auto",
    allow_pickle: bool = False,
    seed: int = 0,
    say: Say = lambda text: None,
) -> Bench:
    """Time every model at every batch and length, once each is seen to be right.

    Args:
        names: presets, or checkpoints of our own models.
        batch: sequences at once; None: usual ones of the device.
        lengths: tokens of each in prefill; None: usual ones of the device.
        context: tokens before the one that is decoded.
        against: `fla` or `hf`, whose model gets the same weights; None: nobody.
        device, dtype, kernels, allow_pickle: as `evaluate` takes them; dtype `auto` is bfloat16 on
            a GPU.
        seed: draws weights and tokens.
        say: is told each row as it is measured.

    Raises:
        MomEvalError: a model is wrong or not there, or options do not fit.
    """
    quiet_libraries()
    machine = Machine.of(device, dtype, kernels, seed)
    kind = machine.device.type
    batches, sizes = batch or BATCHES[kind], lengths or LENGTHS[kind]
    check_counts(batch=min(batches), lengths=min(sizes), context=min(context))
    check_peer(against, machine)
    for name in names:
        checkpoint(name, allow_pickle=allow_pickle)
    asked = {"batch": batches, "lengths": sizes, "context": context, "against": against}

    def begin(name: str, rates: Rates) -> tuple[list[str], Iterator[Row]]:
        one = _One.ready(name, against, machine, rates, allow_pickle)
        return one.notes, one.rows(batches, sizes, context)

    return benched("model", names, machine, asked, begin, say)


class _One(Sides[PeerModel]):
    """Reads and decodes."""

    @classmethod
    def ready(
        cls, name: str, against: str | None, machine: Machine, rates: Rates, allow_pickle: bool
    ) -> "_One":
        """Load it and see that it is right."""
        label, lm = model(name, machine, allow_pickle=allow_pickle)
        seen = verified(label, lm, machine)
        notes = [
            f"{label}: first call in this process {seen.first_s:.1f} s; relative"
            f" error of its logits {seen.error:.1e}, at most {seen.most:.1e} is"
            " rounding."
        ]
        one = cls(label, lm, machine, rates, notes)
        if against is not None:
            one.meet(against, partial(one._compared, against, seen))
        return one

    @torch.inference_mode()
    def _compared(self, against: str, seen: Verified) -> tuple[PeerModel, str]:
        """The peer, and how far its logits differ, which is told and no reason to refuse.

        Its router may round other than ours, and no routes can be forced upon it.
        """
        held: list[Tensor] = []
        peer = peer_model(self.lm, against, self.machine)
        first = seconds(lambda: held.append(peer.logits(seen.tokens)), self.machine)
        error = relative(held[0], seen.truth)
        return peer, (
            f"first call {first:.1f} s; its logits differ from ours in float32 by {error:.1e}"
        )

    def rows(
        self, batches: Sequence[int], lengths: Sequence[int], contexts: Sequence[int]
    ) -> Iterator[Row]:
        """All that is asked for; the longest last, whose lack of memory is no matter to others."""
        for work, sizes in ((self.prefill, lengths), (self.decode, contexts)):
            for size, batch in product(sorted(set(sizes)), sorted(set(batches))):
                yield work(batch, size)

    @torch.inference_mode()
    def prefill(self, batch: int, length: int) -> Row:
        """Read `length` tokens in each of `batch` sequences, with the logits behind them.

        In one call, or as the engine does in several where that would be more than it reads at
        once; the peer gets the same sequences together.
        """
        tokens, peer, room = self.tokens(batch, length), self.peer, room_of(self.lm).tokens
        return self.row(
            Row(
                work=self.label,
                phase="prefill",
                batch=batch,
                length=length,
                tokens=batch * length,
                ours=Measured(),
                floor_ms=self.work.prefill(batch, length).floor_ms(self.rates),
            ),
            lambda: partial(prefill, self.lm, tokens, room),
            None if peer is None else lambda: partial(_each, peer, groups(tokens, room)),
        )

    @torch.inference_mode()
    def decode(self, batch: int, context: int) -> Row:
        """One token more in each of `batch` sequences, begun as the engine does, a step ahead."""
        tokens = self.tokens(batch, context)
        peer, every = self.peer, written_every(self.lm)
        return self.row(
            Row(
                work=self.label,
                phase="decode",
                batch=batch,
                length=context,
                tokens=batch,
                ours=Measured(),
                floor_ms=self.work.decode(batch, context, every=every).floor_ms(self.rates),
            ),
            lambda: self._stepping(tokens),
            None if peer is None else lambda: peer.decoding(tokens),
        )

    def _stepping(self, tokens: Tensor) -> Run:
        """A call that decodes a token behind [B, T], each behind the one before."""
        batch, length = tokens.shape
        decoder = Decoder(self.lm, batch, capacity=length + _STEPS)
        for slot in range(batch):
            (read,) = prefill(self.lm, tokens[slot : slot + 1], _PIECE)
            decoder.write([slot], read.state)
        first: dict[int, int | None] = dict(enumerate(tokens[:, -1].tolist()))
        after = dict.fromkeys(first)

        def step() -> dict[int, int]:
            if first:
                # Within the first call, which has all that is compiled for it.
                decoder.begin(first)
                first.clear()
            decoder.begin(after)
            return decoder.end(after)

        return step


def _each(peer: PeerModel, tokens: Sequence[Tensor]) -> list[Any]:
    """The peer's prefill of some sequences after the other."""
    return [peer.prefill(some) for some in tokens]
