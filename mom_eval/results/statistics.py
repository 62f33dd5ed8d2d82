"""Intervals for scores whose questions come in clusters: one document, several questions.

Questions on one document are not independent, so the usual standard error is too small. Every
interval here is a 95 % one, or of the confidence given, whose variance is taken over documents,
with the t quantile of (documents - 1) degrees of freedom: Miller, "Adding Error Bars to Evals",
arXiv 2411.00640.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

CONFIDENCE: Final = 0.95
PRIOR_CORRELATION: Final = 0.3
PRIOR_EVENTS: Final = 4.0

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A mean with its 95 % interval; `low` and `high` are None where no interval can be told."""

    value: float
    low: float | None
    high: float | None
    questions: int
    documents: int
    variance: float | None
    """Cluster-robust variance of `value`; None with a single document."""


class Bounds(NamedTuple):
    """Arrays of one shape: means, the two ends of their intervals, their variances."""

    value: Floats
    low: Floats
    high: Floats
    variance: Floats


class Clusters(NamedTuple):
    """Values summed by document: `totals` [G], `sizes` [G] questions of each document."""

    totals: Floats
    sizes: Floats


def proportion(values: ArrayLike, documents: Sequence[str]) -> Interval:
    """The mean of `values` in [0, 1] (contains, exact, F1), one a question, with its interval.

    Raises ValueError on no values, other lengths, or values outside [0, 1].
    """
    return share_of(*by_document(_scores(values), documents))


def share_of(totals: Floats, sizes: Floats) -> Interval:
    """The share of `totals` [G] in `sizes` [G], sums over the questions of each document.

    See `clustered_wilson` for the interval. A single document says nothing about others, so its
    interval is all of [0, 1]. Raises ValueError where there is nothing to have a share of.
    """
    if sizes.sum() <= 0:
        raise ValueError("a share needs something to be a share of")
    if len(sizes) == 1:
        return Interval(float(totals[0] / sizes[0]), 0.0, 1.0, int(sizes[0]), 1, None)
    return _interval(clustered_wilson(totals, sizes), Clusters(totals, sizes))


def mean(
    values: ArrayLike, documents: Sequence[str], *, confidence: float = CONFIDENCE
) -> Interval:
    """The mean of unbounded `values` (bits per byte) with its cluster-robust t interval.

    Of another `confidence` where many are read at once. With a single document `low`, `high` and
    `variance` are None. Raises ValueError on no values, other lengths, or a value that is not
    finite.
    """
    clusters = by_document(_finite(values), documents)
    if len(clusters.sizes) == 1:
        value = float(clusters.totals[0] / clusters.sizes[0])
        return Interval(value, None, None, int(clusters.sizes[0]), 1, None)
    value, variance = _mean_and_variance(clusters.totals, clusters.sizes)
    half = _quantile(len(clusters.sizes), confidence) * np.sqrt(variance)
    return _interval(Bounds(value, value - half, value + half, variance), clusters)


def ratio(tops: ArrayLike, bottoms: ArrayLike, documents: Sequence[str]) -> Interval:
    """The sum of `tops` over the sum of `bottoms` (bits over bytes), with its t interval.

    The variance is that of the linearised ratio over documents (Cochran, Sampling Techniques, 1977,
    section 6.3): a document's residual is its top less the ratio times its bottom. With a single
    document `low`, `high` and `variance` are None. Raises ValueError on no values, other lengths, a
    value that is not finite, or bottoms that are negative or sum to 0.
    """
    above = by_document(_finite(tops), documents)
    below = by_document(_finite(bottoms), documents)
    if below.totals.min() < 0 or below.totals.sum() <= 0:
        raise ValueError("the bottoms of a ratio must not be negative, nor all of them 0")
    count = int(above.sizes.sum())
    if len(above.sizes) == 1:
        return Interval(float(above.totals[0] / below.totals[0]), None, None, count, 1, None)
    value, variance = _mean_and_variance(above.totals, below.totals)
    half = _quantile(len(above.sizes)) * np.sqrt(variance)
    return _interval(Bounds(value, value - half, value + half, variance), above)


