"""The laws of every model: any family, one memory or four, a shared one beside them, attention."""

import pytest
import torch

from mom_eval.models import FAMILIES, LM, Memories, ModelConfig, State, packed
from tests.models.laws import (
    alone_is_together,
    assert_states_alike,
    causal,
    random_cuts,
    readings,
    split_is_whole,
)
from tests.models.shapes import CASES, MEMORIES, config_of, error, new_model, run, sequences

FLOAT32, FLOAT64, BFLOAT16 = 1e-5, 1e-12, 1e-2
LENGTHS = (7, 0, 70, 1)
ROUTED = [name for name, memories in MEMORIES.items() if memories]


@pytest.fixture(scope="module", params=CASES)
def model(request) -> LM:
    return new_model(CASES[request.param])


@pytest.fixture(scope="module", params=CASES)
def double(request) -> LM:
    return new_model(CASES[request.param]).double()


@pytest.mark.parametrize("cuts", [(1, 0, 3, 0), (4, 0, 64, 1), (7, 0, 69, 1)])
def test_split_is_whole(model: LM, cuts: tuple[int, ...]):
    split_is_whole(model, sequences(*LENGTHS), cuts, tolerance=FLOAT32)


def test_split_is_whole_in_float64(double: LM):
    batch = sequences(*LENGTHS)
    split_is_whole(double, batch, *random_cuts(batch, 4, seed=3), tolerance=FLOAT64)


def test_token_by_token_is_whole(double: LM):
    batch = sequences(9)
    split_is_whole(double, batch, *([end] for end in range(1, 9)), tolerance=FLOAT64)


def test_a_call_changes_no_state(model: LM):
    first = run(model, sequences(5, 3))
    before = first.state.clone()
    run(model, sequences(2, 4), first.state)
    assert_states_alike(first.state, before, tolerance=1e-30)


def test_alone_is_together(model: LM):
    alone_is_together(model, sequences(*LENGTHS), FLOAT32)


def test_alone_is_together_in_float64(double: LM):
    alone_is_together(double, sequences(*LENGTHS), FLOAT64)


def test_causal(model: LM):
    causal(model, 1e-6)


def test_causal_in_float64(double: LM):
    causal(double, FLOAT64)


def test_logits_are_of_the_last_tokens_unless_told(model: LM):
    tokens, cu_seqlens = packed(sequences(7, 20, 1), "cpu")
    every = run(model, sequences(7, 20, 1)).logits
    with torch.no_grad():
        assert error(model(tokens, cu_seqlens).logits, every[[6, 26, 27]]) < FLOAT32
        some = torch.tensor([20, 3, 3])
        assert error(model(tokens, cu_seqlens, at=some).logits, every[some]) < FLOAT32


def test_states_are_put_together_and_taken_apart(model: LM):
    batch, more = sequences(7, 40, 3), sequences(2, 1, 5, seed=2)
    state = run(model, batch).state
    together = run(model, more, state)
    states = [run(model, [sequence]).state for sequence in batch]
    again = run(model, more, State.cat(states))
    assert error(again.logits, together.logits) < FLOAT32
    picked = run(model, [more[2], more[0], more[2]], state[[2, 0, 2]])
    parts = [reading.logits for reading in readings(together, more)]
    assert error(picked.logits, torch.cat([parts[2], parts[0], parts[2]])) < FLOAT32
    masked = state[torch.tensor([True, False, True])]
    assert_states_alike(masked, state[::2], tolerance=1e-30)
    assert_states_alike(State.cat([state[[]], state]), state, tolerance=1e-30)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_routed_memory_is_the_plain_family(family: str):
    plain = new_model(config_of(family))
    routed = new_model(config_of(family, Memories(num_memories=1, top_k=1)), seed=5)
    filled_by_name(routed, plain, lambda name: name.replace("memories.0.", ""))
    batch = sequences(*LENGTHS)
    assert error(run(routed, batch).logits, run(plain, batch).logits) < FLOAT32


@pytest.mark.parametrize("family", FAMILIES)
def test_memories_that_all_hold_the_same_are_the_plain_family(family: str):
    """Where every token goes to each of them: the weights, which differ, sum to one."""
    plain = new_model(config_of(family))
    routed = new_model(config_of(family, Memories(num_memories=3, top_k=3)), seed=5)
    filled_by_name(routed, plain, lambda name: name.replace(_memory(name), ""))
    batch = sequences(*LENGTHS)
    out = run(routed, batch)
    assert all(bool((routes.weights.std(-1) > 1e-3).any()) for routes in out.routing.values())
    assert error(out.logits, run(plain, batch).logits) < FLOAT32


def _memory(name: str) -> str:
    """`memories.2.` in the name of a piece."""
    _, found, tail = name.partition(".memories.")
    return f"memories.{tail.partition('.')[0]}." if found else "memories."


def filled_by_name(model: LM, other: LM, source) -> None:
    """Copy the pieces of another model, by the name there; routers stay as they are."""
    pieces = other.pieces()
    with torch.no_grad():
        for name, piece in model.pieces().items():
            if not name.endswith("router.weight"):
                piece.copy_(pieces[source(name)])


