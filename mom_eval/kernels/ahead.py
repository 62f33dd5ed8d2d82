"""Compiling kernels before they are needed, side by side.

A kernel is compiled where it is first launched, so a first call compiles one after another. Here a
call is made in which kernels are compiled in threads and not launched: with zeros in place of what
they would have written, so that nothing of it reaches beyond its tensors.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_EMPTY: Final = {
    torch.ops.aten.empty.memory_format,
    torch.ops.aten.empty_like.default,
    torch.ops.aten.empty_strided.default,
    torch.ops.aten.new_empty.default,
    torch.ops.aten.new_empty_strided.default,
}


_launching: ContextVar[bool] = ContextVar("launching", default=True)


def launching() -> bool:
    """Do kernels write their results, or are they compiled only?"""
    return _launching.get()


class _Zeros(TorchDispatchMode):
    """Memory that nobody has written is zero."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is compiled by it, and to be told so it is imported, for seconds."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> torch.Tensor:
        out = func(*args, **(kwargs or {}))
        return out.zero_() if func in _EMPTY else out


@contextmanager
def unlaunched() -> Iterator[None]:
    """What kernels would have written is zero, and what must not be is made in torch."""
    token = _launching.set(False)
    try:
        with _Zeros():
            yield
    finally:
        _launching.reset(token)


@contextmanager
def compiling() -> Iterator[None]:
    """Triton's kernels that are called inside are compiled, together, and not launched.

    What ops return inside means nothing. Needs a GPU, and triton.
    """
    from triton import AsyncCompileMode
    from triton.runtime.jit import JITFunction

    launch, kernels = JITFunction.run, []

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **meta: Any) -> Any:
        kernels.append(launch(self, *args, grid=grid, warmup=True, **meta))

    here = torch.cuda.set_device, (torch.cuda.current_device(),)
    with ThreadPoolExecutor(os.cpu_count(), "triton", *here) as threads:
        # A backward pass in a thread of its own would know nothing of this.
        with (
            AsyncCompileMode(threads),
            unlaunched(),
            torch.autograd.set_multithreading_enabled(False),
        ):
            JITFunction.run = compile_only
            try:
                yield
            finally:
                JITFunction.run = launch
        list(threads.map(_make_ready, {id(one): one for one in kernels}.values()))


def _make_ready(kernel: Any) -> None:
    """Compile what launches a kernel, or one that is promised: Triton does when `run` is read."""
    _ = (kernel.result() if hasattr(kernel, "result") else kernel).run
