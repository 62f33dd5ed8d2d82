"""How much is done at once."""

from typing import NamedTuple

import torch

from mom_eval.models.cost import cost
from mom_eval.models.late_states import late_bytes
from mom_eval.models.lm import LM


class Room(NamedTuple):
    """What a kind of machine takes; where that is still too much, the slots are halved."""

    slots: int
    tokens: int
    bytes: int


ROOM = {"cpu": Room(64, 8_192, 1 << 30), "cuda": Room(256, 131_072, 8 << 30)}
"""A CPU gains nothing from more; the bytes of a GPU are those that it has."""


def room_of(lm: LM) -> Room:
    """What the machine takes that a model stands on: of a GPU, half of the memory that is free.

    A step of decoding costs little more for more slots, until their states are all of its work: 32
    slots of the 340M MoM take 1.9 ms, one takes 0.7.
    """
    device = lm.embeddings.weight.device
    if device.type == "cpu":
        return ROOM["cpu"]
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return ROOM["cuda"]._replace(bytes=(free + kept) // 2)


class StateBytes:
    """What one sequence leaves behind, by its length: attention's part grows with it."""

    def __init__(self, lm: LM) -> None:
        """Counted from shapes."""
        counted = cost(lm.config, lm.embeddings.weight.dtype)
        self._fixed = counted.state_bytes + late_bytes(lm)
        self._each = counted.state_bytes_per_token

    def __call__(self, tokens: int) -> int:
        """Bytes of the state behind so many tokens."""
        return self._fixed + self._each * tokens


class Limits(NamedTuple):
    """What one pass over a set of prompts keeps to."""

    slots: int
    """Texts that are written, and prompts that are read, at once."""
    tokens: int
    """Read in one call."""
    bytes: int
    """Of the states that wait for prompts to continue them; and of states and logits in scoring."""

    @classmethod
    def within(cls, room: Room, state_bytes: int, slots: int | None) -> "Limits":
        """Half the room's bytes for the slots, half for what waits.

        Args:
            room: the machine's.
            state_bytes: of the longest sequence.
            slots: as asked for; None: as many as fit. Fewer than fit take their share of the bytes
                only, so that halving them halves everything.
        """
        fit = max(1, min(room.slots, room.bytes // (2 * state_bytes)))
        slots = fit if slots is None else slots
        return cls(slots, room.tokens, room.bytes // 2 * min(slots, fit) // fit)
