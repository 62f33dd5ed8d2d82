"""The order in which a trie is read: depth first, so that few states are alive.

A node that others continue is held until the last of them is read. What is held stays within a
bound in bytes. A node that does not fit beside the nodes that it continues is dissolved, and its
tokens are read once more with each of its children. One that does not fit beside others waits until
they are through, and is dissolved where nothing else is left to read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mom_eval.evalsuite.engine.trie import Node
from mom_eval.models.state import State


@dataclass
class _Held:
    state: State
    waiting: int
    """Children that are not read yet."""


class Walk:
    """Says what to read next and holds what is to be continued."""

    def __init__(
        self,
        roots: Sequence[Node],
        writes: Callable[[Node], bool],
        state_bytes: Callable[[int], int],
        bound: int,
    ) -> None:
        """A walk over a trie.

        Args:
            roots: the trie's.
            writes: whether something is written behind a node, which takes a slot.
            state_bytes: of a sequence of so many tokens.
            bound: bytes that held states may take.
        """
        self._writes, self._state_bytes, self._bound = writes, state_bytes, bound
        self._next: list[Node] = []
        self._held: dict[Node, _Held] = {}
        self.bytes = 0
        """Of the states that are held."""
        self._push(roots)

    def __bool__(self) -> bool:
        """Whether anything is left to read."""
        return bool(self._next)

    @property
    def held(self) -> int:
        """How many states are held."""
        return len(self._held)

    def wave(self, rows: int, slots: int, tokens: int) -> list[Node]:
        """What to read in one call; there is at least one node while any is left.

        Args:
            rows: at most so many nodes.
            slots: of which so many have something written behind them, one or more.
            tokens: of all together; a longer one comes alone.
        """
        while self._next:
            wave = self._choose(rows, slots, tokens)
            if wave:
                return wave
            # All that is left would have to be held, and none of it can be.
            self._push(self._dissolve(self._next.pop()))
        return []

    def _choose(self, rows: int, slots: int, tokens: int) -> list[Node]:
        chosen: list[Node] = []
        passed: list[Node] = []
        room = self._bound - self.bytes
        while self._next and len(chosen) < rows:
            node = self._next.pop()
            if chosen and len(node) > tokens:
                passed.append(node)
                break
            holds = self._state_bytes(node.end) if node.children else 0
            writes = self._writes(node)
            if holds > room or writes > slots:
                passed.append(node)
                continue
            chosen.append(node)
            room, slots, tokens = room - holds, slots - writes, tokens - len(node)
        self._next += reversed(passed)
        return chosen

    def before(self, wave: Sequence[Node]) -> list[State | None]:
        """The states that the nodes continue."""
        return [None if node.parent is None else self._held[node.parent].state for node in wave]

    def done(self, wave: Sequence[Node], state: State) -> None:
        """The wave is read and left this state: hold what is to be continued, drop what was."""
        for row, node in enumerate(wave):
            if node.parent is not None:
                self._release(node.parent)
            if node.children:
                # A copy: a view would keep the whole wave's state.
                own = state[row : row + 1].trimmed().clone()
                self._held[node] = _Held(own, len(node.children))
                self.bytes += own.nbytes()
                self._push(node.children)

    def _push(self, nodes: Sequence[Node]) -> None:
        """Let these be read next, the longest first; none that could never be held."""
        waiting, fit = list(nodes), []
        while waiting:
            node = waiting.pop()
            if node.children and self._along(node) > self._bound:
                waiting += self._dissolve(node)
            else:
                fit.append(node)
        self._next += sorted(fit, key=Node.longest)

    def _along(self, node: Node | None) -> int:
        """Bytes of the states of a node and of all that it continues."""
        total = 0
        while node is not None:
            total += self._state_bytes(node.end)
            node = node.parent
        return total

    def _dissolve(self, node: Node) -> list[Node]:
        parts = node.dissolve()
        if node.parent is not None:
            self._held[node.parent].waiting += len(parts) - 1
        return parts

    def _release(self, node: Node) -> None:
        held = self._held[node]
        held.waiting -= 1
        if not held.waiting:
            self.bytes -= held.state.nbytes()
            del self._held[node]