@pytest.mark.parametrize("memories", ROUTED)
@pytest.mark.parametrize("family", FAMILIES)
def test_memories_have_no_order(family: str, memories: str):
    model, order = new_model(config_of(family, MEMORIES[memories])), [2, 0, 3, 1]
    permuted = new_model(model.config, seed=7)

    def source(name: str) -> str:
        memory = _memory(name)
        if memory not in name:
            return name
        return name.replace(memory, f"memories.{order[int(memory.split('.')[1])]}.")

    filled_by_name(permuted, model, source)
    with torch.no_grad():
        for mine, theirs in zip(permuted.layers, model.layers, strict=True):
            mine.mixer.router.weight.copy_(theirs.mixer.router.weight[order])
    batch = sequences(*LENGTHS)
    want, got = run(model, batch), run(permuted, batch)
    for layer, routes in want.routing.items():
        assert torch.equal(torch.tensor(order)[got.routing[layer].memories], routes.memories)
    assert error(got.logits, want.logits) < FLOAT32


def test_a_tie_goes_to_the_lower_memory():
    model = new_model(CASES["gla-4+shared"])
    with torch.no_grad():
        for block in model.layers:
            block.mixer.router.weight.zero_()
    for routes in run(model, sequences(7, 20)).routing.values():
        assert torch.equal(routes.memories, torch.tensor([0, 1]).expand(27, 2))
        assert bool((routes.weights == 0.5).all())


def routed_models() -> list[str]:
    return [name for name, config in CASES.items() if config.memories]


@pytest.mark.parametrize("case", routed_models())
def test_forced_routes_decide(case: str):
    model, batch = new_model(CASES[case]), sequences(7, 20)
    out = run(model, batch)
    own = {layer: routes.memories for layer, routes in out.routing.items()}
    assert torch.equal(run(model, batch, routes=own).logits, out.logits)
    for routes in out.routing.values():
        chosen = routes.probabilities.gather(1, routes.memories)
        assert error(routes.weights, chosen / chosen.sum(-1, keepdim=True)) < FLOAT32
    other = {layer: (memories + 1) % 4 for layer, memories in own.items()}
    forced = run(model, batch, routes=other)
    assert error(forced.logits, out.logits) > 1e-2
    for layer, memories in other.items():
        assert torch.equal(forced.routing[layer].memories, memories)


def test_a_state_survives_a_file(model: LM, tmp_path):
    state = run(model, sequences(7, 20, 3)).state[::2]
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


def test_every_parameter_is_drawn(model: LM):
    """From torch's generator alone, wherever the memory for it came from."""
    drawn = []
    for before in (float("nan"), 3.0):
        other = LM(model.config)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.fill_(before)
        torch.manual_seed(11)
        other.reset_parameters()
        drawn.append(dict(other.named_parameters()))
    for name, parameter in drawn[0].items():
        assert bool(parameter.isfinite().all()), name
        assert torch.equal(parameter, drawn[1][name]), name


def loss_of(model: LM, tokens: torch.Tensor, routes: dict[int, torch.Tensor]) -> torch.Tensor:
    out = model(tokens, at=torch.arange(len(tokens) - 1), routes=routes)
    return torch.nn.functional.cross_entropy(out.logits, tokens[1:])


@pytest.mark.parametrize("case", CASES)
def test_every_piece_learns(case: str):
    """Every piece has a gradient, and the gradient is the slope of the loss."""
    model, ids, routes = forced(CASES[case], torch.float64)
    tokens, size = torch.tensor(ids), 1e-6
    loss_of(model, tokens, routes).backward()
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert gradients.keys() == start.keys()
    torch.manual_seed(4)
    step = {name: torch.randn_like(value) for name, value in start.items()}
    sides = []
    for side in (size, -size):
        model.load_state_dict({name: start[name] + side * step[name] for name in start})
        with torch.no_grad():
            sides.append(float(loss_of(model, tokens, routes)))
    slope = sum(float((gradients[name] * step[name]).sum()) for name in start)
    assert (sides[0] - sides[1]) / (2 * size) == pytest.approx(slope, rel=1e-5)
    model.load_state_dict(gradients)
    assert [name for name, piece in model.pieces().items() if not bool(piece.any())] == []


def test_a_call_says_what_does_not_fit(model: LM):
    tokens = torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ValueError, match="packed"):
        model(tokens[None])
    with pytest.raises(ValueError, match="sequences"):
        model(tokens, state=model.empty_state(2))
    with pytest.raises(ValueError, match="without a token"):
        model(tokens, torch.tensor([0, 3, 3]))
    with pytest.raises(ValueError, match="cu_seqlens must rise"):
        model(tokens, torch.tensor([0, 2]))
    with pytest.raises(ValueError, match=r"layers \[2\], which have no router"):
        model(tokens, routes={2: tokens[:, None]})


def forced(config: ModelConfig, dtype: torch.dtype) -> tuple[LM, torch.Tensor, dict]:
    model, (tokens,) = new_model(config).to(dtype), sequences(70)
    routing = run(model, [tokens]).routing
    return model, tokens, {layer: routes.memories for layer, routes in routing.items()}


@pytest.mark.parametrize("case", CASES)
def test_split_is_whole_in_bfloat16(case: str):
    model, tokens, own = forced(CASES[case], torch.bfloat16)
    whole = run(model, [tokens], routes=own)
    first = run(model, [tokens[:30]], routes={k: v[:30] for k, v in own.items()})
    second = run(model, [tokens[30:]], first.state, routes={k: v[30:] for k, v in own.items()})
    assert error(torch.cat([first.logits, second.logits]), whole.logits) < BFLOAT16


@pytest.mark.parametrize("case", CASES)
def test_float32_is_close_to_float64(case: str):
    model, tokens, own = forced(CASES[case], torch.float32)
    got, want = run(model, [tokens]), run(model.double(), [tokens], routes=own)
    types = {tensor.dtype for layer in want.state.layers for tensor in layer.values()}
    assert types <= {torch.float64, torch.int64}
    assert error(got.logits, want.logits) < FLOAT32
