"""A compressed trie over prompts in tokens: what they share, and what each has of its own.

A node is a stretch of tokens; the stretches from a root to where a prompt ends are the prompt.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

WORTH = 16
"""Tokens that prompts must share before their state is kept for it."""


@dataclass(eq=False)
class Node:
    """A stretch of the prompts that pass through it."""

    prompt: Sequence[int]
    """One of them."""
    start: int
    end: int
    parent: "Node | None" = None
    ends: list[int] = field(default_factory=list)
    """Numbers of the prompts that end here."""
    children: list["Node"] = field(default_factory=list)

    def __len__(self) -> int:
        """Tokens of the stretch."""
        return self.end - self.start

    def __bool__(self) -> bool:
        """A node is one, whatever its length."""
        return True

    @property
    def tokens(self) -> Sequence[int]:
        """The stretch."""
        return self.prompt[self.start : self.end]

    def longest(self) -> int:
        """Tokens of the longest prompt that passes through."""
        return max(node.end for node in self.walk())

    def walk(self) -> Iterator["Node"]:
        """The node and all below it."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.children

    def dissolve(self) -> list["Node"]:
        """The nodes that stand for this one when nothing is shared here.

        Each of its children begins where it began; if prompts end here, it stays for them alone.
        """
        children, self.children = self.children, []
        for child in children:
            child.start, child.parent = self.start, self.parent
        return [*([self] if self.ends else []), *children]


def build(prompts: Sequence[Sequence[int]], worth: int = WORTH) -> list[Node]:
    """The roots of a trie over prompts, none of them empty.

    Args:
        prompts: tokens; equal ones share everything.
        worth: a node that is shared by several prompts has at least so many tokens.
    """
    root = Node((), 0, 0)
    path, before = [root], np.empty(0, np.uint32)
    # Every token is four bytes: sorted as bytes, prompts that share a beginning come together.
    keys = [np.asarray(prompt, np.uint32).tobytes() for prompt in prompts]
    for number in sorted(range(len(prompts)), key=keys.__getitem__):
        prompt = prompts[number]
        tokens = np.frombuffer(keys[number], np.uint32)
        _add(path, number, prompt, _shared(before, tokens))
        before = tokens
    waiting = [root]
    while waiting:
        node = waiting.pop()
        node.children = [one for child in node.children for one in _worth(child, worth)]
        waiting += node.children
    for child in root.children:
        child.parent = None
    return root.children


def _shared(a: np.ndarray, b: np.ndarray) -> int:
    """How many tokens two prompts share from their beginning."""
    length = min(len(a), len(b))
    differ = a[:length] != b[:length]
    return int(differ.argmax()) if differ.any() else length


def _add(path: list[Node], number: int, prompt: Sequence[int], shared: int) -> None:
    """Add the next prompt in order; `path` leads to the one before it and is led to this one."""
    below = None
    while path[-1].end > shared:
        below = path.pop()
    if below is not None and path[-1].end < shared:
        middle = Node(below.prompt, below.start, shared, path[-1], children=[below])
        path[-1].children[-1] = middle
        below.start, below.parent = shared, middle
        path.append(middle)
    if path[-1].end < len(prompt):
        leaf = Node(prompt, path[-1].end, len(prompt), path[-1])
        path[-1].children.append(leaf)
        path.append(leaf)
    path[-1].ends.append(number)


def _worth(node: Node, worth: int) -> list[Node]:
    """The node; or, from the top down, what it is dissolved into where it is too short."""
    if not node.children or len(node) >= worth:
        return [node]
    return [one for part in node.dissolve() for one in _worth(part, worth)]
