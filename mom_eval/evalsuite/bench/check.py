"""Every variant of `gated_delta` beside float64, on this machine, at what breaks kernels.

Sizes that fill no block, lengths on both sides of a chunk, an empty segment, states to start from,
keys that resemble each other, betas up to 2, decays down to -50, memory that is NaN until written.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise, product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mom_eval.errors import SettingError
from mom_eval.evalsuite.bench.machine import Machine, command
from mom_eval.evalsuite.bench.ops import OPS, Op, bound, checked_shape, relative
from mom_eval.kernels import gated_delta, preferring
from mom_eval.results.bench_check import Check, Checked

LENGTHS = (1, 63, 0, 65, 1000)
LONG = 8192
"""One more segment, with the mild inputs alone: float64 goes token by token."""
SIZES = ((60, 100), (64, 64), (128, 128), (256, 256), (256, 512), (512, 64))
"""Widths of keys and values; K up to what a kernel can hold."""
HEADS = (2, 4)
"""Of keys and of values."""
_POISON = 1 << 26


class Inputs(NamedTuple):
    """What a case is made of."""

    name: str
    alike: float
    """Share of one direction in all keys."""
    decay: Callable[[Tensor], Tensor]
    """Numbers in [0, 1) -> g."""
    beta: Callable[[Tensor], Tensor]
    """The same -> beta."""


INPUTS = (
    Inputs("mild", 0.0, lambda x: -0.2 * x, lambda x: x),
    # Keys of correlation .9, writes near 1, decays of next to nothing up to -50.
    Inputs("alike", 0.95, lambda x: -50 * x**8, lambda x: 0.9 + 0.1 * x),
    # Householder reflections and beyond, and all is forgotten at every token.
    Inputs("beta to 2", 0.0, lambda x: -1e-3 * x, lambda x: 2 * x),
    Inputs("g = -50", 0.0, lambda x: torch.full_like(x, -50.0), lambda x: x),
)


def check_ops(
    shapes: Sequence[Sequence[int]] = (),
    *,
    against: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    kernels: str = "auto",
    seed: int = 0,
    lengths: Sequence[int] = LENGTHS,
    long: int = LONG,
    sizes: Sequence[tuple[int, int]] = SIZES,
    say: Callable[[str], None] = lambda text: None,
) -> Check:
    """Compare all variants, forward, with the four lines in float64.

    Args:
        shapes: of `bench op`; K of each is one more size.
        against: of `bench op`; nobody else is checked.
        device, kernels: as `evaluate` takes them.
        dtype: `auto`: bfloat16 and float32.
        seed: draws the inputs.
        lengths: of the segments.
        long: of one more segment, mild inputs only.
        sizes: (K, V).
        say: is told each variant as it is done.

    Raises:
        SettingError: options that do not fit.
    """
    if against is not None:
        raise SettingError(f"--check looks at our own ops, not at {against}'s; leave --against out")
    types = ("bfloat16", "float32") if dtype == "auto" else (dtype,)
    machines = [Machine.of(device, one, kernels, seed) for one in types]
    more = [(shape.key, shape.key) for shape in map(checked_shape, shapes)]
    sizes = list(dict.fromkeys([*sizes, *more]))
    rows = []
    for machine, (name, op) in product(machines, OPS.items()):
        done = [_row(name, op, *size, one, machine, lengths, long)
                for size in sizes for one in _fitting(op)]  # fmt: skip
        rows += done
        wrong = sum(not row.right for row in done)
        say(f"{name}, {machine.dtype_name}: {wrong or 'none'} of {len(done)} wrong")
    again = command("op", [], machines[0], check=True)
    again = again.replace(f"--dtype {types[0]}", f"--dtype {dtype}")
    about = machines[0].about() | {
        "dtype": " and ".join(types),
        "command": again + "".join(f" --shape {','.join(map(str, one))}" for one in shapes),
        "lengths": [*lengths, long],
    }
    return Check(rows=rows, about=about)


def _fitting(op: Op) -> Iterator[Inputs]:
    """Without a beta or a gate those inputs that differ in it alone say nothing new."""
    for one in INPUTS:
        if (one.name == "beta to 2" and not op.delta) or (
            one.name == "g = -50" and op.gate == "none"
        ):
            continue
        yield one


@torch.inference_mode()
def _row(
    name: str,
    op: Op,
    K: int,
    V: int,
    one: Inputs,
    machine: Machine,
    lengths: Sequence[int],
    long: int,
) -> Checked:
    """One case: errors of reads and states, the worst segment's."""
    lengths = [*lengths, long] if one.name == "mild" else lengths
    given: dict[str, Any] = _drawn(op, K, V, one, machine, lengths)
    wide = {key: x.double() if x.is_floating_point() else x for key, x in given.items()}
    truth = gated_delta(**wide, impl="recurrent")
    _poison(machine)
    with preferring(machine.kernels):
        found = gated_delta(**given)
        again = gated_delta(**given)
    o, states = _errors(found, truth, lengths)
    return Checked(
        op=name,
        K=K,
        V=V,
        dtype=machine.dtype_name,
        inputs=one.name,
        error_o=o,
        error_state=states,
        bound=bound(machine.dtype, op.delta, machine.triton),
        repeats=all(torch.equal(x, y) for x, y in zip(found, again, strict=True)),
    )


def _drawn(
    op: Op, K: int, V: int, one: Inputs, machine: Machine, lengths: Sequence[int]
) -> dict[str, Tensor]:
    """The op's arguments; q, k and v are of the type that is checked, gates float32."""
    random, device = machine.random(), machine.device
    (H, HV), L = HEADS, sum(lengths)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=random, device=device)

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=random, device=device)

    q, k = (torch.nn.functional.normalize(normal(L, H, K), dim=-1) for _ in "qk")
    same = torch.nn.functional.normalize(normal(H, K), dim=-1)
    k = torch.nn.functional.normalize(one.alike * same + (1 - one.alike**2) ** 0.5 * k, dim=-1)
    given = {"q": q, "k": k, "v": normal(L, HV, V)}
    given = {name: x.to(machine.dtype) for name, x in given.items()}
    if op.gate != "none":
        given["g"] = one.decay(uniform(*((L, HV) if op.gate == "head" else (L, HV, K))))
    if op.delta:
        given["beta"] = one.beta(uniform(L, HV))
    given["state"] = normal(len(lengths), HV, K, V)
    given["cu_seqlens"] = torch.tensor([0, *accumulate(lengths)], device=device)
    return given


def _errors(
    found: tuple[Tensor, Tensor], truth: tuple[Tensor, Tensor], lengths: Sequence[int]
) -> tuple[float, float]:
    """Of reads and of states: the largest over the segments, infinite where a number is none."""
    bounds = pairwise([0, *accumulate(lengths)])
    reads = [relative(found[0][a:b], truth[0][a:b]) for a, b in bounds if b > a]
    states = [relative(x, y) for x, y in zip(found[1], truth[1], strict=True)]
    return max(reads), max(states)


def _poison(machine: Machine) -> None:
    """What is freed here is what kernels get for their results, and it is NaN."""
    if machine.gpu:
        torch.empty(_POISON, device=machine.device).fill_(torch.nan)
