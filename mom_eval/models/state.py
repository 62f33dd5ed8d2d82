"""What a model keeps of the sequences it reads, as a value.

A state is never changed in place: `forward` takes one and returns another. So the same document can
be continued by many questions, sequences can be taken out, put together in any order, moved between
devices and written to a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

ATTENTION = {"k", "v"}
"""What a layer of attention keeps, and no other layer."""


@dataclass(frozen=True)
class State:
    """Every tensor's first axis is the sequence, N of them."""

    seen: Tensor
    """[N] int64, tokens read."""
    layers: list[dict[str, Tensor]]
    """A dictionary a layer: recurrent states [N, ..., K, V], convolution rings [N, ..., W, D],
    attention's keys and values [N, S, H, K] with S the longest sequence."""

    def __len__(self) -> int:
        """How many sequences."""
        return len(self.seen)

    def __getitem__(self, sequences: Sequence[int] | slice | Tensor) -> "State":
        """The state of some of the sequences, in the order asked for; repeats are fine."""
        pick = sequences
        if not isinstance(pick, slice):
            # Without a type an empty list would be one of floating-point numbers.
            dtype = None if len(pick) else torch.int64
            pick = torch.as_tensor(pick, dtype=dtype, device=self.seen.device)
        return self._each(lambda tensor: tensor[pick])

    def clone(self) -> "State":
        """A copy that shares no memory."""
        return self._each(torch.Tensor.clone)

    def to(self, device: torch.device | str) -> "State":
        """The same on another device."""
        return self._each(lambda tensor: tensor.to(device))

    def trimmed(self) -> "State":
        """Without attention's filling behind the longest sequence; a view."""
        longest = int(self.seen.max())
        return State(
            self.seen,
            [
                {name: tensor[:, :longest] for name, tensor in layer.items()}
                if layer.keys() == ATTENTION
                else layer
                for layer in self.layers
            ],
        )

    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return self.seen.nbytes + sum(t.nbytes for layer in self.layers for t in layer.values())

    def _each(self, change) -> "State":
        layers = [{name: change(t) for name, t in layer.items()} for layer in self.layers]
        return State(change(self.seen), layers)

    def save(self, path: Path | str) -> None:
        """Write a safetensors file."""
        tensors = {"seen": self.seen.contiguous()}
        for index, layer in enumerate(self.layers):
            tensors |= {f"{index}.{name}": tensor.contiguous() for name, tensor in layer.items()}
        save_file(tensors, path, {"layers": str(len(self.layers))})

    @classmethod
    def load(cls, path: Path | str, device: torch.device | str = "cpu") -> "State":
        """Read what `save` wrote."""
        tensors = load_file(path, device=str(device))
        seen = tensors.pop("seen")
        layers: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            index, _, rest = name.partition(".")
            layers.setdefault(int(index), {})[rest] = tensor
        return cls(seen, [layers[index] for index in sorted(layers)])

    @classmethod
    def cat(cls, states: Sequence["State"]) -> "State":
        """Several states' sequences one after the other."""
        layers = [
            {name: _cat([layer[name] for layer in alike]) for name in alike[0]}
            for alike in zip(*(state.layers for state in states), strict=True)
        ]
        return cls(torch.cat([state.seen for state in states]), layers)


def _cat(tensors: list[Tensor]) -> Tensor:
    """Join along the sequences; attention's shorter ones are filled up with zeros, never read."""
    if tensors[0].ndim == 1 or len({tensor.shape[1] for tensor in tensors}) == 1:
        return torch.cat(tensors)
    longest = max(tensor.shape[1] for tensor in tensors)
    out = []
    for tensor in tensors:
        n, length, *rest = tensor.shape
        out.append(torch.cat([tensor, tensor.new_zeros(n, longest - length, *rest)], 1))
    return torch.cat(out)
