"""How much is done at once."""

from typing import NamedTuple

from mom_eval.models.cost import cost
from mom_eval.models.lm import LM


class Room(NamedTuple):
    """What a kind of machine takes; where that is still too much, the slots are halved."""

    slots: int
    tokens: int
    bytes: int


ROOM = {"cpu": Room(64, 8_192, 1 << 30), "cuda": Room(256, 131_072, 8 << 30)}
"""A CPU gains nothing from more."""


def room_of(lm: LM) -> Room:
    """What the machine takes that a model stands on."""
    return ROOM["cpu" if lm.embeddings.weight.device.type == "cpu" else "cuda"]


class StateBytes:
    """What one sequence leaves behind, by its length: attention's part grows with it."""

    def __init__(self, lm: LM) -> None:
        """Counted from shapes."""
        counted = cost(lm.config, lm.embeddings.weight.dtype)
        self._fixed, self._each = counted.state_bytes, counted.state_bytes_per_token

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
