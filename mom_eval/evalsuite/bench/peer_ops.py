"""flash-linear-attention's ops on the inputs of ours."""

from collections.abc import Callable
from importlib import import_module

import torch

from mom_eval.errors import SettingError
from mom_eval.evalsuite.bench.machine import Machine

_FLA = {
    "head-delta": ("gated_delta_rule", "chunk_gated_delta_rule"),
    "delta": ("delta_rule", "chunk_delta_rule"),
    "head": ("simple_gla", "chunk_simple_gla"),
    "channel": ("gla", "chunk_gla"),
    "channel-delta": ("kda", "chunk_kda"),
    "plain": ("simple_gla", "chunk_simple_gla"),
}
"""Our variant -> module below fla.ops, function."""

Call = Callable[[], torch.Tensor]
Peer = Callable[[dict[str, torch.Tensor], int], Call]
"""(our inputs, B sequences of one length) -> a call that gives the reads [B, T, H, V]."""


def peer_op(name: str, against: str | None, machine: Machine) -> Peer | None:
    """The peer's op for one of our variants; None where no peer is asked for.

    Raises:
        SettingError: the peer is not installed, or cannot run on this machine.
    """
    if against is None:
        return None
    check_fla(machine)
    module, function = _FLA[name]
    op = getattr(import_module(f"fla.ops.{module}"), function)

    def prepare(given: dict[str, torch.Tensor], batch: int) -> Call:
        names = [name for name in ("q", "k", "v", "g", "beta") if name in given]
        # Equal lengths need no cu_seqlens there, which is its faster way.
        split = {name: given[name].unflatten(0, (batch, -1)) for name in names}
        if "beta" in split:
            split["beta"] = split["beta"].to(given["q"].dtype)
        return lambda: op(**split, output_final_state=True)[0]

    return prepare


def check_fla(machine: Machine) -> None:
    """See that flash-linear-attention can run.

    Raises:
        SettingError: it cannot.
    """
    if not machine.gpu:
        raise SettingError(
            "--against fla needs a GPU, its kernels are Triton's; on a CPU `bench model` knows"
            " --against hf"
        )
    try:
        import_module("fla.ops")
    except ImportError as error:
        raise SettingError(
            f"--against fla: flash-linear-attention cannot be imported ({error}); install it with"
            " pip install flash-linear-attention==0.6.0"
        ) from error


def failure_of(failure: Exception) -> str:
    """What a table says of a peer that raised."""
    first = (str(failure).strip() or type(failure).__name__).splitlines()[0]
    return f"fails here: {first[:120]}"
