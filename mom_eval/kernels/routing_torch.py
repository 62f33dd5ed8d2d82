"""`take` and `combine` in torch, whose gradients are gathers: no atomics, as index_add has them."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from mom_eval.kernels.shapes import compute_dtype


class Take(Function):
    """X[token], of x [L, ...]; `row` [L, k] are the rows of each token, counted from `own` on."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        """X, row, token and own -> [R, ...]."""
        x, row, token, own = given
        ctx.save_for_backward(row)
        ctx.own = own
        return x[token]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        """Of x alone."""
        (grad,), (row,) = grad_outputs, ctx.saved_tensors
        summed = grad[row - ctx.own].sum(1, dtype=compute_dtype(grad))
        return summed.to(grad.dtype), None, None, None


class Combine(Function):
    """The rows `row` [L, k] of y [R, ...], weighted; and, where there are any, `own` = L first."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        """Y, weights, row, the token of each row, and own -> [L, ...]."""
        y, weights, row, token, own = given
        ctx.save_for_backward(y, weights, row, token)
        dtype = compute_dtype(y)
        total = torch.einsum("lk,lk...->l...", weights.to(dtype), y[row].to(dtype))
        return (total + y[:own] if own else total).to(y.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        """Of y and the weights."""
        y, weights, row, token = ctx.saved_tensors
        dtype = compute_dtype(y)
        grad = grad_outputs[0].to(dtype)
        # What no token weighs is its own.
        of_row = weights.new_ones(len(y)).scatter(0, row.flatten(), weights.flatten())
        of_row = of_row.view(-1, *[1] * (grad.ndim - 1))
        of_weights = torch.einsum("l...,lk...->lk", grad, y[row].to(dtype))
        return (grad[token] * of_row).to(y.dtype), of_weights.to(weights.dtype), None, None, None
