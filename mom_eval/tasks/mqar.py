"""MQAR, multi-query associative recall (zoology, arXiv 2312.04927, section 4 and appendix E).

    k1 v1 k2 v2 ... kN vN   . . k2 . . . k1 . ...      inputs
                                v2       v1            labels, -100 elsewhere

N different keys with N different values, then every key once more: behind it the model is to name
its value. Keys are 1 to V/2 - 1, values V/2 to V - 1. The place of each query is drawn without
replacement with probability ~ i^(a - 1), a = 0.01, over the pairs of places behind the context, so
most come soon. Every other place there holds a random token of the whole vocabulary.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

IGNORE = -100
"""The label of a place that is not asked for."""
POWER = 0.01

Ids = NDArray[np.int64]


class Examples(NamedTuple):
    """Both [N, length] int64."""

    tokens: Ids
    labels: Ids
    """What follows the token at this place; `IGNORE` where nothing is asked."""


@dataclass(frozen=True, kw_only=True)
class Mqar:
    """One difficulty.

    Raises:
        ValueError: the pairs and their queries do not fit, or the vocabulary has too few keys.
    """

    vocab: int
    length: int
    """Tokens of an example, an even number."""
    pairs: int

    def __post_init__(self) -> None:
        if self.pairs < 1 or self.length % 2 or self.length < 4 * self.pairs:
            raise ValueError(
                f"{self.pairs} pairs and their queries need an even length of at least"
                f" {4 * max(self.pairs, 1)} tokens, not {self.length}"
            )
        if self.vocab // 2 - 1 < self.pairs:
            raise ValueError(
                f"a vocabulary of {self.vocab} has {max(0, self.vocab // 2 - 1)} keys;"
                f" {self.pairs} pairs need {2 * self.pairs + 2} tokens"
            )

    def draw(self, rng: np.random.Generator, count: int) -> Examples:
        """`count` examples; the same generator gives the same ones anywhere."""
        half = self.vocab // 2
        keys = _choices(rng.random((count, half - 1)), self.pairs) + 1
        values = _choices(rng.random((count, self.vocab - half)), self.pairs) + half
        context = 2 * self.pairs
        tokens = rng.integers(self.vocab, size=(count, self.length))
        tokens[:, 0:context:2], tokens[:, 1:context:2] = keys, values
        places = context + 2 * self._gaps(rng, count)
        labels = np.full((count, self.length), IGNORE)
        np.put_along_axis(tokens, places, keys, 1)
        np.put_along_axis(labels, places, values, 1)
        return Examples(tokens, labels)

    def _gaps(self, rng: np.random.Generator, count: int) -> Ids:
        """[count, pairs], each row drawn without replacement.

        The largest of log p + Gumbel noise are such a draw (Vieira 2014; arXiv 1903.06059).
        """
        space = self.length // 2 - self.pairs
        log_p = (POWER - 1) * np.log(np.arange(1, space + 1))
        return _choices(-(log_p + rng.gumbel(size=(count, space))), self.pairs)


def _choices(noise: NDArray[np.float64], count: int) -> Ids:
    """Indices of the `count` smallest of each row, smallest first."""
    return np.argsort(noise, 1)[:, :count]
