"""What waits beside the recurrent states of a decoder's slots (`kernels.late`), by layer.

It lies in the same dictionaries as the states, under names of its own, and is in no state that is a
value: written into a slot a state has nothing waiting, and read out of it it is settled.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mom_eval.kernels import preferring, settled, takes_triton
from mom_eval.kernels.gated_delta import too_wide
from mom_eval.kernels.late import EVERY
from mom_eval.models.lm import LM
from mom_eval.models.memory import LATE, Mixer, late_of
from mom_eval.models.state import State


def written_every(lm: LM) -> int:
    """At how many tokens decoding writes a state: torch's kernels, and most families', at each."""
    mixers = [block.mixer for block in lm.layers if isinstance(block.mixer, Mixer)]
    keys = [mixer.family.state["s"][1] for mixer in mixers if mixer.family.unit]
    with preferring(lm.kernels):
        given = (lm.embeddings.weight.detach(),)
        late = bool(keys) and takes_triton("decoding", "auto", given, too_wide(max(keys)))
    return EVERY if late else 1


def late_bytes(lm: LM) -> int:
    """What waits beside the states of one slot at most, in all layers."""
    # Of no slot nothing is allocated, and all shapes are there.
    layers = with_late(lm, lm.empty_state(0)).layers
    waits = [x for layer in layers for name, x in layer.items() if name in LATE]
    return sum(math.prod(x.shape[1:]) * x.itemsize for x in waits)


def with_late(lm: LM, state: State) -> State:
    """Slots' states and what waits beside them: nothing where every token is written at once."""
    if written_every(lm) == 1:
        return state
    mixers = (block.mixer for block in lm.layers)
    layers = [
        layer | mixer.late(layer) if isinstance(mixer, Mixer) else layer
        for mixer, layer in zip(mixers, state.layers, strict=True)
    ]
    return State(state.seen, layers)


def read_slots(state: State, slots: Sequence[int]) -> State:
    """What some of `with_late`'s slots hold, as a value."""
    index = torch.tensor(slots, dtype=torch.int64, device=state.seen.device)
    picked = state[index]
    layers = [_settled(layer, picked.seen, index) for layer in picked.layers]
    return State(picked.seen, layers)


def _settled(layer: Mapping[str, Tensor], seen: Tensor, slots: Tensor) -> dict[str, Tensor]:
    late, out = late_of(layer), {name: x for name, x in layer.items() if name not in LATE}
    if late is None:
        return out
    state, times, rows = out["s"], seen, slots
    if "seen" in layer:
        # Of memories, each is a slot of its own.
        times, M = layer["seen"], layer["seen"].shape[1]
        rows = slots[:, None] * M + torch.arange(M, device=slots.device)
        state, late = state.flatten(0, 1), late.flat()
    count = late.waiting(rows, times).flatten()
    return out | {"s": settled(state, late, count).view_as(out["s"])}
