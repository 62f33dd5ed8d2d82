"""Softmax attention over packed sequences: the mixer of Transformers and of hybrid models.

    o_t = sum_{s <= t} softmax_s(q_t . k_s / sqrt(K)) v_s        q, k rotated by their positions

Queries come in groups that share a key-value head (arXiv 2305.13245); a window lets a token see its
last `window` tokens only, itself included.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mom_eval.kernels import attention_step
from mom_eval.models.config import AttentionOptions
from mom_eval.models.family import RMSNorm, Stream, split_heads
from mom_eval.models.rotary import rotate

QK_NORM_EPS = 1e-5
"""Published checkpoints with normalised queries and keys were trained with this one."""
QUERIES = 512
"""Queries that `_sdpa` takes at a time, so that its mask does not grow with the square of L."""


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
        self, x: Tensor, at: Stream, state: dict[str, Tensor], routes: None = None
    ) -> tuple[Tensor, dict[str, Tensor], None]:
        """Mix x [L, D]: y [L, D], all keys and values [N, S, Hkv, K], and no routing.

        Entry s of a sequence is its token s; entries from `at.seen` plus its new tokens on are
        filling.
        """
        options = self.options
        q, k, v = self.qkv(x).split(self._widths, -1)
        q = split_heads(q, options.num_heads)
        k, v = (split_heads(y, options.num_kv_heads) for y in (k, v))
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = (rotate(y, at.positions, options.rope_theta) for y in (q, k))
        if at.slots is not None:
            return self.out(self._step(q, k, v, at, state).flatten(-2)), state, None
        total = at.seen + at.cu_seqlens.diff()
        kept = {name: _append(state[name], y, at, total) for name, y in (("k", k), ("v", v))}
        there = torch.arange(kept["k"].shape[1], device=x.device) < total[:, None]
        cu_k = F.pad(total.cumsum(0), (1, 0))
        attend = _flash if _fits_flash(q) else _sdpa
        o = attend(q, kept["k"][there], kept["v"][there], at.cu_seqlens, cu_k, options.window)
        return self.out(o.flatten(-2)), kept, None

    def _step(
        self, q: Tensor, k: Tensor, v: Tensor, at: Stream, state: dict[str, Tensor]
    ) -> Tensor:
        """One token a slot: its key and value are written where it stands."""
        assert at.slots is not None
        state["k"][at.slots, at.positions] = k
        state["v"][at.slots, at.positions] = v
        return attention_step(
            q, state["k"], state["v"], slots=at.slots, positions=at.positions,
            window=self.options.window,
        )  # fmt: skip

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


def _append(kept: Tensor, new: Tensor, at: Stream, total: Tensor) -> Tensor:
    """Kept [N, S, H, K] and new rows [L, H, K] -> [N, longest total, H, K]."""
    sequences, entries, *rest = kept.shape
    longest = max(int(total.max()), entries)
    out = torch.cat([kept, kept.new_zeros(sequences, longest - entries, *rest)], 1)
    index = torch.arange(len(new), device=new.device)
    sequence = torch.searchsorted(at.cu_seqlens, index, right=True) - 1
    return out.index_put((sequence, at.positions), new)


def _sdpa(
    q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor, window: int | None
) -> Tensor:
    """Sequence by sequence: q [L, H, K], all keys and values [Lk, Hkv, K] -> [L, H, K]."""
    out = [q[:0]]
    bounds = zip(pairwise(cu_q.tolist()), pairwise(cu_k.tolist()), strict=True)
    for (q_start, q_end), (k_start, k_end) in bounds:
        for start in range(q_start, q_end, QUERIES):
            end = min(start + QUERIES, q_end)
            # Queries are a sequence's last tokens, so both ends are the same token.
            first, last = start - q_end + k_end, end - q_end + k_end
            oldest = k_start if window is None else max(k_start, first - window + 1)
            out.append(_rows(q[start:end], k[oldest:last], v[oldest:last], window))
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


def _flash(
    q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor, window: int | None
) -> Tensor:
    """All sequences at once, on a GPU in half precision."""
    from torch.nn.attention.varlen import varlen_attn

    group = q.shape[1] // k.shape[1]
    o = varlen_attn(
        q.contiguous(),
        k.repeat_interleave(group, 1),
        v.repeat_interleave(group, 1),
        cu_q.int(),
        cu_k.int(),
        int(cu_q.diff().max()),
        int(cu_k.diff().max()),
        window_size=(-1 if window is None else window - 1, 0),
    )
    assert isinstance(o, Tensor)
    return o
