"""States that decoding writes at every eighth token only, and what waits beside them meanwhile.

A step of decoding is little more than its states' way from memory and back. What a token adds to a
state is one product k u^T, and what is read of it needs no sum: with S as it was written last, and
i = 1, ..., n the tokens since then, whose decays are d,

    S_t^T x = S^T (d_1 ... d_t x) + sum_i (k_i . d_{i+1} ... d_t x) u_i

So k, u and the decay of each wait, and the state is written with all of them at once. When, hangs
on a token's place and on the state's, so that of many slots every step writes some.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor

from mom_eval.kernels.shapes import Axes

EVERY: Final = 8
"""Tokens that a state is written with at once: nine sixteenths of the traffic are left."""


class Late(NamedTuple):
    """What waits beside the states [S, HV, K, V] of slots; of memories [S, M, ...]. Zero at first.

    A slot that gets another sequence must be zeroed here: its next tokens may find others before
    them.
    """

    k: Tensor
    """[S, E, H, K] float32, contiguous; E tokens are written at once."""
    u: Tensor
    """[S, E, HV, V] float32, contiguous"""
    g: Tensor | None
    """[S, E, HV] or [S, E, HV, K] float32, contiguous; none where nothing decays"""

    @classmethod
    def zero(
        cls,
        state: Tensor,
        key_heads: int,
        *,
        channels: bool = False,
        decays: bool = True,
        every: int = EVERY,
    ) -> "Late":
        """For states [S, (M,) HV, K, V] whose decays are one a head, or one a channel."""
        *lead, HV, K, V = state.shape
        new = lambda *shape: state.new_zeros(*lead, every, *shape)  # noqa: E731
        g = (new(HV, K) if channels else new(HV)) if decays else None
        return cls(new(key_heads, K), new(HV, V), g)

    @property
    def every(self) -> int:
        """E."""
        return self.k.shape[-3]

    def check(self, axes: Axes, memories: bool) -> None:
        """ValueError where this does not fit the states that `axes` knows, or kernels."""
        lead = "S M" if memories else "S"
        axes.check("late.k", self.k, f"{lead} E H K")
        axes.check("late.u", self.u, f"{lead} E HV V")
        if self.g is not None:
            channels = self.g.ndim == self.u.ndim
            axes.check("late.g", self.g, f"{lead} E HV" + " K" * channels)
        if self.every & (self.every - 1):
            raise ValueError(f"axis E of late.k must be a power of 2, but it is {self.every}")
        for x in self:
            if x is not None and not (x.is_contiguous() and x.dtype == torch.float32):
                raise ValueError("what waits must be contiguous float32, to be changed in place")

    def flat(self) -> "Late":
        """Of memories, each as a slot of its own."""
        return self._each(lambda x: x.flatten(0, 1))

    def waiting(self, rows: Tensor, times: Tensor) -> Tensor:
        """How many tokens wait, by the states' `rows` among all and the `times` they saw."""
        return (times + rows) % self.every

    def of(self, rows: Tensor) -> "Late":
        """What waits in some slots, a copy."""
        return self._each(lambda x: x[rows])

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Late":
        return Late(change(self.k), change(self.u), None if self.g is None else change(self.g))


def settled(state: Tensor, late: Late, count: Tensor) -> Tensor:
    """States [N, HV, K, V] with the first `count` [N] tokens that wait beside each."""
    heads = state.shape[1] // late.k.shape[2]
    for i in range(late.every - 1):
        k = late.k[:, i].repeat_interleave(heads, 1)[..., None]
        new = state
        if late.g is not None:
            decay = late.g[:, i].exp()
            new = state * (decay[..., None] if decay.ndim == 3 else decay[..., None, None])
        new = new + k * late.u[:, i, :, None]
        state = torch.where((i < count)[:, None, None, None], new, state)
    return state


def settle(state: Tensor, late: Late, rows: Tensor, times: Tensor) -> None:
    """`settled` in place of some rows of states, beside which nothing waits then."""
    state[rows] = settled(state[rows], late.of(rows), late.waiting(rows, times))
    for x in late:
        if x is not None:
            x[rows] = 0
