"""From nothing to a first token: fresh processes without compiled kernels, and one with them."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mom_eval.errors import SettingError
from mom_eval.evalsuite.bench.machine import Machine, check_counts, command
from mom_eval.evalsuite.bench.presets import PRESETS
from mom_eval.results.bench_start import Start, seconds_text


def bench_start(
    name: str,
    *,
    runs: int = 3,
    prompt: int = 2000,
    device: str = "auto",
    dtype: str = "auto",
    kernels: str = "auto",
    allow_pickle: bool = False,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Start:
    """Start processes one after the other, each with no kernel compiled, then one with the last's.

    Args:
        name: a preset, or a checkpoint of our own models.
        runs: processes with an empty cache.
        prompt: tokens that are read before one is written.
        device, dtype, kernels, allow_pickle: as `evaluate` takes them; dtype `auto` is bfloat16 on
            a GPU.
        seed: draws weights and the prompt.
        say: is told each process as it ends.

    Raises:
        SettingError: the model is not there, or options do not fit, or a process failed.
    """
    machine = Machine.of(device, dtype, kernels, seed)
    check_counts(runs=runs, prompt=prompt)
    asked = {
        "name": name,
        "prompt": prompt,
        "allow_pickle": allow_pickle,
        "device": str(machine.device),
        "dtype": machine.dtype_name,
        "kernels": kernels,
        "seed": seed,
    }
    cold: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        caches = [str(Path(folder) / str(number)) for number in range(runs)]
        for number, cache in enumerate(caches, 1):
            _, spent = _process(asked, cache)
            cold.append(spent)
            say(f"process {number} of {runs}: {seconds_text(sum(spent.values()))} s")
        label, warm = _process(asked, caches[-1])
    say(f"with the kernels of the last: {seconds_text(sum(warm.values()))} s")
    about = machine.about() | {
        "command": command("start", [name], machine, runs=runs, prompt=prompt),
        "random_weights": name in PRESETS,
        "compiles": machine.triton,
    }
    return Start(label=label, prompt=prompt, cold=cold, warm=warm, about=about)


def _process(asked: dict[str, Any], cache: str) -> tuple[str, dict[str, float]]:
    """The model's label, and the phases of a fresh process whose kernels are kept in a folder."""
    words = [sys.executable, "-m", "mom_eval.evalsuite.bench.first_token"]
    words.append(json.dumps(asked | {"spawned": time.time()}))
    done = subprocess.run(
        words,
        env=os.environ | {"TRITON_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise SettingError(f"a fresh process was ended by {name}; was memory short?")
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise SettingError(f"a fresh process failed, exit {done.returncode}: {said}")
    found = json.loads(done.stdout.splitlines()[-1])
    if "error" in found:
        raise SettingError(found["error"])
    return found["label"], found["phases"]
