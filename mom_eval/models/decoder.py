"""Decoding in slots: one buffer of states that change in place, and on a GPU one CUDA graph a step.

A model's `forward` takes states as values and copies them; here every token changes the slot it
belongs to and nothing else. Sequences are written into slots and read out of them as values. What a
step gives is on the GPU before the host sees it, so the next one may begin without the host.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

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
        self._gpu = self._device.type == "cuda"
        # What every slot reads next; a step leaves there what it gives.
        self._tokens = torch.zeros(slots, dtype=torch.int64, device=self._device)
        # A graph's rows: slot i is row i, or nobody is.
        self._rows = torch.full_like(self._tokens, -1)
        self._active: set[int] = set()
        self._graph: torch.cuda.CUDAGraph | None = None
        # Where the host finds what a step gave, in turn: of two steps that were begun each its own.
        self._told = [torch.zeros(slots, dtype=torch.int64, pin_memory=self._gpu) for _ in "ab"]
        self._ended = [torch.cuda.Event() for _ in self._told] if self._gpu else []
        self._begun: deque[int] = deque()

    @property
    def ahead(self) -> bool:
        """Whether a step is begun before the last one has ended: a CPU would gain nothing."""
        return self._gpu

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

    def step(self, tokens: Mapping[int, int]) -> dict[int, int]:
        """Read one more token in some slots: slot -> token. Returns the most probable next ones."""
        self.begin(tokens)
        return self.end(tokens)

    @torch.inference_mode()
    def begin(self, tokens: Mapping[int, int | None]) -> None:
        """Have a GPU begin a step, which reads one more token in some slots.

        Slot -> token, or None for a slot of the step that was begun before: what that gives, which
        need not have ended. One such may be waited for: the host looks at it while this one runs. A
        token is given of a slot only that no step reads which has to end.
        """
        given = {slot: token for slot, token in tokens.items() if token is not None}
        if given:
            self._tokens[self._there(given)] = self._there(given.values())
        if not self._gpu:
            return
        if self._active != tokens.keys():
            self._active = set(tokens)
            rows = (slot if slot in self._active else -1 for slot in range(self.slots))
            self._rows.copy_(self._there(rows))
        assert len(self._begun) < 2, "a step must end before a third is begun"
        turn = 1 - self._begun[-1] if self._begun else 0
        if self._graph is None:
            self._graph = self._captured()
        self._graph.replay()
        self._told[turn].copy_(self._tokens, non_blocking=True)
        self._ended[turn].record(torch.cuda.current_stream(self._device))
        self._begun.append(turn)

    @torch.inference_mode()
    def end(self, slots: Iterable[int]) -> dict[int, int]:
        """What the first step that was begun gives for some of its slots: the most probable tokens.

        What the others hold then, means nothing: a GPU read their tokens too, a CPU does not.
        """
        wanted = list(slots)
        if self._gpu:
            turn = self._begun.popleft()
            self._ended[turn].synchronize()
            told = self._told[turn].tolist()
            return {slot: told[slot] for slot in wanted}
        if not wanted:
            return {}
        index = self._there(wanted)
        found = self._tokens[index] = self.push(self._tokens[index], index)
        return dict(zip(wanted, found.tolist(), strict=True))

    def _there(self, numbers: Iterable[int]) -> Tensor:
        """On the device, without waiting for it."""
        # Memory of the host that is not pinned could be waited for.
        found = torch.tensor(list(numbers), dtype=torch.int64, pin_memory=self._gpu)
        return found.to(self._device, non_blocking=True)

    def _captured(self) -> torch.cuda.CUDAGraph:
        """A step of `_tokens` in the slots of `_rows`, which leaves what it gives in `_tokens`."""
        # With no slot at all, so that nothing is changed: kernels are compiled side by side,
        # and launched once.
        nobody = torch.full_like(self._rows, -1)
        if self._lm.on_triton():
            few, kept = self._lm.shallow()
            layers = [self._state.layers[index] for index in kept]
            with compiling():
                _next_tokens(few, self._tokens, nobody, State(self._state.seen, layers))
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            self.push(self._tokens, nobody)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._tokens.copy_(self.push(self._tokens, self._rows))
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
