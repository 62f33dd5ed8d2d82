"""Intervals: exact cases, known formulas, and coverage by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mom_eval.results.statistics import (
    Interval,
    average,
    clustered_wilson,
    lift,
    mean,
    paired,
    proportion,
    ratio,
    share_of,
)

SIMULATIONS = 4000
SHARES = (0.01, 0.03, 0.1, 0.5, 0.97)
MINIMUM = 0.92


def sizes_of(documents: int, unequal: bool) -> np.ndarray:
    if not unequal:
        return np.full(documents, 9)
    return np.random.default_rng(5).integers(1, 18, documents)


def simulate(rng, share: float, correlation: float, sizes: np.ndarray) -> np.ndarray:
    """Right answers by document [SIMULATIONS, G], beta-binomial."""
    shape = (SIMULATIONS, len(sizes))
    if correlation == 0:
        return rng.binomial(sizes, share, shape).astype(float)
    spread = (1 - correlation) / correlation
    return rng.binomial(sizes, rng.beta(share * spread, (1 - share) * spread, shape)).astype(float)


@pytest.mark.parametrize("unequal", [False, True], ids=["equal", "unequal"])
@pytest.mark.parametrize("correlation", [0.0, 0.3])
@pytest.mark.parametrize("documents", [11, 20, 120])
def test_proportion_covers(documents, correlation, unequal):
    sizes = sizes_of(documents, unequal)
    rng = np.random.default_rng(7)
    for share in SHARES:
        found = clustered_wilson(simulate(rng, share, correlation, sizes), sizes.astype(float))
        covered = np.mean((found.low <= share) & (share <= found.high))
        assert covered >= MINIMUM, (share, covered)
        # No wider than what a cluster is worth at worst: one question, with the right quantile.
        t = stats.t.ppf(0.975, documents - 1)
        widest = 2 * t * math.sqrt(0.25 / documents + t**2 / documents**2 / 4)
        assert np.mean(found.high - found.low) < widest / (1 + t**2 / documents)


def test_the_interval_is_not_absurdly_wide():
    """Against the half-width that somebody who knew the variance would use."""
    rng, sizes = np.random.default_rng(3), sizes_of(120, unequal=False)
    for correlation in (0.0, 0.3):
        found = clustered_wilson(simulate(rng, 0.5, correlation, sizes), sizes.astype(float))
        known = 1.98 * math.sqrt(0.25 / sizes.sum() * (1 + 8 * correlation))
        assert np.mean(found.high - found.low) / 2 == pytest.approx(known, rel=0.05)


def test_average_covers():
    """Six tasks of about 100 questions, also where nearly everything is wrong."""
    rng = np.random.default_rng(11)
    for shares in [(0.01,) * 6, (0.03,) * 6, (0.5,) * 6, (0.01, 0.1, 0.3, 0.5, 0.9, 0.97)]:
        for correlation in (0.0, 0.3):
            bounds = []
            for share, documents in zip(shares, (11, 20, 40, 100, 19, 30), strict=True):
                sizes = np.full(documents, round(100 / documents))
                totals = simulate(rng, share, correlation, sizes)[:1000]
                bounds.append(clustered_wilson(totals, sizes.astype(float)))
            covered = 0
            for place in range(1000):
                parts = [
                    Interval(b.value[place], b.low[place], b.high[place], 100, 11, 0.0)
                    for b in bounds
                ]
                found = average(parts)
                covered += found.low <= np.mean(shares) <= found.high
            assert covered / 1000 >= MINIMUM, (shares, correlation, covered)


def test_paired_covers():
    """Gains and losses, rare and common, where the t interval of the differences fails."""
    rng = np.random.default_rng(13)
    for documents, size in ((11, 1), (11, 9), (20, 5), (100, 1)):
        names = np.repeat(np.arange(documents), size).astype(str)
        for gain, loss in ((0.03, 0.001), (0.05, 0.05), (0.3, 0.1)):
            for correlation in (0.0, 0.3):
                covered = 0
                for _ in range(400):
                    kinds = rng.multinomial(1, (gain, loss, 1 - gain - loss), (documents, size))
                    if correlation:
                        # Whole documents answer alike: their first question decides.
                        alike = rng.random((documents, size)) < math.sqrt(correlation)
                        kinds = np.where(alike[..., None], kinds[:, :1], kinds)
                    a, b = kinds[..., 0].ravel(), kinds[..., 1].ravel()
                    found = paired(a, b, list(names))
                    covered += found.low <= gain - loss <= found.high
                assert covered / 400 >= MINIMUM, (documents, size, gain, loss, correlation)


def test_proportion_with_many_documents_of_one_question_is_wilson():
    values = np.array([1] * 480 + [0] * 1520)
    found = proportion(values, [str(place) for place in range(2000)])
    known = stats.binomtest(480, 2000).proportion_ci(method="wilson")
    assert found.low == pytest.approx(known.low, abs=2e-4)
    assert found.high == pytest.approx(known.high, abs=2e-4)
    assert found.variance == pytest.approx(0.24 * 0.76 / 1999)


def test_proportion_by_hand():
    """Documents a (1, 1, 0), b (0), c (1, 0): mean 1/2, residual sums 1/2, -1/2, 0."""
    found = proportion([1, 1, 0, 0, 1, 0], ["a", "a", "a", "b", "c", "c"])
    variance = 3 / 2 * (0.25 + 0.25) / 36
    observed = variance / (0.25 / 6)  # below 1: counts as 1
    assert observed < 1
    prior = 1 + 0.3 * ((9 + 1 + 4) / 6 - 1)
    size = 6 / ((3 * 1 + 4 * prior) / (3 + 4))
    t = stats.t.ppf(0.975, 2)
    half = t * math.sqrt(0.25 / size + t**2 / (4 * size**2)) / (1 + t**2 / size)
    assert found.variance == pytest.approx(variance)
    assert (found.low, found.high) == (pytest.approx(0.5 - half), pytest.approx(0.5 + half))
    assert (found.questions, found.documents) == (6, 3)


@pytest.mark.parametrize("value", [0, 1])
def test_all_wrong_or_all_right_still_has_a_width(value):
    found = proportion([value] * 99, [str(place // 9) for place in range(99)])
    width = found.high - found.low
    assert (found.value, found.variance) == (value, 0)
    assert (found.low, found.high)[value] == value
    assert 0.05 < width < 0.3
    alone = proportion([value] * 99, [str(place) for place in range(99)])
    assert alone.high - alone.low < width


def test_clusters_widen_and_many_questions_narrow():
    values = [1, 1, 1, 0, 0, 0] * 20
    apart = proportion(values, [str(place) for place in range(120)])
    alike = proportion(values, [str(place // 3) for place in range(120)])
    assert alike.high - alike.low > 1.5 * (apart.high - apart.low)


def test_one_document_says_nothing_about_others():
    assert proportion([1, 0, 1], ["a"] * 3)[:3] == (2 / 3, 0.0, 1.0)
    assert paired([1, 0, 1], [0, 0, 1], ["a"] * 3)[:3] == (1 / 3, -1.0, 1.0)
    assert mean([1.0, 2.0], ["a", "a"]) == Interval(1.5, None, None, 2, 1, None)


def test_mean_of_single_questions_is_the_t_interval():
    values = np.random.default_rng(0).normal(3, 2, 30)
    found = mean(values, [str(place) for place in range(30)])
    low, high = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_mean_of_equal_clusters_is_the_t_interval_of_their_means():
    values = np.random.default_rng(1).normal(0, 1, (8, 5))
    found = mean(values.ravel(), [str(place // 5) for place in range(40)])
    means = values.mean(axis=1)
    low, high = stats.t.interval(0.95, 7, means.mean(), stats.sem(means))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_mean_takes_documents_in_any_order():
    values, names = [1.0, 5.0, 2.0, 7.0, 0.5], ["b", "a", "b", "c", "a"]
    order = [3, 0, 4, 2, 1]
    shuffled = mean([values[place] for place in order], [names[place] for place in order])
    assert shuffled == pytest.approx(mean(values, names))


def test_paired_is_near_the_t_interval_where_differences_are_common():
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 2, 3000), rng.integers(0, 2, 3000)
    names = [str(place // 3) for place in range(3000)]
    found, known = paired(a, b, names), mean(a - b, names)
    assert found.value == pytest.approx(known.value)
    assert found.variance == pytest.approx(known.variance)
    assert found.low == pytest.approx(known.low, abs=2e-3)
    assert found.high == pytest.approx(known.high, abs=2e-3)


def test_paired_of_equal_answers_is_not_certain():
    found = paired([0] * 50, [0] * 50, [str(place) for place in range(50)])
    one_sided = proportion([0] * 50, [str(place) for place in range(50)])
    assert (found.low, found.high) == (-one_sided.high, one_sided.high)


def test_paired_the_other_way_round_is_the_mirror_image():
    rng = np.random.default_rng(4)
    a, b = rng.random(60), rng.random(60) < 0.3
    names = [str(place // 4) for place in range(60)]
    one, other = paired(a, b, names), paired(b, a, names)
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))


def test_average_by_hand():
    parts = [Interval(0.2, 0.1, 0.5, 100, 10, 0.04), Interval(0.6, 0.5, 0.7, 50, 5, 0.01)]
    found = average(parts)
    half = math.hypot(0.2, 0.1) / 2
    expected = (0.4, max(0.4 - half, 0.3), min(0.4 + half, 0.6), 150, 15, 0.0125)
    assert found == pytest.approx(expected)


def test_average_of_one_is_that_one_and_of_unknown_is_unknown():
    known, unknown = Interval(0.2, 0.1, 0.5, 9, 3, 0.1), Interval(0.4, None, None, 9, 1, None)
    assert average([known]) is known
    assert average([known, unknown]) == (pytest.approx(0.3), None, None, 18, 4, None)


def test_average_of_zeros_keeps_a_width_and_stays_a_share():
    zero = proportion([0] * 100, [str(place // 9) for place in range(100)])
    found = average([zero] * 5)
    assert found.low == 0
    assert 0 < found.high < zero.high


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.sampled_from("abcd")),
        min_size=1,
        max_size=40,
    )
)
def test_intervals_hold_their_value_and_stay_in_range(rows):
    a, b, names = (list(column) for column in zip(*rows, strict=True))
    share, difference = proportion(a, names), paired(a, b, names)
    assert 0 <= share.low <= share.value + 1e-12
    assert share.value - 1e-12 <= share.high <= 1
    assert -1 - 1e-12 <= difference.low <= difference.value + 1e-12
    assert difference.value - 1e-12 <= difference.high <= 1 + 1e-12


@pytest.mark.parametrize(
    ("values", "documents", "words"),
    [
        ([], [], "at least one"),
        ([0.5], ["a", "b"], "1 values but 2"),
        ([1.5], ["a"], r"\[0, 1\]"),
        ([-0.1], ["a"], r"\[0, 1\]"),
        ([math.nan], ["a"], "finite"),
    ],
)
def test_wrong_input_is_refused(values, documents, words):
    with pytest.raises(ValueError, match=words):
        proportion(values, documents)


def test_unlike_lengths_cannot_be_paired():
    with pytest.raises(ValueError, match="cannot be paired"):
        paired([1, 0], [1], ["a", "a"])
    with pytest.raises(ValueError, match="at least one interval"):
        average([])


def test_ratio_by_hand():
    """Three documents: 2 / 4, 6 / 8 and 4 / 4, so 12 / 16; residuals -1, 0, 1."""
    found = ratio([2, 1, 5, 4], [4, 3, 5, 4], ["a", "b", "b", "c"])
    assert found.value == 0.75
    assert found.variance == pytest.approx(3 / 2 * 2 / 16**2)
    half = stats.t.ppf(0.975, 2) * math.sqrt(3) / 16
    assert (found.low, found.high) == pytest.approx((0.75 - half, 0.75 + half))
    assert (found.questions, found.documents) == (4, 3)
    assert ratio([2, 1], [4, 3], ["a", "a"]) == Interval(3 / 7, None, None, 2, 1, None)
    # With bottoms of 1 it is the mean.
    values, documents = [0.1, 2.5, 0.3, -1.0], ["a", "a", "b", "c"]
    assert ratio(values, [1] * 4, documents) == pytest.approx(mean(values, documents))


def counts(rng, documents: int) -> tuple[np.ndarray, ...]:
    """By document: chosen of a kind, of that kind, chosen of all, all."""
    kind, rest = rng.poisson(20, documents) + 1, rng.poisson(300, documents) + 1
    inside = rng.binomial(kind, rng.beta(4, 6, documents))
    chosen = inside + rng.binomial(rest, rng.beta(20, 60, documents))
    return inside, kind, chosen, kind + rest


def resampled(rng, arrays, value, times: int = 4000) -> np.ndarray:
    """`value` of sums over documents drawn with replacement."""
    size = len(arrays[0])
    draws = rng.integers(0, size, (times, size))
    return value(*(np.asarray(array)[draws].sum(1) for array in arrays))


def test_ratio_and_lift_are_near_the_bootstrap():
    rng = np.random.default_rng(13)
    inside, kind, chosen, whole = counts(rng, 60)
    drawn = resampled(rng, (chosen, whole), np.divide)
    found = ratio(chosen, whole, [str(place) for place in range(60)])
    assert math.sqrt(found.variance) == pytest.approx(drawn.std(), rel=0.08)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), rel=0.02)
    parts = inside, kind, chosen, whole
    drawn = resampled(rng, parts, lambda a, b, c, d: a / b / (c / d))
    found = lift(*parts)
    assert math.sqrt(found.variance) == pytest.approx(drawn.std(), rel=0.08)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), rel=0.03)


def test_lift_covers():
    rng = np.random.default_rng(17)
    truth = 0.4 / ((21 * 0.4 + 301 * 0.25) / 322)
    found = [lift(*counts(rng, 25)) for _ in range(600)]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= MINIMUM


def test_lift_by_hand():
    found = lift([2, 1], [4, 2], [3, 3], [12, 12])
    assert found.value == pytest.approx((3 / 6) / (6 / 24))
    assert found.questions == 6
    # Influences 2/3 - 2/3 - 1/2 + 1/2 and 1/3 - 1/3 - 1/2 + 1/2: nothing varies.
    assert (found.low, found.high) == pytest.approx((2, 2))
    # Influences 1 - 1/2 - 1/2 + 1/2 and 0 - 1/2 - 1/2 + 1/2: a variance of 2 (1/4 + 1/4).
    found = lift([2, 0], [2, 2], [3, 3], [12, 12])
    assert found.low == pytest.approx(2 * math.exp(-stats.t.ppf(0.975, 1)))
    assert found.variance == pytest.approx(2**2)
    assert lift([0, 0], [1, 1], [3, 3], [9, 9]) == Interval(0.0, None, None, 2, 2, None)
    assert lift([1], [2], [3], [12]) == Interval(2.0, None, None, 2, 1, None)


def test_share_is_the_proportion_of_sums():
    values, documents = [1, 0, 1, 1, 0], ["a", "a", "b", "b", "c"]
    sums = share_of(np.array([1.0, 2.0, 0.0]), np.array([2.0, 2.0, 1.0]))
    assert sums == proportion(values, documents)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ratio([1], [0], ["a"]), "bottoms"),
        (lambda: ratio([1, 1], [2, -1], ["a", "b"]), "bottoms"),
        (lambda: ratio([1, 2], [1], ["a", "b"]), "1 values but 2 document ids"),
        (lambda: lift([1], [1], [1], [1, 2]), "same documents"),
        (lambda: lift([0], [0], [1], [2]), "something of the kind"),
        (lambda: lift([0], [1], [0], [2]), "something that is chosen"),
        (lambda: share_of(np.zeros(2), np.zeros(2)), "a share of"),
    ],
)
def test_ratios_of_nothing_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
