"""What a run needs of this machine: a line each, and what to do where something is missing."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

from mom_eval import __version__
from mom_eval.errors import DataError
from mom_eval.tasks.data import ENVIRONMENT, data_folder
from mom_eval.tasks.hub import listing

HUB_TIMEOUT = 3.0
"""Seconds to wait for the hub."""
CHECKED: Final = (3, 6)
"""The Triton that kernels were compared with float64 by, on an H200 (docs/performance.md)."""
WRONG: Final = ((3, 4, 0), (3, 7, 1))
"""The first and last Triton known to compile some gradients of delta rules wrong for Hopper:
flash-linear-attention's issues 640 (mended in 3.7.1) and 984 (not). Ours do without such products;
what else 3.6 gets wrong there is in docs/performance.md, "Compilers"."""


def examine(data_dir: Path | None) -> list[dict[str, Any]]:
    """Lines of `what`, `state` (`ok`, `note`, `fault`), `found` and `do` (may be empty)."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        _line("mom-eval", "ok", f"{__version__}, Python {platform.python_version()}"),
        *_packages(),
        _line("machine", "ok", f"{os.cpu_count()} cores, {memory:.0f} GiB"),
        _device(),
        _triton(),
        _gguf(),
        _data(data_folder(data_dir)),
        _hub(),
    ]


def _line(what: str, state: str, found: str, do: str = "") -> dict[str, Any]:
    return {"what": what, "state": state, "found": found, "do": do}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _packages() -> list[dict[str, Any]]:
    lines = []
    for package in ("torch", "transformers", "lm-eval", "datasets"):
        found = _version(package)
        if found is None:
            lines.append(
                _line(package, "fault", "not installed", "install mom-eval with its dependencies")
            )
        else:
            lines.append(_line(package, "ok", found))
    return lines


def _device() -> dict[str, Any]:
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return _line("device", "ok", f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB")
    built = (
        "this torch was built without CUDA" if torch.version.cuda is None else "torch sees no GPU"
    )
    return _line("device", "note", f"CPU only: {built}", "fine for small models and the sample")


def _triton() -> dict[str, Any]:
    import torch

    found = _version("triton")
    if found is None:
        return _line(
            "triton", "note", "not installed", "only GPUs need it (Linux: pip install triton)"
        )
    hopper = None
    if torch.cuda.is_available():
        # AMD counts its own chips so.
        hopper = torch.version.hip is None and torch.cuda.get_device_capability() == (9, 0)
    return triton_line(found, hopper)


def triton_line(found: str, hopper: bool | None) -> dict[str, Any]:
    """A version of Triton, and whether the GPU that it compiles for is Hopper; None: no GPU."""
    number = tuple(map(int, re.findall(r"\d+", found)[:3]))
    if number < CHECKED:
        return _line(
            "triton", "fault", f"{found}, kernels need 3.6", "pip install --upgrade triton"
        )
    if hopper is None:
        return _line("triton", "ok", found)
    check = "`mom-eval bench op --check` compares them with float64 on this GPU"
    if hopper and WRONG[0] <= number <= WRONG[1]:
        text = f"{found}, which is known to compile some products wrong for Hopper (3.4 to 3.7.1)"
        here = number[:2] == CHECKED
        kept = "our kernels do without these" + (" and were checked with it" if here else "")
        return _line("triton", "note", text, f"{kept}; {check}")
    return _line("triton", "note", f"{found}; kernels were checked with 3.6 on an H200", check)


def _gguf() -> dict[str, Any]:
    found = _version("gguf")
    if found is None:
        return _line(
            "gguf", "note", "not installed", "for .gguf models: pip install 'mom-eval[gguf]'"
        )
    return _line("gguf", "ok", found)


def _data(folder: Path) -> dict[str, Any]:
    try:
        rows = listing(folder)
    except DataError as error:
        return _line("data", "fault", str(error))
    named = os.environ.get(ENVIRONMENT)
    if named and not folder.is_dir():
        return _line(
            "data", "fault", f"there is no folder {folder}", f"mend or unset {ENVIRONMENT}"
        )
    if rows:
        return _line("data", "ok", f"{len(rows)} data sets prepared in {folder}")
    return _line(
        "data",
        "note",
        f"none prepared in {folder}",
        "`mom-eval data prepare`, or --data DIR, or --data sample",
    )


def _hub() -> dict[str, Any]:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return _line("hub", "note", "HF_HUB_OFFLINE is set", "unset it to download models and data")
    request = Request(constants.ENDPOINT, method="HEAD")
    try:
        urlopen(request, timeout=HUB_TIMEOUT).close()
    except OSError as error:
        return _line(
            "hub",
            "note",
            f"not reachable ({type(error).__name__})",
            "give models and data as folders",
        )
    return _line("hub", "ok", "reachable")
