"""Launching a Triton kernel that is compiled: what Triton does a launch, without what it asks anew.

Triton's own launch reads its settings, writes out the options and compares globals each time: 15 to
40 us, hundreds of times a pass, while a GPU waits. Here the kernel that an earlier launch of the
same kind got is looked up, in a fraction of that.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import triton
from torch import Tensor
from triton.compiler import CompiledKernel

from mom_eval.kernels.ahead import launching
from mom_eval.kernels.choose import interpreted


class Kernel:
    """A function of Triton that is launched by `kernel[grid](*arguments, **constants)`.

    All its arguments that are no constexpr are given by place, and come first; a place takes
    tensors, or integers, or numbers.
    """

    def __init__(self, function: Any, fixed: frozenset[str]) -> None:
        """`fixed`: arguments whose value makes no kernel of its own."""
        self.function = function
        self._fixed = fixed
        self._kind: Callable[..., tuple] | None = None
        self._compiled: dict[tuple, CompiledKernel] = {}

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        """A launch of so many programs."""
        return partial(self._launch, grid)

    def _launch(self, grid: tuple[int, ...], *args: Any, **meta: Any) -> None:
        if not launching():
            # Compiled only, by all kernels together: see `compiling`.
            self.function[grid](*args, **meta)
            return
        if self._kind is None:
            self._kind = _kind(self.function.arg_names, self._fixed, args)
        key = (torch.cuda.current_device(), *meta, *meta.values(), *self._kind(*args))
        found = self._compiled.get(key)
        if found is None:
            found = self.function[grid](*args, **meta)
            if isinstance(found, CompiledKernel):
                self._compiled[key] = found
            return
        constants = [meta[name] for name in self.function.arg_names[len(args) :]]
        found[(*grid, 1, 1)](*args, *constants)


def _kind(names: list[str], fixed: frozenset[str], args: tuple) -> Callable[..., tuple]:
    """Arguments -> what of them makes a kernel of its own.

    Of tensors the type, and whether they begin at 16 bytes; of integers whether 32 bits hold them,
    and unless fixed, whether they are 1, or 16 divides them. Written out as one expression, since a
    loop over the arguments takes as long as what it saves.
    """
    parts = []
    for name, x in zip(names, args, strict=False):
        if isinstance(x, Tensor):
            parts += [f"{name}.dtype", f"{name}.data_ptr() & 15"]
        elif isinstance(x, int):
            parts += [f"{name} >> 31"]
            parts += [] if name in fixed else [f"{name} == 1", f"not {name} & 15"]
    return eval(f"lambda {', '.join(names[: len(args)])}: ({', '.join(parts)},)")


def kernel(*fixed: str) -> Any:
    """A decorator: `triton.jit`, with arguments whose value makes no kernel of its own.

    In Triton's interpreter it is that and no more.
    """

    def decorate(function: Any) -> Any:
        jitted = triton.jit(do_not_specialize=fixed)(function)
        return jitted if interpreted() else Kernel(jitted, frozenset(fixed))

    return decorate
