"""The test of a paired difference, its adjustment and its verdict, against other people's."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from mom_eval.results.compare import Difference, judged
from mom_eval.results.significance import from_interval, holm, sign_flip, verdict
from mom_eval.results.statistics import Interval, average, paired

TABLES = ((0, 0), (1, 0), (0, 5), (6, 0), (3, 3), (10, 3), (2, 14), (61, 40), (300, 200))


@pytest.mark.parametrize(("gained", "lost"), TABLES, ids=lambda count: str(count))
def test_one_question_a_document_is_mcnemars_exact_test(gained, lost):
    a = [1] * gained + [0] * lost + [1] * 7 + [0] * 5
    b = [0] * gained + [1] * lost + [1] * 7 + [0] * 5
    documents = [f"{n}" for n in range(len(a))]
    expected = mcnemar([[7, gained], [lost, 5]], exact=True).pvalue
    assert sign_flip(a, b, documents) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 9)), min_size=1))
@settings(deadline=None, max_examples=60)
def test_documents_of_several_questions_are_turned_round_as_wholes(answers):
    a, b, documents = zip(*answers, strict=True)
    names = sorted(set(documents))
    totals = np.array(
        [sum(x - y for x, y, d in answers if d == document) for document in names], dtype=float
    )
    signs = np.array(list(product((-1, 1), repeat=len(names))))
    expected = np.mean(np.abs(signs @ totals) >= abs(totals.sum()))
    assert sign_flip(a, b, list(map(str, documents))) == pytest.approx(expected, rel=1e-9)


def test_only_zeros_and_ones_are_tested():
    with pytest.raises(ValueError, match="0 or 1"):
        sign_flip([0.5], [1], ["d"])


def test_holm_is_that_of_statsmodels():
    rng = np.random.default_rng(0)
    drawn = [rng.random(size) ** 3 for size in (1, 2, 5, 12)]
    for p in (*drawn, [0.01, 0.04, 0.01, 0.5], [0.0, 1.0, 1.0], [0.02] * 7):
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)


def interval(value, low, high):
    return Interval(value, low, high, 100, 50, 0.01)


def test_the_p_value_of_an_interval_is_below_5_percent_where_0_is_outside():
    assert from_interval(interval(0.1, 0.0, 0.3)) == pytest.approx(0.05)
    assert from_interval(interval(-0.1, -0.4, 0.0)) == pytest.approx(0.05)
    assert from_interval(interval(0.1, 0.01, 0.3)) < 0.05 < from_interval(interval(0.1, -0.01, 0.2))
    assert from_interval(interval(0.0, -0.1, 0.1)) == 1.0
    assert from_interval(interval(0.1, None, None)) == 1.0


@pytest.mark.parametrize(
    ("value", "low", "high", "p", "said"),
    [
        (0.2, 0.1, 0.3, 0.049, "better"),
        (-0.2, -0.3, -0.1, 0.001, "worse"),
        (0.01, -0.02, 0.04, 0.5, "same"),
        (0.01, -0.02, 0.06, 0.5, "unknown"),
        (0.02, 0.001, 0.04, 0.2, "same"),
        (0.2, 0.1, 0.3, 0.06, "unknown"),
        (0.0, None, None, 1.0, "unknown"),
    ],
)
def test_verdicts(value, low, high, p, said):
    assert verdict(interval(value, low, high), p, 0.05) == said


def simulated(rng, comparisons, documents, sizes):
    """Answers [comparisons, questions] of two equal models; documents are easy or hard for both."""
    share = rng.beta(0.6, 1.4, size=(comparisons, documents, 1))
    mask = np.arange(sizes.max()) < sizes[:, None]
    a, b = ((rng.random((comparisons, documents, sizes.max())) < share)[:, mask] for _ in "ab")
    return a.astype(int), b.astype(int), np.repeat(np.arange(documents), sizes).astype(str)


def row(between, p):
    """A line of a table, as far as its verdict goes."""
    side = Interval(0.5, 0.4, 0.6, 100, 50, 0.01)
    words = {"task": "t", "test": "", "verdict": ""}
    return Difference(a=side, b=side, difference=between, bits=None, p=p, adjusted=1.0, **words)


def test_two_equal_models_are_called_different_in_5_percent_at_most():
    """1,000 comparisons over four tasks of clustered documents and their average."""
    rng, comparisons = np.random.default_rng(0), 1000
    shapes = [np.full(120, 1), np.full(15, 9), rng.integers(1, 8, 40), rng.integers(1, 3, 80)]
    drawn = [simulated(rng, comparisons, len(sizes), sizes) for sizes in shapes]
    called = 0
    for place in range(comparisons):
        tasks = [(a[place], b[place], documents) for a, b, documents in drawn]
        rows = [row(paired(*task), sign_flip(*task)) for task in tasks]
        whole = average([task.difference for task in rows])
        found = judged([*rows, row(whole, from_interval(whole))], 0.05)
        called += any(task.verdict in ("better", "worse") for task in found)
    # And not because nothing is ever called different.
    assert comparisons * 0.01 < called <= comparisons * 0.05
