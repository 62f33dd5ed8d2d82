"""The kernel of `delta_gates`."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2


@triton.jit(do_not_specialize=["L", "H", "a_row", "b_row"])
def _delta_gates(
    a, b, A_log, dt_bias, g, beta, L, H, a_row, b_row, most, BT: tl.constexpr, BH: tl.constexpr
):
    t, h = tl.program_id(0) * BT + tl.arange(0, BT), tl.arange(0, BH)
    inside = (t < L)[:, None] & (h < H)[None, :]
    at = t.to(tl.int64)[:, None]
    step = tl.load(a + at * a_row + h[None, :], mask=inside, other=0.0).to(tl.float32)
    step += tl.load(dt_bias + h, mask=h < H, other=0.0).to(tl.float32)[None, :]
    # torch's softplus is the identity above 20.
    soft = tl.where(step > 20.0, step, tl.log(1.0 + tl.exp(tl.minimum(step, 20.0))))
    # Where e^x vanishes beside 1, log(1 + e^x) is e^x.
    soft = tl.where(step < -8.0, tl.exp(step), soft)
    rate = tl.exp(tl.load(A_log + h, mask=h < H, other=0.0).to(tl.float32))
    tl.store(g + at * H + h[None, :], -rate[None, :] * soft, mask=inside)
    strength = tl.load(b + at * b_row + h[None, :], mask=inside, other=0.0).to(tl.float32)
    tl.store(beta + at * H + h[None, :], tl.sigmoid(strength) * most, mask=inside)


def run_delta_gates(
    a: Tensor, b: Tensor, A_log: Tensor, dt_bias: Tensor, most: float
) -> tuple[Tensor, Tensor]:
    """`delta_gates` of what it has checked."""
    a, b = (x if x.stride(1) == 1 else x.contiguous() for x in (a, b))
    (L, H), BH = a.shape, power_of_2(a.shape[1])
    g, beta = (a.new_empty(L, H, dtype=torch.float32) for _ in range(2))
    BT = max(1, 512 // BH)
    if L:
        _delta_gates[(cdiv(L, BT),)](
            a, b, A_log.contiguous(), dt_bias.contiguous(), g, beta, L, H, a.stride(0), b.stride(0),
            most, BT=BT, BH=BH,
        )  # fmt: skip
    return g, beta
