"""Which implementation of an op runs: the Triton kernel wherever it can, and why where it cannot.

`auto` takes it on a GPU; what keeps it from running there is said once, never passed over. `torch`
and `triton` force: a kernel that is forced and cannot run is an error.
"""

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib.util import find_spec
from typing import Final

import torch
from torch import Tensor

from mom_eval.errors import SettingError

KERNELS: Final = ("auto", "torch", "triton")
_preferred: ContextVar[str] = ContextVar("kernels", default="auto")


@contextmanager
def preferring(kernels: str) -> Iterator[None]:
    """Ops that are called inside with impl="auto" take these kernels.

    Raises ValueError where `kernels` is none of `KERNELS`.
    """
    if kernels not in KERNELS:
        raise ValueError(f"kernels must be one of {', '.join(KERNELS)}, but it is {kernels!r}")
    token = _preferred.set(kernels)
    try:
        yield
    finally:
        _preferred.reset(token)


def takes_triton(
    op: str,
    impl: str,
    tensors: tuple[Tensor | None, ...],
    limit: str | None = None,
    *,
    backward: bool = False,
) -> bool:
    """Does an op run its Triton kernel on these tensors?

    Args:
        op: its name, for what is said.
        impl: as the op was given it: "triton", "auto", or the name of a torch implementation.
        tensors: all arguments; the first is of the type that is computed in.
        limit: what else keeps the kernel from running, None if nothing does.
        backward: has it a gradient?

    Raises:
        SettingError: "triton" is forced and cannot run.
    """
    asked = _preferred.get() if impl == "auto" else impl
    if asked not in ("auto", "triton"):
        return False
    reason = _why_not(tensors, backward) or limit
    if reason is None:
        return True
    if asked == "triton":
        raise SettingError(f"the Triton kernel of {op} cannot run: {reason}; take --kernels auto")
    if any(x is not None and x.is_cuda for x in tensors):
        _say_once(f"{op} runs in torch, the Triton kernel cannot: {reason}")
    return False


def wants_gradient(tensors: Iterable[Tensor | None]) -> bool:
    """Will a gradient of any of these be asked for?"""
    if torch.is_grad_enabled():
        for x in tensors:
            if x is not None and x.requires_grad:
                return True
    return False


def interpreted() -> bool:
    """Do kernels run on the CPU, in Triton's interpreter? Slow; for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def _why_not(tensors: tuple[Tensor | None, ...], backward: bool) -> str | None:
    given = [x for x in tensors if x is not None]
    if not _installed():
        return "triton is not installed"
    # Loops, not generators: a pass of a model asks hundreds of times while a GPU waits.
    for x in given:
        if not x.is_cuda and not interpreted():
            return "the tensors are on the CPU"
    for x in given:
        if x.dtype == torch.float64:
            return "it knows no float64"
    if not backward and wants_gradient(given):
        return "it has no gradient"
    return None


@lru_cache
def _installed() -> bool:
    return find_spec("triton") is not None


@lru_cache
def _say_once(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=4)
