"""`gated_delta` in all its variants: inputs, the truth on a slice, times beside a peer's."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mom_eval.errors import SettingError
from mom_eval.evalsuite.bench.machine import Machine, command
from mom_eval.evalsuite.bench.peer_ops import Peer, failure_of, peer_op
from mom_eval.evalsuite.bench.rates import launched, measured_rates
from mom_eval.evalsuite.bench.timing import measured, seconds
from mom_eval.evalsuite.memory import release_memory
from mom_eval.kernels import gated_delta, preferring
from mom_eval.models.work import Rates, op_work
from mom_eval.results.bench import Bench, Measured, Row

CHECKED = 256
"""Tokens at the beginning of the first and the last sequence that are compared with the truth."""


class Op(NamedTuple):
    """A variant of the recurrence."""

    gate: str
    """none, head or channel."""
    delta: bool
    families: str


OPS = {
    "head-delta": Op("head", True, "Gated DeltaNet"),
    "delta": Op("none", True, "DeltaNet"),
    "head": Op("head", False, "Mamba-2, RetNet"),
    "channel": Op("channel", False, "GLA, HGRN2"),
    "channel-delta": Op("channel", True, "KDA"),
    "plain": Op("none", False, "linear attention"),
}


class Shape(NamedTuple):
    """[B, T, H, K]; values are as wide as keys."""

    batch: int
    length: int
    heads: int
    key: int


SHAPES = {"cuda": Shape(8, 2048, 16, 128), "cpu": Shape(1, 512, 2, 64)}
"""Where none is asked for."""


def bench_ops(
    shapes: Sequence[Sequence[int]] = (),
    *,
    against: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    kernels: str = "auto",
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Bench:
    """Time every variant at every shape, forward.

    Args:
        shapes: (B, T, H, K) each; none: a usual one of the device.
        against: `fla`, or None.
        device, dtype, kernels: as `evaluate` takes them; dtype `auto` is bfloat16 on a GPU.
        seed: draws the inputs.
        say: is told each row as it is measured.

    Raises:
        SettingError: a result is wrong, or options that do not fit.
    """
    machine = Machine.of(device, dtype, kernels, seed)
    asked = [checked_shape(shape) for shape in shapes] or [SHAPES[machine.device.type]]
    peers = {name: peer_op(name, against, machine) for name in OPS}
    rates = measured_rates(machine)
    rows = []
    for shape in asked:
        for name in OPS:
            rows.append(_row(name, shape, peers[name], rates, machine))
            release_memory()
            say(rows[-1].line())
    again = [("shape", ",".join(map(str, shape))) for shape in asked]
    return Bench(
        kind="op",
        rows=rows,
        peer=against,
        rates=rates._asdict(),
        about=machine.about()
        | {
            "command": command("op", [], machine, against=against)
            + "".join(f" --{option} {value}" for option, value in again)
        },
    )


def checked_shape(shape: Sequence[int]) -> Shape:
    """Four numbers from 1 on.

    Raises:
        SettingError: they are not.
    """
    if len(shape) != 4 or min(shape) < 1:
        text = ",".join(map(str, shape))
        raise SettingError(f"--shape {text} is not B,T,H,K, four numbers from 1 on")
    return Shape(*shape)


def inputs(op: Op, shape: Shape, machine: Machine) -> dict[str, Tensor]:
    """What `gated_delta` takes, packed: B sequences of T tokens one after the other."""
    random, device = machine.random(), machine.device
    rows = (shape.batch * shape.length, shape.heads)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=random, device=device)

    q, k = (torch.nn.functional.normalize(normal(*rows, shape.key), dim=-1) for _ in "qk")
    given = {"q": q, "k": k, "v": normal(*rows, shape.key)}
    given = {name: x.to(machine.dtype) for name, x in given.items()}
    if op.gate != "none":
        size = rows if op.gate == "head" else (*rows, shape.key)
        # Memories of one to a thousand tokens, as trained gates have them.
        given["g"] = -torch.exp(-6.9 * torch.rand(*size, generator=random, device=device))
    if op.delta:
        # Rounded, so that a peer whose beta is of q's type is given the same.
        given["beta"] = normal(*rows).sigmoid().to(machine.dtype).float()
    ends = torch.arange(shape.batch + 1, device=device) * shape.length
    return given | {"cu_seqlens": ends}


def bound(dtype: torch.dtype, delta: bool, triton: bool) -> float:
    """The largest relative error that is rounding."""
    if dtype == torch.float32:
        return 2e-3 if triton else 1e-5
    return 1.2e-2 if delta else 6e-3


def relative(x: Tensor, truth: Tensor, least: float = 0.0) -> float:
    """Root mean square of the difference over that of the truth; infinite where x is not finite.

    `least`: what counts as the truth's norm where that is smaller.
    """
    if not bool(x.isfinite().all()):
        return float("inf")
    difference = x.double() - truth.double()
    return float(difference.norm() / truth.double().norm().clamp_min(max(least, 1e-30)))


class Truth:
    """What the four lines give in float64 at the beginning of the first and last sequence."""

    def __init__(self, given: dict[str, Tensor], shape: Shape) -> None:
        """Runs them over `CHECKED` tokens of each."""
        tokens = min(shape.length, CHECKED)
        starts = sorted({0, (shape.batch - 1) * shape.length})
        self._places = [slice(start, start + tokens) for start in starts]
        streams: dict[str, Any] = {
            name: torch.cat([x[place] for place in self._places]).double()
            for name, x in given.items()
            if name != "cu_seqlens"
        }
        ends = torch.arange(len(starts) + 1, device=given["q"].device) * tokens
        self._o, _ = gated_delta(**streams, cu_seqlens=ends, impl="recurrent")

    def error(self, o: Tensor) -> float:
        """Of reads o [L, H, V]."""
        return relative(torch.cat([o[place] for place in self._places]), self._o)


@torch.inference_mode()
def _row(name: str, shape: Shape, peer: Peer | None, rates: Rates, machine: Machine) -> Row:
    """One variant at one shape.

    Raises:
        SettingError: ours is wrong.
    """
    op = OPS[name]
    given: dict[str, Any] = inputs(op, shape, machine)
    truth = Truth(given, shape)

    def run() -> tuple[Tensor, Tensor]:
        with preferring(machine.kernels):
            return gated_delta(**given)

    held: list[tuple[Tensor, Tensor]] = []
    first_s = seconds(lambda: held.append(run()), machine)
    o, states = held.pop()
    error, most = truth.error(o), bound(machine.dtype, op.delta, machine.triton)
    if not error <= most:
        raise SettingError(
            f"{name} at {list(shape)} in {machine.dtype_name} is wrong on this machine and is not"
            f" timed: relative error {error:.1e}, at most {most:.1e} is rounding; `mom-eval bench"
            " op --check` says where, --kernels torch does without these kernels"
        )
    nbytes = sum(x.nbytes for x in (*given.values(), o, states))
    del o, states
    work = op_work(shape.key**2, shape.batch * shape.length * shape.heads, op.delta, nbytes)
    return Row(
        work=name,
        what=op.families,
        phase="op",
        batch=shape.batch,
        length=shape.length,
        heads=shape.heads,
        key=shape.key,
        tokens=shape.batch * shape.length,
        ours=replace(measured(lambda: run, machine), error=error, first_s=first_s),
        peer=None if peer is None else _against(peer, given, shape, truth, most, machine),
        floor_ms=work.floor_ms(rates),
        launched=launched(run, machine),
    )


def _against(
    peer: Peer, given: dict[str, Tensor], shape: Shape, truth: Truth, most: float, machine: Machine
) -> Measured:
    """The peer on the same inputs; what is wrong or does not run is not timed either."""
    run, held = peer(given, shape.batch), []
    try:
        first_s = seconds(lambda: held.append(run()), machine)
        error = truth.error(held.pop().flatten(0, 1))
        if error <= most:
            return replace(measured(lambda: run, machine), error=error, first_s=first_s)
    # Whatever a peer raises, it is the peer's answer, and the table shows it.
    except Exception as failure:
        return Measured(note=failure_of(failure))
    return Measured(error=error, note="wrong here")
