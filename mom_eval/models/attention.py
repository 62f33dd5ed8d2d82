"""Softmax attention over packed sequences: the mixer of Transformers and of hybrid models.

    o_t = sum_{s <= t} softmax_s(q_t . k_s / sqrt(K)) v_s        q, k rotated by their positions

Queries come in groups that share a key-value head (arXiv 2305.13245); a window lets a token see its
last `window` tokens only, itself included.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mom_eval.kernels import attention_step, few_linear, rotary_append, rotations
from mom_eval.kernels.shapes import compute_dtype
from mom_eval.models.config import AttentionOptions
from mom_eval.models.extent import Extent
from mom_eval.models.family import RMSNorm, Stream, split_heads

QK_NORM_EPS = 1e-5
"""Published checkpoints with normalised queries and keys were trained with this one."""
QUERIES = 512
"""Queries `_one_by_one` takes at a time, so that its mask does not grow with the square of L."""


class Attention(nn.Module):
    """Attention with the interface of `Mixer`; it keeps every key and value it has seen."""

    def __init__(self, options: AttentionOptions, hidden: int) -> None:
        """One weight [(H + 2 Hkv) K, hidden] makes q, k and v."""
        super().__init__()
        self.options = options
        heads, kv_heads, width = options.num_heads, options.num_kv_heads, options.head_dim
        self._widths = [heads * width, kv_heads * width, kv_heads * width]
        self.qkv = nn.Linear(hidden, sum(self._widths), bias=options.qkv_bias)
        self.q_norm = RMSNorm(width, QK_NORM_EPS) if options.qk_norm else None
        self.k_norm = RMSNorm(width, QK_NORM_EPS) if options.qk_norm else None
        self.out = nn.Linear(heads * width, hidden, bias=False)

    def empty_state(self, sequences: int) -> dict[str, Tensor]:
        """Keys and values [N, 0, Hkv, K]."""
        shape = (sequences, 0, self.options.num_kv_heads, self.options.head_dim)
        return {name: self.qkv.weight.new_zeros(shape) for name in ("k", "v")}

    def forward(
        self, x: Tensor, at: Stream, state: dict[str, Tensor] | None, routes: None = None
    ) -> tuple[Tensor, dict[str, Tensor], None]:
        """Mix x [L, D]: y [L, D], all keys and values [N, S, Hkv, K], and no routing.

        Entry s of a sequence is its token s; entries from `at.seen` plus its new tokens on are
        filling. `at` is as `prepared` returned it; `state` None: nothing is read yet.
        """
        assert at.extent is not None
        past = self.empty_state(len(at.extent.lengths)) if state is None else state
        kept = {name: at.extent.room(entries) for name, entries in past.items()}
        q = self._appended(self.qkv(x), at, kept, at.extent.sequences)
        o = _attend(q, kept["k"], kept["v"], at.extent, self.options.window)
        return self.out(o.flatten(-2)), kept, None

    def step(
        self, x: Tensor, y: Tensor | None, norm: RMSNorm, at: Stream, state: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """`forward` of the norm of x + y for one token a slot, whose state changes in place.

        Returns x + y [R, D], and what is mixed as parts [S, R, D] whose sum it is. So may y be.
        """
        assert at.slots is not None
        x, (columns,) = norm.times(x, y, [self.qkv.weight])
        if self.qkv.bias is not None:
            columns = columns + self.qkv.bias
        q = self._appended(columns, at, state, at.slots)
        o = attention_step(
            q, state["k"], state["v"], slots=at.slots, positions=at.positions,
            window=self.options.window,
        )  # fmt: skip
        return x, few_linear(o.flatten(-2), self.out.weight)

    def _appended(
        self, columns: Tensor, at: Stream, kept: dict[str, Tensor], slots: Tensor
    ) -> Tensor:
        """Queries of the columns [L, ...], whose keys and values are behind those kept in slots."""
        options = self.options
        q, k, v = columns.split(self._widths, -1)
        q = split_heads(q, options.num_heads)
        k, v = (split_heads(y, options.num_kv_heads) for y in (k, v))
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        assert at.turns is not None
        return rotary_append(
            q, k, v, at.turns, keys=kept["k"], values=kept["v"], slots=slots, positions=at.positions
        )

    def reset_parameters(self, std: float) -> None:
        """Normal weights of a standard deviation, zero biases."""
        for linear in (self.qkv, self.out):
            nn.init.normal_(linear.weight, std=std)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)

    def pieces(self) -> dict[str, Tensor]:
        """Every parameter by its canonical name, as views that partition them."""
        names = ("q", "k", "v")
        parts = zip(names, self.qkv.weight.split(self._widths), strict=True)
        out = {f"{name}.weight": part for name, part in parts}
        if self.qkv.bias is not None:
            parts = zip(names, self.qkv.bias.split(self._widths), strict=True)
            out |= {f"{name}.bias": part for name, part in parts}
        for name, norm in (("q_norm", self.q_norm), ("k_norm", self.k_norm)):
            if norm is not None and norm.weight is not None:
                out[f"{name}.weight"] = norm.weight
        return out | {"out.weight": self.out.weight}


def prepared(at: Stream, options: AttentionOptions, x: Tensor) -> Stream:
    """The stream with what all layers of attention share, which they compute in the type of x."""
    turns = rotations(at.positions, options.head_dim, options.rope_theta, dtype=compute_dtype(x))
    extent = None
    if at.slots is None:
        assert at.seen is not None
        extent = Extent.of(at.cu_seqlens, at.seen, len(x))
    return at._replace(turns=turns, extent=extent)


def _attend(q: Tensor, k: Tensor, v: Tensor, extent: Extent, window: int | None) -> Tensor:
    """Queries [L, H, K], each sequence's last tokens, of the rooms [N, S, Hkv, K] -> [L, H, K]."""
    if q.is_cuda and not _fits_flash(q):
        return _one_by_one(q, k, v, extent, window)
    whole = window is None or window >= extent.longest
    # For a single sequence torch may choose a kernel that it prepares anew for each length.
    if extent.filled and whole and len(q) > 0 and len(extent.lengths) > 1:
        return _equal(q, k, v)
    return (_flash if q.is_cuda else _one_by_one)(q, k, v, extent, window)


