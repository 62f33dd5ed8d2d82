"""The trie and the walk over it: every prompt is read whole, what is shared once, within bounds."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mom_eval.evalsuite.engine.trie import Node, build
from mom_eval.evalsuite.engine.walk import Walk
from mom_eval.models.state import State

PROMPTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), max_size=12)


def nodes(roots):
    return [node for root in roots for node in root.walk()]


def path(node):
    return [] if node is None else path(node.parent) + list(node.tokens)


@given(PROMPTS, st.integers(1, 6))
def test_paths_are_the_prompts_and_what_is_shared_is_worth_it(prompts, worth):
    roots = build(prompts, worth)
    ends = {number: path(node) for node in nodes(roots) for number in node.ends}
    assert ends == dict(enumerate(prompts))
    assert sum(map(len, nodes(roots))) <= sum(map(len, prompts))
    for node in nodes(roots):
        assert len(node) >= 1
        assert node.ends or len(node.children) > 1
        assert not node.children or len(node) >= worth
        assert all(child.parent is node for child in node.children)
    if worth == 1:
        prefixes = {tuple(prompt[:n]) for prompt in prompts for n in range(1, len(prompt) + 1)}
        assert sum(map(len, nodes(roots))) == len(prefixes)


def test_tokens_are_told_apart_beyond_a_byte():
    (root,) = build([[70_000, 1], [70_000, 257]], worth=1)
    assert (list(root.tokens), root.longest()) == ([70_000], 2)
    assert [list(child.tokens) for child in root.children] == [[1], [257]]


def test_a_short_beginning_goes_to_the_longer_one_below_it():
    a, b, c = [1] * 10 + [2], [1] * 10 + [3] * 10 + [4], [1] * 10 + [3] * 10 + [5]
    alone, shared = build([a, b, c], worth=16)
    assert (list(alone.tokens), list(shared.tokens)) == (a, [1] * 10 + [3] * 10)


LONGEST = 12


def read(walk: Walk, wave: list[Node]) -> State:
    """A model whose state is what it has read, in full: so a state that is wrong shows."""
    rows = []
    for node, before in zip(wave, walk.before(wave), strict=True):
        seen = [] if before is None else before.layers[0]["s"][0, : int(before.seen)].tolist()
        rows.append(seen + list(node.tokens))
    text = torch.tensor([row + [0] * (LONGEST - len(row)) for row in rows])
    return State(torch.tensor([len(row) for row in rows]), [{"s": text}])


SIZE = 8 * (1 + LONGEST)


@settings(max_examples=200, deadline=None)
@given(PROMPTS, st.integers(1, 5), st.integers(1, 5), st.integers(1, 20), st.integers(0, 4))
def test_a_walk_reads_every_prompt_within_its_bounds(prompts, rows, slots, tokens, states):
    roots = build(prompts, worth=1)
    all_shared = sum(map(len, nodes(roots)))
    walk = Walk(roots, lambda node: bool(node.ends), lambda _: SIZE, states * SIZE)
    found, spent = {}, 0
    while walk:
        wave = walk.wave(rows, slots, tokens)
        assert 1 <= len(wave) <= rows
        assert sum(bool(node.ends) for node in wave) <= slots
        assert len(wave) == 1 or sum(map(len, wave)) <= tokens
        state = read(walk, wave)
        walk.done(wave, state)
        assert walk.bytes == walk.held * SIZE <= states * SIZE
        spent += sum(map(len, wave))
        for node, text, length in zip(wave, state.layers[0]["s"], state.seen, strict=True):
            found |= {number: text[:length].tolist() for number in node.ends}
    assert found == dict(enumerate(prompts))
    assert (walk.held, walk.bytes) == (0, 0)
    assert all_shared <= spent <= sum(map(len, {tuple(prompt): prompt for prompt in prompts}))
    if states == 4 and len(prompts) < 4:
        assert spent == all_shared


def test_a_node_waits_for_room_and_is_dissolved_only_where_nothing_else_is_left():
    documents = [[d] * 5 + [9, q] for d in range(3) for q in range(2)]
    walk = Walk(build(documents, worth=1), lambda node: bool(node.ends), lambda _: SIZE, SIZE)
    waves = []
    while walk:
        wave = walk.wave(9, 9, 99)
        waves.append([path(node) for node in wave])
        walk.done(wave, read(walk, wave))
    assert [len(wave) for wave in waves] == [1, 2, 1, 2, 1, 2]
    assert [len(wave[0]) for wave in waves] == [6, 7, 6, 7, 6, 7]
    walk = Walk(build(documents, worth=1), lambda node: bool(node.ends), lambda _: SIZE, 0)
    assert sorted(path(node) for node in walk.wave(9, 9, 99)) == documents


def test_longest_first():
    prompts = [[1] * 4, [2] * 9, [3] * 6]
    walk = Walk(build(prompts), lambda _: True, lambda _: SIZE, 0)
    assert [len(walk.wave(1, 1, 99)[0]) for _ in prompts] == [9, 6, 4]
