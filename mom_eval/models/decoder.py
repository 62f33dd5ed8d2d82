"""Decoding in slots: one buffer of states that change in place, and on a GPU one CUDA graph a step.

A model's `forward` takes states as values and copies them; here every token changes the slot it
belongs to and nothing else. Sequences are written into slots and read out of them as values.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels import compiling, most_probable, preferring
from mom_eval.models.late_states import read_slots, with_late
from mom_eval.models.lm import LM
from mom_eval.models.memory import LATE
from mom_eval.models.state import ATTENTION, State


class Decoder:
    """A model, and slots that hold a sequence each."""

    def __init__(self, lm: LM, slots: int, capacity: int) -> None:
        """`capacity`: tokens that a slot can hold, where the model has attention."""
        self._lm, self.slots = lm, slots
        # One more, that of rows that are nobody's.
        self._state = with_late(lm, _roomy(lm.empty_state(slots + 1), capacity))
        self._device = self._state.seen.device
        self._graph: torch.cuda.CUDAGraph | None = None
        # Tokens and the slots that they are for, and what is next: the host's side of a graph.
        gpu = self._device.type == "cuda"
        # One copy, of rows of whole 16 bytes, since kernels hang on whether these divide a place.
        self._given = torch.zeros(2, slots + slots % 2, dtype=torch.int64, pin_memory=gpu)
        self._next = torch.zeros(slots, dtype=torch.int64, pin_memory=gpu)
        # By numpy: half the host's time of a tensor and its copy, for which the GPU waits.
        self._table = self._given.numpy()
        self._asked: dict[int, int] = {}

    def write(self, slots: Sequence[int], state: State) -> None:
        """Put sequences into slots, whatever those held."""
        index = torch.tensor(slots, dtype=torch.int64, device=self._device)
        self._state.seen[index] = state.seen
        for kept, new in zip(self._state.layers, state.layers, strict=True):
            for name, value in new.items():
                if new.keys() == ATTENTION:
                    kept[name][index, : value.shape[1]] = value
                else:
                    kept[name][index] = value
            for name in kept.keys() & LATE:
                # Nothing waits to be written into what is written now.
                kept[name][index] = 0

    def read(self, slots: Sequence[int]) -> State:
        """What slots hold, as a value."""
        return read_slots(self._state, slots).trimmed()

    def step(self, tokens: dict[int, int]) -> dict[int, int]:
        """Read one more token in some slots: slot -> token. Returns the most probable next ones."""
        self.begin(tokens)
        return self.end(tokens)

    def begin(self, tokens: dict[int, int]) -> None:
        """Have a GPU begin a step, while the host may look at what the last one gave.

        A step that was begun must have ended.
        """
        self._asked = tokens
        if self._device.type == "cuda":
            given, slots = self._table, list(tokens)
            given[1] = -1
            given[0, slots], given[1, slots] = list(tokens.values()), slots
            if self._graph is None:
                self._graph = self._captured()
            self._graph.replay()

    def end(self, slots: Iterable[int]) -> dict[int, int]:
        """What the step that was begun gives for some of its slots: the most probable tokens.

        What the others hold then, means nothing: a GPU read their tokens too, a CPU does not.
        """
        wanted = list(slots)
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()
            found = self._next.tolist()
            return {slot: found[slot] for slot in wanted}
        if not wanted:
            return {}
        tokens = torch.tensor([self._asked[slot] for slot in wanted], device=self._device)
        found = self.push(tokens, torch.tensor(wanted, device=self._device)).tolist()
        return dict(zip(wanted, found, strict=True))

    @torch.inference_mode()
    def _captured(self) -> torch.cuda.CUDAGraph:
        """A step as a graph, of tokens and slots that lie in `_given`, into `_next`."""
        # With no slot at all, so that nothing is changed: kernels are compiled side by side,
        # and launched once.
        tokens = self._given[0, : self.slots].to(self._device)
        nobody = torch.full_like(tokens, -1)
        if self._lm.on_triton():
            few, kept = self._lm.shallow()
            layers = [self._state.layers[index] for index in kept]
            with compiling():
                _next_tokens(few, tokens, nobody, State(self._state.seen, layers))
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            self.push(tokens, nobody)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            given = self._given.to(self._device, non_blocking=True)[:, : self.slots]
            self._next.copy_(self.push(*given), non_blocking=True)
        return graph

    @torch.inference_mode()
    def push(self, tokens: Tensor, slots: Tensor) -> Tensor:
        """`step` as tensors [R], without a graph: slots and their tokens -> the next tokens."""
        return _next_tokens(self._lm, tokens, slots, self._state)


def _next_tokens(lm: LM, tokens: Tensor, slots: Tensor, state: State) -> Tensor:
    with preferring(lm.kernels):
        return most_probable(lm.step(tokens, slots, state))


def _roomy(state: State, capacity: int) -> State:
    """The state as one buffer slot after slot, attention's keys and values for so many tokens."""
    layers = [
        {name: F.pad(t, (0, 0, 0, 0, 0, capacity)) for name, t in layer.items()}
        if layer.keys() == ATTENTION
        else {name: t.contiguous() for name, t in layer.items()}
        for layer in state.layers
    ]
    return State(state.seen, layers)
