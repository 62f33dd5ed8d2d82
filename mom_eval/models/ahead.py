"""Compiling what a model launches when it is loaded, so that its first call waits for nothing."""

import torch

from mom_eval.kernels import compiling, preferring, takes_triton
from mom_eval.models.decoder import Decoder
from mom_eval.models.lm import LM

LENGTHS = (16, 4112)
"""Tokens of a short and of a long call, for which `route` has a kernel each."""


def compile_kernels(lm: LM) -> None:
    """Compile the kernels of prefill and of decoding side by side; nothing where there are none.

    A prefill that continues a state, and other settings of a call, launch no others.
    """
    weight = lm.embeddings.weight
    if not weight.is_cuda:
        return
    with torch.inference_mode(), preferring(lm.kernels):
        if not takes_triton("a model", "auto", (weight,)):
            return
        with compiling():
            make_calls(lm)


def make_calls(lm: LM) -> None:
    """Prefill of a short and of a long call, and a step of decoding."""
    device = lm.embeddings.weight.device
    for length in LENGTHS:
        tokens = torch.zeros(length, dtype=torch.int64, device=device)
        lm(tokens, tokens.new_tensor([0, length // 2, length]))
    slots = torch.tensor([0, 1], device=device)
    Decoder(lm, 2, capacity=LENGTHS[0]).push(torch.zeros_like(slots), slots)
