"""What memories read, summed and normalised a head: the way out of a Mixture-of-Memories."""

from torch import Tensor

from mom_eval.kernels.choose import takes_triton
from mom_eval.kernels.norm import ACTIVATIONS, rms_norm
from mom_eval.kernels.routing import Rows, check_rows, combine
from mom_eval.kernels.shapes import Axes, chosen


def combine_norm(
    y: Tensor,
    weights: Tensor,
    rows: Rows | None,
    onto: Tensor | None,
    weight: Tensor | None,
    *,
    eps: float,
    gate: Tensor | None = None,
    activation: str = "silu",
) -> Tensor:
    """`rms_norm` of what `combine` gives, of y [R, HV, V] -> [L, HV, V]; see there for arguments.

    In Triton not rounded in between. Raises ValueError where one of the two does.
    """
    chosen("activation", activation, ACTIVATIONS)
    given, axes = (y, weights, onto, weight, gate), Axes()
    for name, x, names in (
        ("y", y, "R HV V"),
        ("weights", weights, "L k"),
        ("onto", onto, "L HV V"),
        ("weight", weight, "V"),
        ("gate", gate, "L HV V"),
    ):
        if x is not None:
            axes.check(name, x, names)
    check_rows(y, weights, rows, onto)
    if takes_triton("combine_norm", "auto", given, backward=True):
        from mom_eval.kernels.combine_backward import differentiable_combine_norm

        row, own = (None, False) if rows is None else (rows.row, rows.own > 0)
        return differentiable_combine_norm(
            y, weights, row, onto, weight, gate, eps, activation, own
        )
    o = combine(y, weights, rows, onto)
    return rms_norm(o, weight, eps=eps, gate=gate, activation=activation)
