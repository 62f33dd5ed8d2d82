"""The loss behind a model's last product, whose logits never stand whole.

    nats = sum_p -log softmax(W x_p)[label_p]

Logits are made a chunk of rows at a time. What gradients need of a chunk is its own logits, so its
part of them is made while those are there (as in Liger Kernel, arXiv 2410.10989), and the backward
pass has no more to do than to scale. torch has such an op since 2.13 only.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from mom_eval.kernels.choose import wants_gradient
from mom_eval.kernels.shapes import Axes, compute_dtype

LOGITS = 1 << 26
"""Of a chunk, about: 256 MiB in float32, and over a vocabulary of 32,000 the 2,000 rows that keep a
GPU's matrix units busy."""


def linear_cross_entropy(x: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """The sum of the nats of labels [P] under logits x W^T: x [P, D], weight [V, D] -> a scalar.

    Logits are rounded to the type of the operands; softmax, sum and the gradient of W over all
    chunks are in float32 (float64 where x is). It can be differentiated once. Labels are 0 to
    V - 1, which is not checked.
    Raises ValueError on shapes that do not fit, naming the axis.
    """
    _check(x, weight, labels)
    if wants_gradient((x, weight)):
        return _LinearCrossEntropy.apply(x, weight, labels)
    nats = x.new_zeros((), dtype=compute_dtype(x))
    for _, logits, wanted in _chunks(x, weight, labels):
        nats -= _log_softmax(logits).gather(1, wanted).sum()
    return nats


def label_scores(x: Tensor, weight: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Each label's nats [P], and whether its logit is the highest [P]; of the same arguments.

    Without gradients; raises what `linear_cross_entropy` does.
    """
    _check(x, weight, labels)
    nats, first = [], []
    with torch.no_grad():
        for _, logits, wanted in _chunks(x, weight, labels):
            nats.append(-_log_softmax(logits).gather(1, wanted)[:, 0])
            first.append(logits.argmax(-1) == wanted[:, 0])
    return torch.cat(nats), torch.cat(first)


class _LinearCrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        nats = x.new_zeros((), dtype=compute_dtype(x))
        of_x, of_weight, *_ = ctx.needs_input_grad
        dx = torch.empty_like(x) if of_x else None
        dw = torch.zeros_like(weight, dtype=nats.dtype) if of_weight else None
        begin = 0
        for rows, logits, wanted in _chunks(x, weight, labels):
            log_p = _log_softmax(logits)
            picked = log_p.gather(1, wanted)
            nats -= picked.sum()
            slope = log_p.exp_().scatter_(1, wanted, picked.expm1()).to(x.dtype)
            if dx is not None:
                torch.mm(slope, weight, out=dx[begin : begin + len(rows)])
            if dw is not None:
                dw += _wide_product(slope.mT, rows)
            begin += len(rows)
        ctx.save_for_backward(dx, dw)
        ctx.dtypes = x.dtype, weight.dtype
        return nats

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        # Of no axis it would be rounded to the type of what it scales.
        by = grad_outputs[0].view(1)
        found = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return *(None if dy is None else _scaled(dy, by, dtype) for dy, dtype in found), None


def _check(x: Tensor, weight: Tensor, labels: Tensor) -> None:
    axes = Axes()
    axes.check("x", x, "P D")
    axes.check("weight", weight, "V D")
    axes.check("labels", labels, "P")


def _chunks(x: Tensor, weight: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Rows of x [C, D], their logits [C, V] and labels [C, 1]; one chunk at least."""
    size = max(1, LOGITS // len(weight))
    for rows, wanted in zip(x.split(size), labels.split(size), strict=True):
        yield rows, F.linear(rows, weight), wanted[:, None]


def _log_softmax(logits: Tensor) -> Tensor:
    return logits.log_softmax(-1, dtype=compute_dtype(logits))


def _wide_product(a: Tensor, b: Tensor) -> Tensor:
    """A b, not rounded to their type."""
    dtype = compute_dtype(a)
    if a.is_cuda and a.dtype != dtype:
        return torch.mm(a, b, out_dtype=dtype)
    return a.to(dtype) @ b.to(dtype)


def _scaled(x: Tensor, by: Tensor, dtype: torch.dtype) -> Tensor:
    """X times a number [1], rounded once."""
    return torch.mul(x, by, out=torch.empty_like(x, dtype=dtype))
