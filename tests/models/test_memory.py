"""The mixer against its definition: each memory is the plain family over the tokens sent to it."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from mom_eval.models import FAMILIES, LM, Memories
from mom_eval.models.family import Stream
from mom_eval.models.memory import Mixer
from tests.models.shapes import COMMON, MEMORIES, config_of, error, new_model

LENGTHS = (9, 0, 23)


def plain_of(mixer: Mixer, model: LM, memory: str) -> Mixer:
    """One memory's weights, and all that is common, in a mixer of one memory."""
    plain = new_model(config_of(model.config.family or "")).double().layers[1].mixer
    pieces = mixer.pieces()
    for name, piece in plain.pieces().items():
        own = f"{memory}.{name}"
        piece.detach().copy_(pieces[own if own in pieces else name])
    return plain


def reads(plain: Mixer, x: Tensor, positions: Tensor, across: Tensor | None) -> Tensor:
    """What a memory answers when it is sent these tokens of one sequence."""
    at = Stream(torch.tensor([0, len(x)]), positions, torch.tensor([0]), across)
    return plain._recur(plain.columns(x), at, plain.empty_state(1))[0]


def value_shape(mixer: Mixer) -> tuple[int, int]:
    """Value heads and their width."""
    heads, _, width = mixer.family.state["s"]
    return heads, width


@pytest.mark.parametrize(
    "memories", [MEMORIES["4"], MEMORIES["4+shared"], COMMON], ids=["4", "4+shared", "common"]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_mixer_is_its_definition(family: str, memories: Memories):
    model = new_model(config_of(family, memories)).double()
    mixer, across = model.layers[1].mixer, model.across() if model.across else [None, None]
    torch.manual_seed(6)
    x = torch.randn(sum(LENGTHS), 32, dtype=torch.float64)
    cu_seqlens = torch.tensor([0, *LENGTHS]).cumsum(0)
    positions = torch.cat([torch.arange(length) for length in LENGTHS])
    at = Stream(cu_seqlens, positions, torch.zeros(len(LENGTHS), dtype=torch.int64), across[1])
    with torch.no_grad():
        got, _, routes = mixer(x, at, mixer.empty_state(len(LENGTHS)))
        want = []
        for start, end in pairwise(cu_seqlens.tolist()):
            tokens, chosen = x[start:end], routes.memories[start:end]
            o = torch.zeros(len(tokens), *value_shape(mixer), dtype=torch.float64)
            for m in range(memories.num_memories):
                sent, place = torch.nonzero(chosen == m, as_tuple=True)
                # Positions are the sequence's, not counted anew inside a memory.
                plain = plain_of(mixer, model, "shared" if memories.common_kv else f"memories.{m}")
                read = reads(plain, tokens[sent], sent, across[1])
                o[sent] += routes.weights[start:end][sent, place][:, None, None] * read
            if memories.shared:
                every = torch.arange(len(tokens))
                o += reads(plain_of(mixer, model, "shared"), tokens, every, across[1])
            want.append(mixer.out(mixer.family.read_out(o, mixer.columns(tokens))))
    assert error(got, torch.cat(want)) < 1e-12
