"""Named linear maps of one input, computed as one product.

A mixer reads and writes through many small projections (q, k, v, gates) of the same tokens. Here
they are columns of one weight, so a token stream costs one product, and the memories of a
Mixture-of-Memories cost one grouped product. Columns keep their names: checkpoints load by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mom_eval.kernels import grouped_linear


@dataclass(frozen=True)
class Column:
    """One linear map: its width, the width in its middle where it has low rank, a bias or none."""

    width: int
    rank: int | None = None
    bias: bool = False


class Columns(nn.Module):
    """`x [L, D] -> {name: [L, width]}`, or the same for M groups of rows, each with its weights."""

    def __init__(self, hidden: int, columns: Mapping[str, Column], groups: int | None = None):
        """`groups`: how many sets of weights, for rows that lie group after group."""
        super().__init__()
        self.columns, self.groups = dict(columns), groups
        lead = () if groups is None else (groups,)
        self._widths = [column.rank or column.width for column in columns.values()]
        self.weight = nn.Parameter(torch.empty(*lead, sum(self._widths), hidden))
        self.up = nn.ParameterDict(
            {
                name: nn.Parameter(torch.empty(*lead, column.width, column.rank))
                for name, column in columns.items()
                if column.rank
            }
        )
        self.bias = nn.ParameterDict(
            {
                name: nn.Parameter(torch.empty(*lead, column.width))
                for name, column in columns.items()
                if column.bias
            }
        )

    def forward(self, x: Tensor, ends: Tensor | None = None) -> dict[str, Tensor]:
        """Every column of x [L, D]; `ends` [M]: where each group's rows end, given with groups."""
        return self.split(self._product(x, self.weight, ends), ends)

    def split(self, product: Tensor, ends: Tensor | None = None) -> dict[str, Tensor]:
        """`forward`, where the product of x and the weight [L, O] is there."""
        parts = product.split(self._widths, -1)
        out = dict(zip(self.columns, parts, strict=True))
        for name, up in self.up.items():
            out[name] = self._product(out[name], up, ends)
        if len(self.bias):
            own = None if ends is None else _members(ends, len(product))
            for name, bias in self.bias.items():
                # As a product, whose gradient adds up a group's rows side by side, not in turn.
                out[name] = out[name] + (bias if own is None else own.to(bias.dtype) @ bias)
        return out

    def split_every(self, product: Tensor) -> dict[str, Tensor]:
        """Every column in all M groups, where x times all weights [L, M O] is there.

        [L M, width], token-major: for few rows, which between them choose nearly all groups.
        """
        groups, width = self.weight.shape[:2]
        parts = product.view(-1, width).split(self._widths, -1)
        out = dict(zip(self.columns, parts, strict=True))
        for name, up in self.up.items():
            low = out[name].unflatten(0, (-1, groups))
            out[name] = torch.einsum("lmr,mor->lmo", low, up).flatten(0, 1)
        for name, bias in self.bias.items():
            out[name] = (out[name].unflatten(0, (-1, groups)) + bias).flatten(0, 1)
        return out

    def _product(self, x: Tensor, weight: Tensor, ends: Tensor | None) -> Tensor:
        if self.groups is None:
            return F.linear(x, weight)
        if ends is None:
            raise ValueError("columns with groups need ends [M], where each group's rows end")
        return grouped_linear(x, weight, ends)

    def reset_parameters(self, std: float) -> None:
        """Normal weights of a standard deviation, zero biases."""
        for weight in (self.weight, *self.up.values()):
            nn.init.normal_(weight, std=std)
        for bias in self.bias.values():
            nn.init.zeros_(bias)

    def pieces(self, group: int | None = None) -> dict[str, Tensor]:
        """Each column's own part of the weights, as views: `q.weight`, or by rank `gk.0.weight`."""
        out = {}
        pick = (lambda whole: whole) if group is None else (lambda whole: whole[group])
        parts = pick(self.weight).split(self._widths, 0)
        for (name, column), part in zip(self.columns.items(), parts, strict=True):
            last = f"{name}.1" if column.rank else name
            out[f"{name}.0.weight" if column.rank else f"{name}.weight"] = part
            if column.rank:
                out[f"{last}.weight"] = pick(self.up[name])
            if column.bias:
                out[f"{last}.bias"] = pick(self.bias[name])
        return out


def _members(ends: Tensor, rows: int) -> Tensor:
    """Whether a row is of a group [L, M] bool; `ends` [M]: where each group's rows end."""
    row = torch.arange(rows, device=ends.device)[:, None]
    begins = F.pad(ends[:-1], (1, 0))
    return (row >= begins) & (row < ends)
