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
from mom_eval.kernels import compiling, gated_delta, most_keys, preferring
from mom_eval.results.bench_check import Check, Checked

LENGTHS = (1, 63, 0, 65, 1000)
LONG = 8192
"""One more segment, with the mild inputs alone: float64 goes token by token."""
SIZES = (
    (8, 16),
    (16, 16),
    (32, 32),
    (60, 100),
    (64, 64),
    (128, 128),
    (256, 256),
    (256, 512),
    (512, 64),
)
"""Widths of keys and values; K up to what a kernel can hold."""
HEADS = (2, 4)
"""Of keys and of values."""
GRADIENT = 1.5e-2
"""The largest error of a gradient in half precision that is rounding."""
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
    """Compare all variants, and their gradients, with the four lines in float64.

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
        cases = [
            _Case(name, op, K, V, one, machine, [*lengths, long] if one.name == "mild" else lengths)
            for K, V in sizes
            for one in _fitting(op)
        ]
        _compile(cases)
        done = [row for case in cases for row in _rows(case)]
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


class _Case(NamedTuple):
    """One op, its sizes, and what it is given."""

    name: str
    op: Op
    K: int
    V: int
    inputs: Inputs
    machine: Machine
    lengths: Sequence[int]

    @property
    def has_gradient(self) -> bool:
        """Is there one of the kernels that are checked? None beside Triton's is."""
        return not self.machine.triton or most_keys(self.machine.dtype) >= self.K


def _compile(cases: Sequence[_Case]) -> None:
    """What Triton has to compile for these, side by side."""
    if cases[0].machine.triton:
        with compiling():
            for case in cases:
                given = _drawn(case)
                _forward(case, given)
                if case.has_gradient:
                    _gradients(case, given)


def _rows(case: _Case) -> Iterator[Checked]:
    """Errors forward, and of the gradients where there are any."""
    given = _drawn(case)
    wide = {key: x.double() if x.is_floating_point() else x for key, x in given.items()}
    with torch.inference_mode():
        truth = gated_delta(**wide, impl="recurrent")
    _poison(case.machine)
    found, again = _forward(case, given), _forward(case, given)
    forward = _errors(found, truth, case.lengths)
    yield _checked(case, "forward", forward, [*zip(found, again, strict=True)])
    if not case.has_gradient:
        return
    slopes = _gradients(case, wide, "chunked")
    _poison(case.machine)
    found, again = _gradients(case, given), _gradients(case, given)
    least = {"g": 1e-3 * float(slopes["k"].norm())}
    errors = {n: relative(found[n], x, least.get(n, 0.0)) for n, x in slopes.items()}
    yield _checked(case, "gradients", errors, [(found[name], again[name]) for name in slopes])


def _checked(
    case: _Case, what: str, errors: dict[str, float], pairs: Sequence[tuple[Tensor, Tensor]]
) -> Checked:
    machine = case.machine
    most = bound(machine.dtype, case.op.delta, machine.triton)
    if what == "gradients" and machine.dtype != torch.float32:
        most = GRADIENT
    return Checked(
        op=case.name,
        what=what,
        K=case.K,
        V=case.V,
        dtype=machine.dtype_name,
        inputs=case.inputs.name,
        errors=errors,
        bound=most,
        repeats=all(torch.equal(x, y) for x, y in pairs),
    )


@torch.inference_mode()
def _forward(case: _Case, given: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Reads and states."""
    with preferring(case.machine.kernels):
        return gated_delta(**given, impl="auto")


def _gradients(case: _Case, given: dict[str, Any], impl: str = "auto") -> dict[str, Tensor]:
    """Of a sum over reads and states with random weights, by input."""
    leaves = {n: x.clone().requires_grad_() for n, x in given.items() if x.is_floating_point()}
    random = case.machine.random()
    with preferring(case.machine.kernels):
        both = gated_delta(**given | leaves, impl=impl)
        weights = [torch.randn(x.shape, generator=random, device=x.device) for x in both]
        # Rounded alike for the truth.
        weights = [w.to(case.machine.dtype).to(x) for w, x in zip(weights, both, strict=True)]
        torch.autograd.backward(both, weights)
    return {name: x.grad for name, x in leaves.items() if x.grad is not None}


def _drawn(case: _Case) -> dict[str, Any]:
    """The op's arguments; q, k and v are of the type that is checked, gates float32."""
    _, op, K, V, one, machine, lengths = case
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
) -> dict[str, float]:
    """Of reads and of states: the largest over the segments, infinite where a number is none."""
    bounds = pairwise([0, *accumulate(lengths)])
    reads = [relative(found[0][a:b], truth[0][a:b]) for a, b in bounds if b > a]
    states = [relative(x, y) for x, y in zip(found[1], truth[1], strict=True)]
    return {"o": max(reads), "states": max(states)}


def _poison(machine: Machine) -> None:
    """What is freed here is what kernels get for their results, and it is NaN."""
    if machine.gpu:
        torch.empty(_POISON, device=machine.device).fill_(torch.nan)
