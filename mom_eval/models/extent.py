"""Where the keys and values of a call's sequences lie: the same in all its layers of attention."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.shapes import segment_of


class Extent(NamedTuple):
    """Sequences in rooms of equal size, [N, longest, ...], each from the beginning of its own."""

    sequences: Tensor
    """[L] int64, the sequence that each row belongs to."""
    cu_seqlens: Tensor
    """[N + 1] int64, where the rows of each sequence begin and end."""
    lengths: Tensor
    """[N] int64, tokens of each sequence, these rows included."""
    longest: int
    """The largest of `lengths`."""
    filled: bool
    """Is every room full of these rows? Then none has a past, and all are equally long."""
    row_ends: Tensor
    """[2 N + 1] int32, see `room_ends`."""
    room_ends: Tensor
    """[2 N + 1] int32, ends of segments of the rooms laid end to end. Each room is two of them,
    what is there and the filling behind it, to which by `row_ends` no row belongs: so a kernel
    for packed sequences reads keys where they lie."""

    @classmethod
    def of(cls, cu_seqlens: Tensor, seen: Tensor, rows: int) -> "Extent":
        """The extent of a call; waits for the device, so it is made once for all layers."""
        lengths = seen + cu_seqlens.diff()
        longest = int(lengths.max())
        starts = torch.arange(len(lengths) + 1, device=lengths.device) * longest
        rooms = torch.stack([starts[:-1], starts[:-1] + lengths], 1).flatten()
        return cls(
            sequences=segment_of(cu_seqlens, rows),
            cu_seqlens=cu_seqlens,
            lengths=lengths,
            longest=longest,
            # Only where each sequence is as long as the longest, and all of it is new.
            filled=longest * len(lengths) == rows,
            row_ends=cu_seqlens.repeat_interleave(2)[1:].int(),
            room_ends=torch.cat([rooms, starts[-1:]]).int(),
        )

    def room(self, past: Tensor) -> Tensor:
        """Past entries [N, S, ...] and room for the rows behind: [N, longest, ...], new memory.

        The room is zero, unless rows fill all of it.
        """
        if self.filled:
            return past.new_empty(len(past), self.longest, *past.shape[2:])
        # Below zero it cuts off filling.
        return F.pad(past, (0, 0, 0, 0, 0, self.longest - past.shape[1]))
