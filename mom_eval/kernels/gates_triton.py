"""The kernels of `delta_gates`."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function

from mom_eval.kernels.blocks import PROGRAMS, cdiv, power_of_2
from mom_eval.kernels.choose import wants_gradient
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


@kernel("L", "H", "a_row", "b_row")
def _grad_delta_gates(
    a, b, A_log, dt_bias, dg, dbeta, da, db, sums, L, H, a_row, b_row, most,
    BT: tl.constexpr, BH: tl.constexpr,
):  # fmt: skip
    """Every so many-th BT tokens, and what they sum: of A_log and dt_bias [programs, 2, H]."""
    h = tl.arange(0, BH)
    of_h = h < H
    bias = tl.load(dt_bias + h, mask=of_h, other=0.0).to(tl.float32)[None, :]
    rate = tl.load(A_log + h, mask=of_h, other=0.0).to(tl.float32)[None, :]
    of_rate, of_bias = tl.zeros([BT, BH], tl.float32), tl.zeros([BT, BH], tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(L, BT), tl.num_programs(0)):
        t = tile * BT + tl.arange(0, BT)
        inside, t = (t < L)[:, None] & of_h[None, :], t.to(tl.int64)[:, None]
        at = t * H + h[None, :]
        step = tl.load(a + t * a_row + h[None, :], mask=inside, other=0.0).to(tl.float32)
        of_g = tl.load(dg + at, mask=inside, other=0.0)
        of_rate += of_g * decay(step, bias, rate)
        of_step = -of_g * tl.exp(rate) * tl.sigmoid(step + bias)
        of_bias += of_step
        tl.store(da + at, of_step, mask=inside)
        strength = tl.load(b + t * b_row + h[None, :], mask=inside, other=0.0).to(tl.float32)
        share = tl.sigmoid(strength)
        of_beta = tl.load(dbeta + at, mask=inside, other=0.0)
        tl.store(db + at, of_beta * most * share * (1.0 - share), mask=inside)
    sums += tl.program_id(0) * 2 * H + h
    tl.store(sums, tl.sum(of_rate, 0), mask=of_h)
    tl.store(sums + H, tl.sum(of_bias, 0), mask=of_h)


class _DeltaGates(Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor]:
        *kept, ctx.most = given
        ctx.save_for_backward(*kept)
        return _forward(*given)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        a, b, A_log, dt_bias = ctx.saved_tensors
        of_g, of_beta = (d.contiguous() for d in grad_outputs)
        a, b = (x if x.stride(1) == 1 else x.contiguous() for x in (a, b))
        (L, H), BH = a.shape, power_of_2(a.shape[1])
        da, db, BT = a.new_empty(L, H), b.new_empty(L, H), max(1, 512 // BH)
        programs = min(cdiv(L, BT), PROGRAMS)
        sums = torch.empty(programs, 2, H, dtype=torch.float32, device=a.device)
        if L:
            _grad_delta_gates[(programs,)](
                a, b, A_log, dt_bias, of_g, of_beta, da, db, sums,
                L, H, a.stride(0), b.stride(0), ctx.most, BT=BT, BH=BH,
            )  # fmt: skip
        of_rate, of_bias = sums.sum(0)
        return da, db, of_rate.to(A_log.dtype), of_bias.to(dt_bias.dtype), None


def _forward(
    a: Tensor, b: Tensor, A_log: Tensor, dt_bias: Tensor, most: float
) -> tuple[Tensor, Tensor]:
    a, b = (x if x.stride(1) == 1 else x.contiguous() for x in (a, b))
    (L, H), BH = a.shape, power_of_2(a.shape[1])
    g, beta = (a.new_empty(L, H, dtype=torch.float32) for _ in range(2))
    BT = max(1, 512 // BH)
    if L:
        _delta_gates[(cdiv(L, BT),)](
            a, b, A_log, dt_bias, g, beta, L, H, a.stride(0), b.stride(0), most, BT=BT, BH=BH
        )
    return g, beta


def run_delta_gates(a: Tensor, b: Tensor, by: TimeStep) -> tuple[Tensor, Tensor]:
    """`delta_gates` of what it has checked, with a gradient where one will be asked for."""
    A_log, dt_bias = by.A_log.contiguous(), by.dt_bias.contiguous()
    run = _DeltaGates.apply if wants_gradient((a, b, A_log, dt_bias)) else _forward
    return run(a, b, A_log, dt_bias, by.most)