def _equal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Sequences of one length, all of them new: torch's own choice of a kernel."""
    k, v = _for_each_query(k, q), _for_each_query(v, q)
    q, k, v = (y.transpose(1, 2) for y in (q.view_as(k), k, v))
    o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return o.transpose(1, 2).flatten(0, 1)


def _one_by_one(q: Tensor, k: Tensor, v: Tensor, extent: Extent, window: int | None) -> Tensor:
    """Sequence by sequence, QUERIES at a time; waits for the device."""
    out = [q[:0]]
    bounds, lengths = pairwise(extent.cu_seqlens.tolist()), extent.lengths.tolist()
    for n, ((start, end), length) in enumerate(zip(bounds, lengths, strict=True)):
        for first in range(start, end, QUERIES):
            last = min(first + QUERIES, end)
            # Queries are a sequence's last tokens, so both ends are the same token.
            until = last - end + length
            oldest = 0 if window is None else max(0, first - end + length - window + 1)
            out.append(_rows(q[first:last], k[n, oldest:until], v[n, oldest:until], window))
    return torch.cat(out)


def _rows(q: Tensor, k: Tensor, v: Tensor, window: int | None) -> Tensor:
    """Queries [L, H, K] of the last L of Lk tokens, whose keys and values are [Lk, Hkv, K]."""
    places = torch.arange(len(k), device=q.device)
    back = places[len(k) - len(q) :, None] - places
    seen = back >= 0 if window is None else (back >= 0) & (back < window)
    # Without an axis for the batch, torch takes no fused kernel on a CPU.
    q, k, v = (y.transpose(0, 1)[None] for y in (q, k, v))
    o = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)
    return o[0].transpose(0, 1)


def _fits_flash(q: Tensor) -> bool:
    """Has the fused kernel for packed sequences an answer for these queries [L, H, K]?"""
    half = q.dtype in (torch.bfloat16, torch.float16)
    # It refuses other widths, and a launch without a query.
    return q.is_cuda and half and q.shape[-1] % 8 == 0 and q.shape[-1] <= 256 and len(q) > 0


def _flash(q: Tensor, k: Tensor, v: Tensor, extent: Extent, window: int | None) -> Tensor:
    """All sequences at once, on a GPU in half precision."""
    from torch.nn.attention.varlen import varlen_attn

    o = varlen_attn(
        q,
        _for_each_query(k, q).flatten(0, 1),
        _for_each_query(v, q).flatten(0, 1),
        extent.row_ends,
        extent.room_ends,
        # Grids are made for these; a sequence has at most so many rows.
        min(extent.longest, len(q)),
        extent.longest,
        window_size=(-1 if window is None else window - 1, 0),
    )
    assert isinstance(o, Tensor)
    return o


def _for_each_query(k: Tensor, q: Tensor) -> Tensor:
    """Keys or values [N, S, Hkv, K] with a head for each of q's [L, H, K]."""
    group = q.shape[1] // k.shape[2]
    return k if group == 1 else k.repeat_interleave(group, 2)
