"""Decoding with attention: one query a slot over all keys and values that the slot holds.

o = sum_{s <= t} softmax_s(q . k_s / sqrt(K)) v_s        t: the row's position
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.choose import takes_triton
from mom_eval.kernels.shapes import Axes


def attention_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    slots: Tensor,
    positions: Tensor,
    window: int | None = None,
    impl: str = "auto",
) -> Tensor:
    """Read what slots hold: o [R, H, K].

    Args:
        q: [R, H, K].
        k: [S, C, Hkv, K], keys of positions 0 to C - 1; query head h reads head h // (H / Hkv).
        v: [S, C, Hkv, K].
        slots: [R] int64; what is returned for slot -1 means nothing.
        positions: [R] int64, each query's own position, whose key is there already.
        window: it sees so many positions, its own included; None is all.
        impl: "torch", "triton", or "auto" as `kernels.choose` has it.

    Raises:
        ValueError: on shapes that do not fit, naming the axis.
        SettingError: the Triton kernel is asked for and cannot run.
    """
    axes = Axes()
    axes.check("q", q, "R H K")
    axes.check("k", k, "S C Hkv K")
    axes.check("v", v, "S C Hkv K")
    axes.check("slots", slots, "R")
    axes.check("positions", positions, "R")
    if takes_triton("attention_step", impl, (q, k, v)):
        from mom_eval.kernels.attention_step_triton import run_attention_step

        return run_attention_step(q, k, v, slots, positions, window)
    back = positions[:, None] - torch.arange(k.shape[1], device=q.device)
    seen = back >= 0 if window is None else (back >= 0) & (back < window)
    k, v = (y[slots].transpose(1, 2) for y in (k, v))
    o = F.scaled_dot_product_attention(
        q[:, :, None], k, v, attn_mask=seen[:, None, None], enable_gqa=True
    )
    return o[:, :, 0]
