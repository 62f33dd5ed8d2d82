"""A packed stream cut into chunks, in the order in which a scan over all segments meets them.

Segments are cut into chunks of C tokens, the last one filled up with zeros, which change no state.
The chunks stand step-major: first the first chunk of every segment, then the second of those that
have one, and so on. Within a step the segments with most chunks come first, so that those still
running at the next step are the first rows of this one, and a step is a slice.
"""

from collections.abc import Iterator
from itertools import accumulate

import torch
from torch import Tensor

CHUNK = 64


class Chunks:
    """The layout of the chunks of segments that end at `bounds`, numbers of the host.

    Attributes:
        size: tokens a chunk, C: 64, or the power of two that holds the longest segment.
        active: how many segments run at each step; their sum is the number of chunks, NC.
    """

    def __init__(self, bounds: list[int], device: torch.device):
        lengths = torch.tensor(bounds).diff()
        longest = int(lengths.max())
        self.size = min(CHUNK, 1 << max(longest - 1, 0).bit_length())
        counts = -(-lengths // self.size)
        order = counts.argsort(descending=True, stable=True)
        rank = order.argsort()
        steps = torch.arange(-(-longest // self.size))
        self.active: list[int] = (counts[:, None] > steps).sum(0).tolist()
        first = torch.tensor([0, *accumulate(self.active)])
        segment = torch.arange(len(lengths)).repeat_interleave(lengths)
        position = torch.arange(bounds[-1]) - torch.tensor(bounds)[segment]
        chunk = first[position // self.size] + rank[segment]
        self._row = (chunk * self.size + position % self.size).to(device)
        self._order, self._rank = order.to(device), rank.to(device)

    def split(self, x: Tensor) -> Tensor:
        """[L, H, F] -> [NC, H, C, F], with zeros after the end of a segment."""
        # A copy without collisions: its gradient is a gather.
        padded = x.new_zeros(sum(self.active) * self.size, *x.shape[1:])
        padded = padded.index_copy(0, self._row, x)
        return padded.unflatten(0, (-1, self.size)).transpose(1, 2)

    def join(self, x: Tensor) -> Tensor:
        """[NC, H, C, F] -> [L, H, F]: what `split` took apart."""
        return x.transpose(1, 2).flatten(0, 1).index_select(0, self._row)

    def steps(self, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """The slices of the tensors [NC, ...] at each step, one a running segment."""
        return zip(*(x.split(self.active) for x in tensors), strict=True)

    def first(self, state: Tensor) -> Tensor:
        """[N, ...] in the order of the segments -> the order in which they run."""
        return state.index_select(0, self._order)

    def last(self, ended: list[Tensor]) -> Tensor:
        """[N, ...] in the order of the segments, from the states that ended step by step."""
        return torch.cat(ended[::-1]).index_select(0, self._rank)


def halves(x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """[..., C, F] -> the first and the second halves of its blocks of 2 `size` tokens.

    Each is [..., C / (2 size), size, F].
    """
    first, second = x.unflatten(-2, (-1, 2, size)).unbind(-3)
    return first, second


def halvings(size: int) -> list[int]:
    """1, 2, 4, ... below `size`: the blocks that tile the lower triangle of a chunk.

    Below the diagonal, a pair of tokens (i, j) is parted by the halving of exactly one block: j in
    its first half, i in its second. With G the sum of the log decays, exp(Gi - Gj) is then
    exp(Gi - Gm) exp(Gm - Gj), m the last token of the first half. Both factors are at most 1: a
    decay that differs from channel to channel goes into a matrix product, and nothing overflows.
    """
    return [1 << n for n in range(size.bit_length() - 1)]
