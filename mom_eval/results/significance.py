"""Whether two models that answered the same questions differ: an exact test, Holm, a verdict.

If two models are equal, each document's difference is as likely to be turned round as not. So the
test asks how often the sum of all differences, each with a random sign, is as far from 0 as the one
that was seen; it holds at any number of documents (Fisher, The Design of Experiments, 1935, section
21). Where each document has a single question it is McNemar's exact test.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from mom_eval.results.statistics import CONFIDENCE, Floats, Interval, by_document

LEVEL: Final = 1 - CONFIDENCE


def sign_flip(a: ArrayLike, b: ArrayLike, documents: Sequence[str]) -> float:
    """The two-sided p value of a - b, scores of 0 and 1 on the same questions in the same order.

    Exact: the sum's distribution over all signs is that of binomials, one for each size that a
    document's difference has, each in steps of twice its size. Raises ValueError on other scores.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if not np.isin(np.concatenate([first, second]), (0, 1)).all():
        raise ValueError("every score must be 0 or 1")
    totals = by_document(first - second, documents).totals.astype(int)
    chances = np.ones(1)
    for size in np.unique(np.abs(totals[totals != 0])):
        count = int(np.sum(np.abs(totals) == size))
        steps = np.zeros(count * size + 1)
        steps[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, steps)
    # Place i is the sum 2 i - most.
    most = len(chances) - 1
    beyond = np.abs(2 * np.arange(most + 1) - most) >= abs(int(totals.sum()))
    return min(float(chances[beyond].sum()), 1.0)


def from_interval(difference: Interval) -> float:
    """The two-sided p value of a difference whose 95 % interval is known: below .05 if 0 is out."""
    if difference.low is None or difference.high is None:
        return 1.0
    value = difference.value
    half = value - difference.low if value > 0 else difference.high - value
    if half <= 0:
        return 1.0
    return float(2 * ndtr(-abs(value) / half * ndtri((1 + CONFIDENCE) / 2)))


def holm(p_values: ArrayLike) -> Floats:
    """P values adjusted for how many there are (Holm, Scand. J. Statistics 6, 1979).

    Calling different what is below .05 is wrong anywhere in 5 % of the cases at most, however the
    tests hang together.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1.0)


def verdict(difference: Interval, adjusted: float, margin: float) -> str:
    """`better`, `worse`, `same` (no difference larger than `margin`) or `unknown`.

    `better` and `worse` go by the adjusted p value. `same` needs the whole 95 % interval within the
    margin: not to have seen a difference is not to have seen that there is none.
    """
    if adjusted < LEVEL:
        return "better" if difference.value > 0 else "worse"
    if difference.low is None or difference.high is None:
        return "unknown"
    return "same" if -margin <= difference.low and difference.high <= margin else "unknown"
