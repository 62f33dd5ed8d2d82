"""What this machine reaches, and what the kernels of a call take one by one."""

from collections import defaultdict

import torch
from torch.profiler import ProfilerActivity, profile

from mom_eval.evalsuite.bench.machine import Machine
from mom_eval.evalsuite.bench.timing import Run, timed
from mom_eval.models.work import Rates
from mom_eval.results.bench import Launched

_SIZES = {"cuda": (8192, 1 << 30), "cpu": (1024, 1 << 27)}
"""Side of the square product, bytes of the copy."""


def measured_rates(machine: Machine) -> Rates:
    """Time a large product in the type of the benchmark, and a large copy."""
    side, size = _SIZES[machine.device.type]
    random = machine.random()
    a, b = (
        torch.randn(side, side, generator=random, device=machine.device).to(machine.dtype)
        for _ in "ab"
    )
    flops = 2 * side**3 / timed(lambda: a @ b, machine).ms
    source = torch.zeros(size, dtype=torch.int8, device=machine.device)
    target = torch.empty_like(source)
    copied = 2 * size / timed(lambda: target.copy_(source), machine).ms
    return Rates(1e3 * flops, 1e3 * copied)


def launched(run: Run, machine: Machine) -> tuple[Launched, ...]:
    """The kernels that a call launches, what takes longest first; none on a CPU.

    Where their sum is below the time of the call, the device waits for the host. None also where
    the profiler sees no kernel (it may be forbidden to look).
    """
    if not machine.gpu:
        return ()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        run()
        machine.wait()
    spent: defaultdict[str, list[float]] = defaultdict(list)
    for event in seen.events() or ():
        if event.device_type.name == "CUDA" and not event.is_user_annotation:
            spent[event.name].append(event.time_range.elapsed_us())
    found = [Launched(name, len(times), sum(times) / 1e3) for name, times in spent.items()]
    return tuple(sorted(found, key=lambda kernel: -kernel.ms))
