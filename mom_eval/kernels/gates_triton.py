"""The kernel of `delta_gates`."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2
from mom_eval.kernels.gates import TimeStep
from mom_eval.kernels.launch import kernel


@triton.jit
def decay(a, dt_bias, A_log):
    """The logarithm -exp(A_log) softplus(a + dt_bias)."""
    step = a + dt_bias
    # torch's softplus is the identity above 20.
    soft = tl.where(step > 20.0, step, tl.log(1.0 + tl.exp(tl.minimum(step, 20.0))))
    # Where e^x vanishes beside 1, log(1 + e^x) is e^x.
    return -tl.exp(A_log) * tl.where(step < -8.0, tl.exp(step), soft)


@kernel("L", "H", "a_row", "b_row")
def _delta_gates(
    a, b, A_log, dt_bias, g, beta, L, H, a_row, b_row, most, BT: tl.constexpr, BH: tl.constexpr
):
    t, h = tl.program_id(0) * BT + tl.arange(0, BT), tl.arange(0, BH)
    of_h, at = h < H, t.to(tl.int64)[:, None]
    inside = (t < L)[:, None] & of_h[None, :]
    step = tl.load(a + at * a_row + h[None, :], mask=inside, other=0.0).to(tl.float32)
    bias = tl.load(dt_bias + h, mask=of_h, other=0.0).to(tl.float32)[None, :]
    rate = tl.load(A_log + h, mask=of_h, other=0.0).to(tl.float32)[None, :]
    tl.store(g + at * H + h[None, :], decay(step, bias, rate), mask=inside)
    strength = tl.load(b + at * b_row + h[None, :], mask=inside, other=0.0).to(tl.float32)
    tl.store(beta + at * H + h[None, :], tl.sigmoid(strength) * most, mask=inside)


def run_delta_gates(a: Tensor, b: Tensor, by: TimeStep) -> tuple[Tensor, Tensor]:
    """`delta_gates` of what it has checked."""
    a, b = (x if x.stride(1) == 1 else x.contiguous() for x in (a, b))
    (L, H), BH = a.shape, power_of_2(a.shape[1])
    g, beta = (a.new_empty(L, H, dtype=torch.float32) for _ in range(2))
    BT = max(1, 512 // BH)
    if L:
        _delta_gates[(cdiv(L, BT),)](
            a, b, by.A_log, by.dt_bias, g, beta, L, H, a.stride(0), b.stride(0), by.most,
            BT=BT, BH=BH,
        )  # fmt: skip
    return g, beta
