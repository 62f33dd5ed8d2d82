"""Decoding in slots: one buffer of states that change in place, and on a GPU one CUDA graph a step.

A model's `forward` takes states as values and copies them; here every token changes the slot it
belongs to and nothing else. Sequences are written into slots and read out of them as values. What a
step gives is on the GPU before the host sees it, so the next one may begin without the host.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels import compiling, most_probable, preferring
from mom_eval.models.late_states import read_slots, with_late
from mom_eval.models.lm import LM
from mom_eval.models.memory import LATE
from mom_eval.models.state import ATTENTION, State


@dataclass(frozen=True, eq=False)
class _Turn:
    """A step as a graph, and where the host finds what it gave once it has ended."""

    graph: torch.cuda.CUDAGraph
    told: Tensor
    ended: torch.cuda.Event


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
        self._turns: list[_Turn] = []
        self._begun: deque[_Turn] = deque()

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

    def begin(self, tokens: Mapping[int, int | None]) -> None:
        """Have a GPU begin a step, which reads one more token in some slots.

        Slot -> token, or None: what the slot's step before gives, which need not have ended. One
        step that was begun may be waited for meanwhile: the host looks at it while this one runs.
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
        turn = self._free_turn()
        turn.graph.replay()
        turn.ended.record()
        self._begun.append(turn)

    def end(self, slots: Iterable[int]) -> dict[int, int]:
        """What the first step that was begun gives for some of its slots: the most probable tokens.

        What the others hold then, means nothing: a GPU read their tokens too, a CPU does not.
        """
        wanted = list(slots)
        if self._gpu:
            turn = self._begun.popleft()
            turn.ended.synchronize()
            told = turn.told.tolist()
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

    def _free_turn(self) -> _Turn:
        """One whose last step has ended: two in turn, of those who begin ahead."""
        free = [turn for turn in self._turns if turn not in self._begun]
        if not free:
            assert len(self._turns) < 2, "a step must end before a third is begun"
            free = [self._captured()]
            self._turns += free
        return free[0]

    @torch.inference_mode()
    def _captured(self) -> _Turn:
        """A step of `_tokens` in the slots of `_rows`, which leaves what it gives in `_tokens`."""
        if not self._turns:
            self._warm()
        # What lies in it while a step runs, no other step needs.
        pool = self._turns[0].graph.pool() if self._turns else None
        graph = torch.cuda.CUDAGraph()
        told = torch.zeros(self.slots, dtype=torch.int64, pin_memory=True)
        with torch.cuda.graph(graph, pool=pool):
            self._tokens.copy_(self.push(self._tokens, self._rows))
            told.copy_(self._tokens, non_blocking=True)
        return _Turn(graph, told, torch.cuda.Event())

    def _warm(self) -> None:
        """Have all kernels of a step compiled side by side, and launched once."""
        # With no slot at all, so that nothing is changed.
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