def lift(inside: ArrayLike, kind: ArrayLike, chosen: ArrayLike, whole: ArrayLike) -> Interval:
    """How much more often a kind of tokens is chosen than tokens are: a ratio of two shares.

    One value a document each: how many of the kind are chosen, how many there are of the kind, how
    many are chosen of all, how many there are. The value is (inside / kind) / (chosen / whole), 1
    where the choice knows nothing of the kind. The interval is that of its logarithm, linearised
    over documents; there is none where nothing of the kind is chosen, or with a single document.
    `questions` is the number of the kind. Raises ValueError on other lengths, and where there is
    nothing of the kind or nothing is chosen at all.
    """
    parts = [_finite(part) for part in (inside, kind, chosen, whole)]
    if len({len(part) for part in parts}) > 1:
        raise ValueError("the four counts of a lift must be of the same documents")
    a, b, c, d = (part.sum() for part in parts)
    if b <= 0 or c <= 0:
        raise ValueError("a lift needs something of the kind, and something that is chosen")
    value, count, documents = float(a / b / (c / d)), round(float(b)), len(parts[0])
    if a == 0 or documents == 1:
        return Interval(value, None, None, count, documents, None)
    spread = parts[0] / a - parts[1] / b - parts[2] / c + parts[3] / d
    variance = float(documents / (documents - 1) * np.sum(spread**2))
    half = _quantile(documents) * np.sqrt(variance)
    low, high = float(value * np.exp(-half)), float(value * np.exp(half))
    return Interval(value, low, high, count, documents, value**2 * variance)


def paired(
    a: ArrayLike, b: ArrayLike, documents: Sequence[str], *, confidence: float = CONFIDENCE
) -> Interval:
    """The mean of a - b, both in [0, 1] and on the same questions in the same order.

    The t interval of the differences breaks where they are rare: it covers a true difference of
    2 points 20 % of the time with 11 questions, and is empty when no answer differs. So the gains,
    max(a - b, 0), and the losses, max(b - a, 0), get a Wilson interval each, and these are joined
    with their correlation over documents (Newcombe, Statistics in Medicine 17, 1998, method 10;
    Zou and Donner, Statistics in Medicine 27, 2008). Differences of unbounded values:
    `mean(a - b, documents)`. Of another `confidence` where many are read at once. Raises ValueError
    as `proportion` does.
    """
    first, second = _scores(a), _scores(b)
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} scores cannot be paired with {len(second)}")
    gains = by_document(np.maximum(first - second, 0.0), documents)
    losses = by_document(np.maximum(second - first, 0.0), documents)
    value = float(np.mean(first - second))
    if len(gains.sizes) == 1:
        return Interval(value, -1.0, 1.0, len(first), 1, None)
    up = clustered_wilson(gains.totals, gains.sizes, confidence)
    down = clustered_wilson(losses.totals, losses.sizes, confidence)
    link = -2.0 * _correlation(gains, losses)
    below, above = up.value - up.low, down.high - down.value
    low = value - np.sqrt(below**2 + link * below * above + above**2)
    below, above = down.value - down.low, up.high - up.value
    high = value + np.sqrt(below**2 + link * below * above + above**2)
    _, variance = _mean_and_variance(gains.totals - losses.totals, gains.sizes)
    return _interval(Bounds(np.asarray(value), low, high, variance), gains)


def average(intervals: Sequence[Interval]) -> Interval:
    """The unweighted mean of independent means (tasks), with its interval.

    The variances of the parts are recovered from the widths of their intervals, so a task at 0 %,
    whose variance is 0, still adds what is not known about it: half-widths add in squares. The ends
    stay inside the means of the parts' ends, so shares stay inside [0, 1]. An end is None where one
    part has none. Raises ValueError on no intervals.
    """
    if not intervals:
        raise ValueError("an average needs at least one interval")
    if len(intervals) == 1:
        return intervals[0]
    count = len(intervals)
    value = sum(part.value for part in intervals) / count
    lows = [part.low for part in intervals if part.low is not None]
    highs = [part.high for part in intervals if part.high is not None]
    low = high = None
    if len(lows) == len(highs) == count:
        half = float(np.hypot.reduce(np.subtract(highs, lows) / 2)) / count
        low = max(value - half, sum(lows) / count)
        high = min(value + half, sum(highs) / count)
    variances = [part.variance for part in intervals if part.variance is not None]
    return Interval(
        value,
        low,
        high,
        sum(part.questions for part in intervals),
        sum(part.documents for part in intervals),
        sum(variances) / count**2 if len(variances) == count else None,
    )


