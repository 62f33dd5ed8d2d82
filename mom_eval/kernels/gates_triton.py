"""The kernel of `log_decay`."""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit(do_not_specialize=["L", "H", "x_row"])
def _log_decay(x, A_log, dt_bias, g, L, H, x_row, BT: tl.constexpr, BH: tl.constexpr):
    t, h = tl.program_id(0) * BT + tl.arange(0, BT), tl.arange(0, BH)
    inside = (t < L)[:, None] & (h < H)[None, :]
    at = t.to(tl.int64)[:, None]
    step = tl.load(x + at * x_row + h[None, :], mask=inside, other=0.0).to(tl.float32)
    step += tl.load(dt_bias + h, mask=h < H, other=0.0).to(tl.float32)[None, :]
    # torch's softplus is the identity above 20.
    soft = tl.where(step > 20.0, step, tl.log(1.0 + tl.exp(tl.minimum(step, 20.0))))
    # Where e^x vanishes beside 1, log(1 + e^x) is e^x.
    soft = tl.where(step < -8.0, tl.exp(step), soft)
    rate = tl.exp(tl.load(A_log + h, mask=h < H, other=0.0).to(tl.float32))
    tl.store(g + at * H + h[None, :], -rate[None, :] * soft, mask=inside)


def run_log_decay(x: Tensor, A_log: Tensor, dt_bias: Tensor) -> Tensor:
    """`log_decay` of what it has checked."""
    x = x if x.stride(1) == 1 else x.contiguous()
    (L, H), BH = x.shape, triton.next_power_of_2(x.shape[1])
    g, BT = x.new_empty(L, H, dtype=torch.float32), max(1, 512 // BH)
    if L:
        _log_decay[(triton.cdiv(L, BT),)](
            x, A_log.contiguous(), dt_bias.contiguous(), g, L, H, x.stride(0), BT=BT, BH=BH
        )
    return g
