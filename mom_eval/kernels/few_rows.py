"""Products of few rows, as decoding has them: there the weights' way out of memory is all the work.

A library spreads such a product over few of a GPU's multiprocessors, and each kernel around it
costs as much as it: so products of the same rows are one launch with the gate behind them, and of a
single row also with the sum and the norm before them; a product that ends a layer comes in parts,
which the norm behind it sums. Of many rows all are kernels of their own.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.choose import takes_triton
from mom_eval.kernels.norm import add_norm
from mom_eval.kernels.shapes import Axes, compute_dtype
from mom_eval.kernels.swiglu import swiglu

FEW: Final = 64
"""Rows that a program holds at once, at most."""
MOST_WEIGHTS: Final = 2


def few_linear(x: Tensor, weight: Tensor) -> Tensor:
    """X W^T as parts whose sum it is, for `add_norm` to add: x [R, D], weight [O, D] -> [S, R, O].

    In Triton, of 2 to 64 rows, they are float32; else it is one, in the type of the weight.
    Raises ValueError on shapes that do not fit, naming the axis.
    """
    axes = Axes()
    axes.check("x", x, "R D")
    axes.check("weight", weight, "O D")
    few = axes["R"] <= FEW and x.dtype == weight.dtype
    if few and takes_triton("few_linear", "auto", (x, weight)):
        from mom_eval.kernels.few_rows_triton import run_parts

        return run_parts(x, weight)
    return F.linear(x, weight)[None]


def add_norm_linear(
    x: Tensor,
    y: Tensor | None,
    norm: Tensor,
    weights: Sequence[Tensor],
    *,
    eps: float,
    router: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """`add_norm` of two parts of a residual stream, and products of what it gives.

    Args:
        x: [R, D].
        y: [R, D], or parts of it [S, R, D]; none: nothing is added.
        norm: the norm's weight [D].
        weights: one or two, each [O, D].
        eps: of the norm.
        router: [M, D], whose product is not rounded: tokens often tie in bfloat16.

    Returns:
        The sum [R, D], and the products [R, O]; the router's, in float32 at least, is the last.

    Raises:
        ValueError: on shapes that do not fit, naming the axis, or too many weights.
    """
    axes = _checked(x, y, norm)
    every = [*weights, *([] if router is None else [router])]
    for weight in every:
        Axes(D=axes["D"]).check("weight", weight, "O D")
    if not 1 <= len(weights) <= MOST_WEIGHTS:
        raise ValueError(f"{len(weights)} weights are not 1 to {MOST_WEIGHTS}")
    few = axes["R"] <= FEW and len({norm.dtype, *(weight.dtype for weight in every)}) == 1
    if few and takes_triton("add_norm_linear", "auto", (x, y, norm, *every)):
        return _in_triton(x, y, norm, weights, eps, router=router)
    total, normed = add_norm(x, y, norm, eps=eps)
    products = [F.linear(normed, weight) for weight in weights]
    if router is not None:
        dtype = compute_dtype(normed)
        products.append(F.linear(normed.to(dtype), router.to(dtype)))
    return total, products


def add_norm_swiglu(
    x: Tensor, y: Tensor | None, norm: Tensor, weight: Tensor, *, eps: float
) -> tuple[Tensor, Tensor]:
    """`add_norm_linear` of one weight [2 O, D], and `swiglu` of the product: the sum, and [R, O].

    Raises ValueError on shapes that do not fit, naming the axis.
    """
    axes = _checked(x, y, norm)
    Axes(D=axes["D"]).check("weight", weight, "O D")
    few = axes["R"] <= FEW and norm.dtype == weight.dtype
    if few and takes_triton("add_norm_swiglu", "auto", (x, y, norm, weight)):
        total, out = _in_triton(x, y, norm, [weight], eps, gated=True)
        return total, out[0]
    total, normed = add_norm(x, y, norm, eps=eps)
    return total, swiglu(F.linear(normed, weight))


def _checked(x: Tensor, y: Tensor | None, norm: Tensor) -> Axes:
    axes = Axes()
    axes.check("x", x, "R D")
    if y is not None:
        axes.check("y", y, "S R D" if y.ndim == 3 else "R D")
    axes.check("norm", norm, "D")
    return axes


def _in_triton(
    x: Tensor, y: Tensor | None, norm: Tensor, weights: Sequence[Tensor], eps: float, **how: Any
) -> tuple[Tensor, list[Tensor]]:
    """The sum, and products of its norm: of one row all in one kernel."""
    from mom_eval.kernels.few_rows_triton import run_products

    if len(x) == 1 and (y is None or y.ndim == 2 or len(y) == 1):
        y = y if y is None else y.reshape(1, -1)
        return run_products(x, weights, y=y, norm=norm, eps=eps, **how)
    total, normed = add_norm(x, y, norm, eps=eps)
    return total, run_products(normed, weights, **how)[1]
