"""What a benchmark runs on: the device, the type of numbers, the kernels, the seed."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from mom_eval.errors import SettingError
from mom_eval.evalsuite.run import versions
from mom_eval.evalsuite.subjects import pick_device

_PACKAGES = ("triton", "flash-linear-attention")
"""Whose versions decide times, beside those that decide results."""


@dataclass(frozen=True)
class Machine:
    """One device, used in one way."""

    device: torch.device
    dtype: torch.dtype
    kernels: str
    seed: int

    @classmethod
    def of(cls, device: str, dtype: str, kernels: str, seed: int) -> "Machine":
        """From options; `auto` is a GPU where there is one, and there bfloat16, else float32.

        Raises:
            SettingError: a device that is neither a CPU nor a CUDA GPU, or is not here.
        """
        place = torch.device(pick_device(device))
        if place.type not in ("cpu", "cuda"):
            raise SettingError(f"bench cannot time a device {device!r}; take cpu or cuda")
        if seed < 0:
            raise SettingError(f"--seed {seed} is below 0; take 0 or more")
        if place.type == "cuda":
            place = torch.device("cuda", place.index or 0)
            # Triton launches on the current device, whatever its tensors are on.
            torch.cuda.set_device(place)
        if dtype == "auto":
            dtype = "bfloat16" if place.type == "cuda" else "float32"
        return cls(place, getattr(torch, dtype), kernels, seed)

    @property
    def gpu(self) -> bool:
        """Is it one?"""
        return self.device.type == "cuda"

    @property
    def triton(self) -> bool:
        """Do our ops run on Triton kernels here?"""
        return self.kernels != "torch" and self.gpu

    @property
    def dtype_name(self) -> str:
        """`bfloat16`."""
        return str(self.dtype).removeprefix("torch.")

    def random(self) -> torch.Generator:
        """Random numbers of the seed, on the device."""
        return torch.Generator(self.device).manual_seed(self.seed)

    def wait(self) -> None:
        """Until the device has done all that was asked of it."""
        if self.gpu:
            torch.cuda.synchronize(self.device)

    def about(self) -> dict[str, Any]:
        """What a report says of it."""
        name = torch.cuda.get_device_name(self.device) if self.gpu else _cpu()
        found = versions() | {package: _version(package) for package in _PACKAGES}
        return {
            "device": name,
            "dtype": self.dtype_name,
            "kernels": self.kernels,
            "seed": self.seed,
            "versions": found | {"cuda": torch.version.cuda},
        }


def command(kind: str, names: Sequence[str], machine: Machine, **asked: Any) -> str:
    """What to type for the same benchmark again.

    Args:
        kind: op, model or suite.
        names: models.
        machine: where it ran.
        asked: options by name; None and False are left out.
    """
    words = ["mom-eval bench", kind, *names]
    asked |= {
        "device": machine.device.type,
        "dtype": machine.dtype_name,
        "kernels": machine.kernels,
        "seed": machine.seed,
    }
    for name, value in asked.items():
        if value is True:
            words.append(f"--{name}")
        elif value is not None and value is not False:
            shown = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            words.append(f"--{name} {shown}")
    return " ".join(words)


def check_counts(**asked: int) -> None:
    """Refuse options, by name, that ask for nothing.

    Raises:
        SettingError: one is below 1.
    """
    for option, value in asked.items():
        if value < 1:
            raise SettingError(f"--{option} {value} is too small; it must be 1 or more")


def _cpu() -> str:
    cores = os.cpu_count()
    return f"CPU ({platform.machine()}, {cores} cores, {torch.get_num_threads()} threads)"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
