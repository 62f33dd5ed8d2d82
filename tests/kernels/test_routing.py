"""Routing: by hand, against naive loops, and the gradients of the way there and back."""

from itertools import accumulate

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mom_eval.kernels import combine, dispatch, grouped_linear, route, take


def test_route_by_hand():
    logits = torch.tensor([[1.0, 3.0, 2.0], [0.0, 0.0, 0.0]]).log()
    logits[1] = torch.tensor([1.0, 1.0, 2.0]).log()
    routes = route(logits, top_k=2)
    # The second token ties memories 0 and 1: the lower index wins.
    assert routes.memories.tolist() == [[1, 2], [2, 0]]
    torch.testing.assert_close(routes.weights, torch.tensor([[3 / 5, 2 / 5], [2 / 3, 1 / 3]]))
    torch.testing.assert_close(routes.probabilities[1], torch.tensor([1 / 4, 1 / 4, 1 / 2]))
    assert routes.logits is logits


def test_ties_go_to_the_lower_index():
    assert route(torch.zeros(3, 40), top_k=40).memories.tolist() == 3 * [list(range(40))]


def test_one_memory_has_weight_one():
    routes = route(torch.randn(9, 1), top_k=1)
    assert routes.weights.eq(1).all()
    assert route(torch.randn(9, 4), top_k=1).weights.eq(1).all()


def test_weights_are_probabilities_over_their_sum_and_so_are_gradients():
    logits = torch.randn(20, 5, dtype=torch.float64, requires_grad=True)
    routes, by = route(logits, top_k=3), torch.randn(20, 3)
    chosen = logits.softmax(-1).gather(-1, routes.memories)
    expected = chosen / chosen.sum(-1, keepdim=True)
    torch.testing.assert_close(routes.weights, expected)
    grads = [torch.autograd.grad((x * by).sum(), logits)[0] for x in (routes.weights, expected)]
    torch.testing.assert_close(*grads)


def test_logits_are_weighed_in_float32():
    logits = torch.randn(50, 6).bfloat16()
    routes, same = route(logits, top_k=2), route(logits.float(), top_k=2)
    assert routes.weights.dtype == routes.probabilities.dtype == torch.float32
    assert torch.equal(routes.weights, same.weights)
    assert torch.equal(routes.memories, same.memories)


def test_forced_memories():
    logits = torch.tensor([[0.0, 300.0, 0.0]])
    routes = route(logits, top_k=2, memories=torch.tensor([[2, 0]]))
    assert routes.memories.tolist() == [[2, 0]]
    # Both probabilities are 0 in float32, and yet they are shares of their sum.
    assert routes.probabilities.tolist() == [[0, 1, 0]]
    assert routes.weights.tolist() == [[0.5, 0.5]]
    own = route(torch.randn(30, 4), top_k=2)
    again = route(own.logits, top_k=2, memories=own.memories)
    assert torch.equal(again.weights, own.weights)


@pytest.mark.parametrize(
    ("top_k", "memories", "message"),
    [
        (0, None, "top_k must be 1 to M = 4, but it is 0"),
        (5, None, "top_k must be 1 to M = 4, but it is 5"),
        (2, [[0, 1]], r"axis L of memories \[L, k\] must be 2, but it is 1"),
        (2, [[0], [1]], r"axis k of memories \[L, k\] must be 2, but it is 1"),
        (2, [[0, 4], [0, 1]], "memories must be 0 to 3"),
        (2, [[0, -1], [0, 1]], "memories must be 0 to 3"),
        (2, [[0, 1], [2, 2]], "memories must not name a memory twice"),
    ],
)
def test_route_refuses(top_k, memories, message):
    forced = None if memories is None else torch.tensor(memories)
    with pytest.raises(ValueError, match=message):
        route(torch.zeros(2, 4), top_k, forced)


def test_dispatch_by_hand():
    """Sequences of 2 and 1 tokens; memory 0 gets 2 and 1 of them, memory 1 none, memory 2 all."""
    memories = torch.tensor([[0, 2], [2, 0], [2, 0]])
    rows = dispatch(memories, 3, torch.tensor([0, 2, 3]))
    assert rows.row.tolist() == [[0, 3], [4, 1], [5, 2]]
    assert rows.token.tolist() == [0, 1, 2, 0, 1, 2]
    assert rows.cu_seqlens.tolist() == [0, 2, 3, 3, 3, 5, 6]
    assert rows.ends.tolist() == [3, 3, 6]
    assert rows.ends.dtype == torch.int32


@st.composite
def batches(draw):
    """Lengths of the sequences, the number of memories, and the choices of each token."""
    lengths = draw(st.lists(st.integers(0, 9), min_size=1, max_size=5))
    count = draw(st.integers(1, 6))
    top_k = draw(st.integers(1, count))
    seed = draw(st.integers(0, 99))
    scores = torch.rand(sum(lengths), count, generator=torch.Generator().manual_seed(seed))
    # Uneven, so that some memories stay empty.
    return lengths, count, (scores - 0.3 * torch.arange(count)).argsort(-1)[:, :top_k]


