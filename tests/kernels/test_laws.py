"""The laws of a recurrence, for every gate kind with and without the delta rule, and for slots.

In float64 the recurrent form, four lines a token, is the truth.
"""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXACT = 1e-5
IMPLEMENTATIONS = ["recurrent", "chunked"]
LENGTHS = (3, 0, 70, 1, 130)


@pytest.mark.parametrize("decay", ["mild", "wild"])
@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_a_split_sequence_gives_the_same(make_case, relative, impl, decay):
    whole = make_case(LENGTHS, decay)
    o, states = whole.run(impl)
    for first in ((1, 0, 64, 0, 65), (3, 0, 1, 1, 129), (0, 0, 0, 0, 0)):
        places = list(zip(whole.places(), first, strict=True))
        rest = tuple(n - m for n, m in zip(whole.lengths, first, strict=True))
        head, tail = (torch.cat([x[part(m)] for x, m in places]) for part in (_to, _from))
        o_head, state = whole.tokens(head, whole.state, first).run(impl)
        o_tail, state = whole.tokens(tail, state, rest).run(impl)
        if impl == "recurrent":
            assert torch.equal(o_head, o[head])
            assert torch.equal(o_tail, o[tail])
            assert torch.equal(state, states)
        else:
            assert relative(torch.cat([o_head, o_tail]), o[torch.cat([head, tail])]) < EXACT
            assert relative(state, states) < EXACT


def _to(end: int) -> slice:
    return slice(end)


def _from(start: int) -> slice:
    return slice(start, None)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_batch_mates_change_nothing(make_case, relative, impl):
    together = make_case(LENGTHS, "wild")
    o, states = together.run(impl)
    for chosen in ([4], [2], [1], [3, 4, 0, 1, 2]):
        alone = together.segments(chosen)
        tokens = torch.cat([together.places()[n] for n in chosen])
        o_alone, state = alone.run(impl)
        if impl == "recurrent":
            assert torch.equal(o_alone, o[tokens])
            assert torch.equal(state, states[chosen])
        else:
            assert relative(o_alone, o[tokens]) < EXACT
            assert relative(state, states[chosen]) < EXACT


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_the_past_does_not_see_the_future(make_case, relative, impl):
    case, other = make_case((130,)), make_case((131,))
    o, _ = case.run(impl)
    for changed in (1, 63, 64, 65, 129):
        stream = {
            name: torch.cat([x[:changed], other.stream[name][changed:-1]])
            for name, x in case.stream.items()
        }
        o_changed, _ = type(case)(case.op, stream, case.state, case.lengths).run(impl)
        assert not torch.equal(o_changed[changed], o[changed])
        if impl == "recurrent":
            assert torch.equal(o_changed[:changed], o[:changed])
        else:
            assert relative(o_changed[:changed], o[:changed]) < EXACT


@pytest.mark.parametrize(
    ("lengths", "decay", "sizes"),
    [
        ((1000,), "mild", (1, 2, 6, 5)),
        ((63, 0, 1, 65), "wild", (1, 2, 60, 100)),
        ((1, 65, 1, 0, 63), "full", (2, 2, 12, 7)),
        ((1, 1, 1), "mild", (1, 3, 5, 1)),
        ((0, 129), "wild", (2, 4, 1, 3)),
    ],
    ids=lambda x: x if isinstance(x, str) else "-".join(map(str, x)),
)
def test_chunked_is_recurrent(make_case, relative, lengths, decay, sizes):
    case = make_case(lengths, decay, sizes)
    truth = case.to(torch.float64).gradients("recurrent")
    for impl in IMPLEMENTATIONS:
        found = case.gradients(impl)
        assert found.keys() == truth.keys()
        assert {n: e for n in truth if not (e := relative(found[n], truth[n])) < EXACT} == {}


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(lengths=st.lists(st.integers(0, 140), min_size=1, max_size=6))
def test_chunked_is_recurrent_at_any_lengths(make_case, relative, lengths):
    case = make_case(tuple(lengths), "wild", (1, 1, 3, 2))
    for found, truth in zip(
        case.run("chunked"), case.to(torch.float64).run("recurrent"), strict=True
    ):
        assert found.shape == truth.shape
        assert relative(found, truth) < EXACT


def test_gates_are_summed_finely(make_case, relative):
    """After 32 tokens of -50 the sum is -1600, and float32 keeps 1e-4 of what follows."""
    case = make_case((64,), "full")
    for g in (x for name, x in case.stream.items() if name == "g"):
        g[32:] = -0.3 * torch.rand(g[32:].shape, generator=torch.Generator().manual_seed(1))
    truth, found = case.to(torch.float64).gradients("recurrent"), case.gradients("chunked")
    assert {n: e for n in truth if not (e := relative(found[n], truth[n])) < EXACT} == {}


def test_gradients_are_those_of_differences(make_case):
    case = make_case((2, 0, 3), sizes=(1, 2, 2, 2)).to(torch.float64)
    names = list(case.stream)

    def op(state, *tensors):
        stream = dict(zip(names, tensors, strict=True))
        return type(case)(case.op, stream, state, case.lengths).run("chunked")

    leaves = [x.requires_grad_() for x in (case.state, *case.stream.values())]
    assert torch.autograd.gradcheck(op, leaves, fast_mode=True)


def test_memory_is_linear_in_length(make_case):
    def saved(length: int) -> int:
        case, total = make_case((length,), sizes=(1, 1, 8, 8)), 0

        def pack(x):
            nonlocal total
            total += x.numel() * x.element_size()
            return x

        for x in case.stream.values():
            x.requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            case.run("chunked")
        return total

    assert 1.8 < saved(8192) / saved(4096) < 2.2


def test_no_tokens_leave_the_state(make_case):
    case = make_case((0, 0))
    for impl in IMPLEMENTATIONS:
        o, states = case.run(impl)
        assert len(o) == 0
        assert torch.equal(states, case.state)
        assert states.data_ptr() != case.state.data_ptr()


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_nothing_given_is_written_to(make_case, impl):
    case = make_case((2, 0, 70), "wild")
    before = [x.clone() for x in (case.state, *case.stream.values())]
    _, states = case.run(impl)
    states.zero_()
    for x, was in zip((case.state, *case.stream.values()), before, strict=True):
        assert torch.equal(x, was)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_bfloat16_is_rounded_once(make_case, impl):
    case = make_case((70,))
    # A gate may come in float32 beside bfloat16 queries.
    stream = {n: x if n == "g" else x.bfloat16() for n, x in case.stream.items()}
    low = type(case)(case.op, stream, case.state, case.lengths)
    same = {n: x.float() for n, x in stream.items()}
    o, state = type(case)(case.op, same, case.state, case.lengths).run(impl)
    o_low, state_low = low.run(impl)
    assert o_low.dtype == torch.bfloat16
    assert torch.equal(o_low, o.bfloat16())
    assert torch.equal(state_low, state)