def clustered_wilson(totals: Floats, sizes: Floats, confidence: float = CONFIDENCE) -> Bounds:
    """Wilson intervals on the effective sample size, from sums by document.

    `totals` [..., G] are the sums of the scores in [0, 1] of each of G >= 2 documents, `sizes` [G]
    the numbers of their questions. The effective size is n / deff, where the design effect deff is
    the cluster-robust variance over the binomial one, at least 1. What deff says is noise while
    right (or wrong) answers are few, and nothing when there are none, so it is averaged with the
    deff of an intra-document correlation of 0.3, which weighs as much as four such answers.
    """
    questions = sizes.sum()
    value, variance = _mean_and_variance(totals, sizes)
    binomial = value * (1 - value) / questions
    observed = np.divide(variance, binomial, out=np.ones_like(value), where=binomial > 0)
    prior = 1 + PRIOR_CORRELATION * (np.sum(sizes**2) / questions - 1)
    events = questions * np.minimum(value, 1 - value)
    effect = (events * np.maximum(observed, 1) + PRIOR_EVENTS * prior) / (events + PRIOR_EVENTS)
    size, t = questions / effect, _quantile(len(sizes), confidence)
    centre = value + t**2 / (2 * size)
    half = t * np.sqrt(value * (1 - value) / size + t**2 / (4 * size**2))
    scale = 1 + t**2 / size
    # Rounding may put an end at 1e-17 beyond a mean of 0 or 1.
    low = np.minimum(np.maximum((centre - half) / scale, 0.0), value)
    high = np.maximum(np.minimum((centre + half) / scale, 1.0), value)
    return Bounds(value, low, high, variance)


def _mean_and_variance(totals: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """The mean over all questions and its cluster-robust variance, G / (G - 1) corrected."""
    count, questions = len(sizes), sizes.sum()
    value = totals.sum(axis=-1) / questions
    residuals = totals - sizes * value[..., None]
    variance = count / (count - 1) * np.sum(residuals**2, axis=-1) / questions**2
    return value, variance


def _correlation(first: Clusters, second: Clusters) -> float:
    """Correlation of two means over documents, at most 0; 0 where one of them does not vary."""
    questions = first.sizes.sum()
    x = first.totals - first.sizes * first.totals.sum() / questions
    y = second.totals - second.sizes * second.totals.sum() / questions
    scale = np.sqrt(np.sum(x**2) * np.sum(y**2))
    return min(float(np.sum(x * y) / scale), 0.0) if scale > 0 else 0.0


def _quantile(documents: int, confidence: float = CONFIDENCE) -> float:
    return float(stdtrit(documents - 1, (1 + confidence) / 2))


def _interval(bounds: Bounds, clusters: Clusters) -> Interval:
    ends = (float(bounds.value), float(bounds.low), float(bounds.high))
    counts = int(clusters.sizes.sum()), len(clusters.sizes)
    return Interval(*ends, *counts, float(bounds.variance))


def by_document(values: Floats, documents: Sequence[str]) -> Clusters:
    """Sums of values [N] and counts of questions of each document, in the order of their ids."""
    if len(values) != len(documents):
        raise ValueError(f"{len(values)} values but {len(documents)} document ids")
    _, index = np.unique(np.asarray(documents), return_inverse=True)
    return Clusters(_totals(index, values), _totals(index, np.ones_like(values)))


def _totals(index: NDArray[np.intp], values: Floats) -> Floats:
    totals = np.zeros(index.max() + 1)
    np.add.at(totals, index, values)
    return totals


def _finite(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or array.size == 0:
        raise ValueError("expected a list of at least one value")
    if not np.isfinite(array).all():
        raise ValueError("every value must be a finite number")
    return array


def _scores(values: ArrayLike) -> Floats:
    array = _finite(values)
    if array.min() < 0 or array.max() > 1:
        raise ValueError("every score must lie in [0, 1]")
    return array