@settings(max_examples=60, deadline=None)
@given(batches())
def test_dispatch_and_combine_are_naive_loops(batch):
    lengths, count, memories = batch
    segments = torch.tensor([0, *accumulate(lengths)])
    length, top_k = memories.shape
    x, y = torch.randn(length, 2, 3), torch.randn(length * top_k, 2, 3)
    weights = torch.rand(length, top_k)

    token, ends, where, combined = [], [0], {}, torch.zeros_like(x)
    for m in range(count):
        for n in range(len(lengths)):
            for t in range(segments[n], segments[n + 1]):
                for j in range(top_k):
                    if memories[t, j] == m:
                        where[t, j] = len(token)
                        token.append(t)
            ends.append(len(token))
    for (t, j), row in where.items():
        combined[t] += weights[t, j] * y[row]

    rows = dispatch(memories, count, segments)
    assert rows.token.tolist() == token
    assert rows.cu_seqlens.tolist() == ends
    assert rows.ends.tolist() == ends[len(lengths) :: len(lengths)]
    assert {(t, j): int(rows.row[t, j]) for t in range(length) for j in range(top_k)} == where
    assert torch.equal(take(x, rows), x[token])
    torch.testing.assert_close(combine(y, weights, rows), combined)


def test_numbering_of_memories_does_not_matter():
    logits, x = torch.randn(30, 5), torch.randn(30, 4)
    order = torch.randperm(5)
    reads = []
    for ordered, number in ((logits, torch.arange(5)), (logits[:, order], order)):
        routes = route(ordered, top_k=2)
        rows = dispatch(routes.memories, 5)
        # What a memory does depends on its name, not on its place.
        sizes = rows.ends.diff(prepend=rows.ends.new_zeros(1)).long()
        y = take(x, rows) * (1 + number.repeat_interleave(sizes))[:, None]
        reads.append(combine(y, routes.weights, rows))
    torch.testing.assert_close(*reads)


def test_one_memory_is_the_stream_itself():
    rows = dispatch(torch.zeros(7, 1, dtype=torch.int64), 1, torch.tensor([0, 0, 7]))
    assert rows.token.tolist() == list(range(7))
    assert rows.cu_seqlens.tolist() == [0, 0, 7]
    x = torch.randn(7, 3)
    assert torch.equal(combine(take(x, rows), torch.ones(7, 1), rows), x)


def test_gradients_of_the_way_there_and_back():
    rows = dispatch(torch.tensor([[0, 2], [2, 1], [2, 0]]), 4)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    y = torch.randn(6, 2, 2, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: take(x, rows), (x,))
    assert torch.autograd.gradcheck(lambda y, w: combine(y, w, rows), (y, weights))
    more = dispatch(torch.tensor([[0, 2], [2, 1], [2, 0]]), 4, shared=True)
    own = torch.randn(9, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: take(x, more), (x,))
    assert torch.autograd.gradcheck(lambda y, w: combine(y, w, more), (own, weights))


def test_a_shared_memory_is_read_with_weight_one():
    memories, y, weights = torch.tensor([[0], [2], [2]]), torch.randn(6, 4), torch.rand(3, 1)
    rows, more = (dispatch(memories, 3, shared=shared) for shared in (False, True))
    expected = combine(y[3:], weights, rows) + y[:3]
    torch.testing.assert_close(combine(y, weights, more), expected)


def test_combine_rounds_once():
    routes = route(torch.randn(40, 4), top_k=3)
    rows, y = dispatch(routes.memories, 4), torch.randn(120, 6).bfloat16().requires_grad_()
    found = combine(y, routes.weights, rows)
    assert torch.equal(found, combine(y.float(), routes.weights, rows).bfloat16())
    found.sum().backward()
    assert y.grad is not None
    assert y.grad.dtype == torch.bfloat16


def test_grouped_linear_is_a_product_a_group():
    x, weight = torch.randn(9, 4), torch.randn(4, 3, 4)
    ends = torch.tensor([2, 2, 8, 9], dtype=torch.int32)
    found = grouped_linear(x, weight, ends)
    for m, (start, end) in enumerate([(0, 2), (2, 2), (2, 8), (8, 9)]):
        torch.testing.assert_close(found[start:end], F.linear(x[start:end], weight[m]))
    leaves = [t.double().requires_grad_() for t in (x, weight)]
    assert torch.autograd.gradcheck(lambda *a: grouped_linear(*a, ends), leaves)


def test_wrong_shapes_name_their_axis():
    rows = dispatch(torch.zeros(3, 1, dtype=torch.int64), 2)
    with pytest.raises(ValueError, match=r"memories must be \[L, k\], but has shape \[3\]"):
        dispatch(torch.zeros(3, dtype=torch.int64), 2)
    with pytest.raises(ValueError, match="cu_seqlens must rise from 0 to L = 3"):
        dispatch(torch.zeros(3, 1, dtype=torch.int64), 2, torch.tensor([0, 2]))
    with pytest.raises(ValueError, match=r"axis k of weights \[L, k\] must be 1, but it is 2"):
        combine(torch.zeros(3, 4), torch.zeros(3, 2), rows)
    with pytest.raises(ValueError, match=r"axis R of y \[R, ...\] must be 3, but it is 4"):
        combine(torch.zeros(4, 4), torch.zeros(3, 1), rows)
    with pytest.raises(ValueError, match=r"onto must be \[3, 4\], but it is \[3, 5\]"):
        combine(torch.zeros(3, 4), torch.zeros(3, 1), None, torch.zeros(3, 5))
    with pytest.raises(ValueError, match="onto is given beside rows"):
        combine(torch.zeros(3, 4), torch.zeros(3, 1), rows, torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"axis L of x \[L, ...\] must be 3, but it is 4"):
        take(torch.zeros(4, 4), rows)
    with pytest.raises(ValueError, match=r"axis D of weight \[M, O, D\] must be 4, but it is 5"):
        grouped_linear(torch.zeros(3, 4), torch.zeros(2, 6, 5), rows.ends)
    with pytest.raises(ValueError, match=r"axis M of ends \[M\] must be 3, but it is 2"):
        grouped_linear(torch.zeros(3, 4), torch.zeros(3, 6, 4), rows.ends)
