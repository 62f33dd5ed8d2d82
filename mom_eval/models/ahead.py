"""Compiling what a model launches when it is loaded, so that its first call waits for nothing."""

import torch

from mom_eval.kernels import compiling
from mom_eval.kernels.blocks import cdiv
from mom_eval.kernels.chunk_grid import CHUNK, LEAST
from mom_eval.models.lm import LM


def compile_kernels(lm: LM) -> None:
    """Compile the kernels of prefill side by side; nothing where there are none.

    A prefill that continues a state, and other settings of a call, launch no others. Those of
    decoding hang on the number of slots: `Decoder` compiles them.
    """
    if lm.on_triton():
        with torch.inference_mode(), compiling():
            make_calls(lm.shallow()[0])


def compile_gradients(lm: LM) -> None:
    """Compile the kernels of a training step likewise; no parameter may have a gradient yet."""
    if lm.on_triton():
        with compiling():
            few, _ = lm.shallow()
            tokens = torch.zeros(_long(lm), dtype=torch.int64, device=lm.embeddings.weight.device)
            few.nats(tokens, at=tokens[:1], labels=tokens[:1])[0].backward()
        lm.zero_grad(set_to_none=True)


def make_calls(lm: LM) -> None:
    """Prefill of a short and of a long call, for which `route` has a kernel each.

    The long one is one sequence of so many tokens that it is read in parts if any is.
    """
    for length in (16, _long(lm)):
        tokens = torch.zeros(length, dtype=torch.int64, device=lm.embeddings.weight.device)
        lm(tokens, tokens.new_tensor([0, length]))


def _long(lm: LM) -> int:
    memories, segments, reads = lm.config.memories, 1, 1
    if memories is not None:
        segments, reads = (n + memories.shared for n in (memories.num_memories, memories.top_k))
    return max(4112, cdiv(2 * segments * LEAST * CHUNK, reads))
