"""The laws of every model: any family, one memory or four, a shared one beside them, attention."""

import pytest
import torch
from torch import Tensor

from mom_eval.models import FAMILIES, LM, Memories, State
from tests.models.shapes import CASES, MEMORIES, config_of, error, new_model, run, sequences

FLOAT32 = 1e-5
LENGTHS = (7, 0, 70, 1)


@pytest.fixture(scope="module", params=CASES)
def model(request) -> LM:
    return new_model(CASES[request.param])


def assert_states_equal(got: State, want: State) -> None:
    assert torch.equal(got.seen, want.seen)
    for mine, theirs in zip(got.layers, want.layers, strict=True):
        assert mine.keys() == theirs.keys()
        for name in theirs:
            assert mine[name].shape == theirs[name].shape, name
            assert error(mine[name].double(), theirs[name].double()) < FLOAT32, name


def per_token(logits: Tensor, batch: list[list[int]]) -> list[Tensor]:
    return list(logits.split([len(sequence) for sequence in batch]))


@pytest.mark.parametrize("cuts", [(1, 0, 3, 0), (4, 0, 64, 1), (7, 0, 69, 1)])
def test_split_is_whole(model: LM, cuts: tuple[int, ...]):
    batch = sequences(*LENGTHS)
    whole = run(model, batch)
    first = run(model, [s[:cut] for s, cut in zip(batch, cuts, strict=True)])
    rest = [s[cut:] for s, cut in zip(batch, cuts, strict=True)]
    second = run(model, rest, first.state)
    for n, logits in enumerate(per_token(whole.logits, batch)):
        assert error(per_token(second.logits, rest)[n], logits[cuts[n] :]) < FLOAT32
    assert_states_equal(second.state, whole.state)


def test_token_by_token_is_whole(model: LM):
    (tokens,) = sequences(9)
    whole, state, steps = run(model, [tokens]), None, []
    for token in tokens:
        out = run(model, [[token]], state)
        state = out.state
        steps.append(out.logits)
    assert error(torch.cat(steps), whole.logits) < FLOAT32


def test_a_call_changes_no_state(model: LM):
    first = run(model, sequences(5, 3))
    before = first.state.clone()
    run(model, sequences(2, 4), first.state)
    assert_states_equal(first.state, before)


def test_alone_is_together(model: LM):
    batch = sequences(*LENGTHS)
    together = run(model, batch)
    for order in ([3, 2, 1, 0], [2], [0, 2]):
        out = run(model, [batch[n] for n in order])
        for got, n in zip(per_token(out.logits, [batch[n] for n in order]), order, strict=True):
            assert error(got, per_token(together.logits, batch)[n]) < FLOAT32
        assert error(out.logits, out.logits) == 0


def test_states_are_put_together_and_taken_apart(model: LM):
    batch, more = sequences(7, 40, 3), sequences(2, 1, 5, seed=2)
    together = run(model, more, run(model, batch).state)
    states = [run(model, [sequence]).state for sequence in batch]
    again = run(model, more, State.cat(states))
    assert error(again.logits, together.logits) < FLOAT32
    picked = run(model, [more[2], more[0], more[2]], run(model, batch).state[[2, 0, 2]])
    parts = per_token(together.logits, more)
    assert error(picked.logits, torch.cat([parts[2], parts[0], parts[2]])) < FLOAT32


def test_causal(model: LM):
    (tokens,) = sequences(70)
    changed = [*tokens[:33], (tokens[33] + 1) % 50, *tokens[34:]]
    before, after = run(model, [tokens]).logits, run(model, [changed]).logits
    # Not bit by bit: the projections' products may differ in their last bits with the rows of a
    # memory, whose number changes with the routes.
    assert error(after[:33], before[:33]) < 1e-6
    assert error(after[33], before[33]) > 1e-2
    assert error(after[34:40], before[34:40]) > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_one_routed_memory_is_the_plain_family(family: str):
    plain = new_model(config_of(family))
    routed = new_model(config_of(family, Memories(num_memories=1, top_k=1)), seed=5)
    pieces = plain.pieces()
    with torch.no_grad():
        for name, piece in routed.pieces().items():
            if not name.endswith("router.weight"):
                piece.copy_(pieces[name.replace("memories.0.", "")])
    batch = sequences(*LENGTHS)
    assert error(run(routed, batch).logits, run(plain, batch).logits) < FLOAT32


