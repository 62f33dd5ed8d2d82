"""The order in which a trie is read: depth first, so that few states are alive.

A node that others continue is held until the last of them is read. What is held stays within a
bound in bytes: a node that does not fit waits until others are through, and where nothing else is
left to read it is dissolved, which reads its tokens once more with each of its children.
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
        self._next = _longest_last(roots)
        self._held: dict[Node, _Held] = {}
        self.bytes = 0
        """Of the states that are held."""

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
            node = self._next.pop()
            parts = node.dissolve()
            if node.parent is not None:
                self._held[node.parent].waiting += len(parts) - 1
            self._next += _longest_last(parts)
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
                self._next += _longest_last(node.children)

    def _release(self, node: Node) -> None:
        held = self._held[node]
        held.waiting -= 1
        if not held.waiting:
            self.bytes -= held.state.nbytes()
            del self._held[node]


def _longest_last(nodes: Sequence[Node]) -> list[Node]:
    """In the order in which a stack gives the longest first."""
    return sorted(nodes, key=Node.longest)
