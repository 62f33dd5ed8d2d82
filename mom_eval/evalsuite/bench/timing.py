"""How long a call takes and how much memory: medians after warm-up.

On a GPU times are those of CUDA events around each call, with a buffer written before it that
pushes its inputs out of the L2 cache; calls are queued one behind the other, so the host shows only
where it is slower than the device. On a CPU they are those of the clock.
"""

import re
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import torch

from mom_eval.evalsuite.bench.machine import Machine
from mom_eval.evalsuite.memory import out_of_memory, release_memory
from mom_eval.results.bench import Measured

Run = Callable[[], Any]

SECONDS = 1.0
"""What the timed calls of one measurement take together, about."""
RUNS = (3, 50)
"""Timed calls, at least and at most."""
WARM = 10
"""Calls before them, at most; the first two are looked at singly."""
_CACHE = 256 << 20
"""Bytes; more than any L2 cache holds."""


class Timing(NamedTuple):
    """One piece of work."""

    ms: float
    """Median of the timed calls."""
    first_s: float
    """Seconds of the first call: compilation where there is any."""
    peak_bytes: int | None
    """Most memory held at once during a call, with all that is held around it: of the GPU's
    allocator, or of the process; None where the system does not tell."""


def timed(run: Run, machine: Machine) -> Timing:
    """Call until it is warm, then time it."""
    first = seconds(run, machine)
    reset = _reset_peak(machine)
    warm = seconds(run, machine)
    peak = _peak(machine) if reset else None
    low, high = RUNS
    runs = int(min(max(SECONDS / max(warm, 1e-6), low), high))
    # A call that takes seconds is as warm after two as it will be.
    for _ in range(min(runs, WARM) - 2 if warm < SECONDS / low else 0):
        run()
    times = _events(run, runs, machine) if machine.gpu else _clock(run, runs)
    return Timing(median(times), first, peak)


def measured(make: Callable[[], Run], machine: Machine) -> Measured:
    """What a call takes that `make` prepares; where memory runs out in either, that."""
    try:
        found = timed(make(), machine)
    except (MemoryError, RuntimeError) as failure:
        # What torch's allocator on a CPU says is not among what `out_of_memory` knows.
        if not out_of_memory(failure) and "allocate memory" not in str(failure):
            raise
    else:
        return Measured(**found._asdict())
    # Only here, with the failure gone, are its tensors gone too.
    release_memory()
    return Measured(note="out of memory")


def seconds(run: Run, machine: Machine) -> float:
    """Of one call by the clock, with the waiting for the device."""
    machine.wait()
    begin = perf_counter()
    run()
    machine.wait()
    return perf_counter() - begin


def _events(run: Run, runs: int, machine: Machine) -> list[float]:
    cache = torch.empty(_CACHE, dtype=torch.int8, device=machine.device)
    pairs = [[torch.cuda.Event(enable_timing=True) for _ in "be"] for _ in range(runs)]
    for begin, end in pairs:
        cache.zero_()
        begin.record()
        run()
        end.record()
    machine.wait()
    return [begin.elapsed_time(end) for begin, end in pairs]


def _clock(run: Run, runs: int) -> list[float]:
    times = []
    for _ in range(runs):
        begin = perf_counter()
        run()
        times.append(1e3 * (perf_counter() - begin))
    return times


def _reset_peak(machine: Machine) -> bool:
    """Forget the peak so far; False where that cannot be done."""
    if machine.gpu:
        torch.cuda.reset_peak_memory_stats(machine.device)
        return True
    try:
        # Linux: the process' largest resident size counts anew (proc(5), clear_refs).
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak(machine: Machine) -> int | None:
    if machine.gpu:
        return int(torch.cuda.max_memory_allocated(machine.device))
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else None