@pytest.mark.parametrize("memories", [name for name in MEMORIES if MEMORIES[name]])
@pytest.mark.parametrize("family", FAMILIES)
def test_memories_have_no_order(family: str, memories: str):
    model, order = new_model(config_of(family, MEMORIES[memories])), [2, 0, 3, 1]
    permuted = new_model(model.config, seed=7)
    pieces = model.pieces()
    with torch.no_grad():
        for name, piece in permuted.pieces().items():
            source = name
            if ".memories." in name:
                head, _, tail = name.partition(".memories.")
                source = f"{head}.memories.{order[int(tail[0])]}{tail[1:]}"
            value = pieces[source]
            piece.copy_(value[order] if name.endswith("router.weight") else value)
    batch = sequences(*LENGTHS)
    want, got = run(model, batch), run(permuted, batch)
    for layer, routes in want.routing.items():
        assert torch.equal(torch.tensor(order)[got.routing[layer].memories], routes.memories)
    assert error(got.logits, want.logits) < FLOAT32


def test_forced_routes_decide(model: LM):
    batch = sequences(7, 20)
    out = run(model, batch)
    if not out.routing:
        pytest.skip("no router")
    own = {layer: routes.memories for layer, routes in out.routing.items()}
    assert torch.equal(run(model, batch, routes=own).logits, out.logits)
    other = {layer: (memories + 1) % 4 for layer, memories in own.items()}
    forced = run(model, batch, routes=other)
    assert error(forced.logits, out.logits) > 1e-2
    for layer, memories in other.items():
        assert torch.equal(forced.routing[layer].memories, memories)


def test_a_state_survives_a_file(model: LM, tmp_path):
    state = run(model, sequences(7, 20)).state
    state.save(tmp_path / "state.safetensors")
    back, more = State.load(tmp_path / "state.safetensors"), sequences(3, 2)
    assert torch.equal(run(model, more, back).logits, run(model, more, state).logits)


def test_pieces_are_all_parameters_once(model: LM):
    pieces = model.pieces()
    parameters = dict(model.named_parameters())
    assert sum(p.numel() for p in pieces.values()) == sum(p.numel() for p in parameters.values())
    marked = new_model(model.config)
    with torch.no_grad():
        for piece in marked.pieces().values():
            piece.fill_(7.0)
    assert all(bool((parameter == 7.0).all()) for parameter in marked.parameters())


def test_every_parameter_learns(model: LM):
    (tokens,) = sequences(70)
    model.zero_grad()
    ids = torch.tensor(tokens)
    out = model(ids, at=torch.arange(len(ids) - 1))
    torch.nn.functional.cross_entropy(out.logits, ids[1:]).backward()
    for name, piece in model.named_parameters():
        assert piece.grad is not None, name
        assert bool(piece.grad.isfinite().all()), name
        # A row of softmax over few layers may be flat, but not a whole tensor.
        assert bool((piece.grad != 0).any()), name


def test_a_call_says_what_does_not_fit(model: LM):
    with pytest.raises(ValueError, match="packed"):
        model(torch.zeros(1, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="sequences"):
        model(torch.zeros(3, dtype=torch.int64), state=model.empty_state(2))
    with pytest.raises(ValueError, match="without a token"):
        model(torch.zeros(3, dtype=torch.int64), torch.tensor([0, 3, 3]))


@pytest.mark.parametrize("family", FAMILIES)
def test_split_is_whole_in_bfloat16(family: str):
    model = new_model(config_of(family, MEMORIES["4+shared"])).to(torch.bfloat16)
    (tokens,) = sequences(70)
    whole = run(model, [tokens])
    own = {layer: routes.memories for layer, routes in whole.routing.items()}
    first = run(model, [tokens[:30]], routes={k: v[:30] for k, v in own.items()})
    second = run(model, [tokens[30:]], first.state, routes={k: v[30:] for k, v in own.items()})
    assert error(second.logits, whole.logits[30:]) < 1e-2


@pytest.mark.parametrize("memories", MEMORIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_float32_is_close_to_float64(family: str, memories: str):
    model, (tokens,) = new_model(config_of(family, MEMORIES[memories])), sequences(70)
    got = run(model, [tokens])
    routes = {layer: routes.memories for layer, routes in got.routing.items()}
    want = run(model.double(), [tokens], routes=routes)
    assert {t.dtype for layer in want.state.layers for t in layer.values()} <= {
        torch.float64,
        torch.int64,
    }
    assert error(got.logits, want.logits) < FLOAT32
