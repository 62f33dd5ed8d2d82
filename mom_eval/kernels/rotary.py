"""Rotary positions (RoFormer, arXiv 2104.09864, eq. 34), halves rotated against each other.

x1, x2 = the halves of x;  a_i = position * theta^(-i / (K / 2))
rotary(x) = [x1 cos a - x2 sin a, x2 cos a + x1 sin a]

The sines and cosines are made once a call of the model (`rotations`) and read by every layer.
"""

import torch
from torch import Tensor

from mom_eval.kernels.choose import takes_triton, wants_gradient
from mom_eval.kernels.shapes import Axes


def rotations(
    positions: Tensor,
    width: int,
    theta: float = 10_000.0,
    *,
    dtype: torch.dtype = torch.float32,
    impl: str = "auto",
) -> Tensor:
    """Cos a and sin a of some positions: [L, 2, K / 2].

    The angles are float64 whatever the type: in float32 that of position 100,000 would be off by
    0.004.

    Args:
        positions: [L] int64.
        width: K of what is to be rotated.
        theta: base of the frequencies.
        dtype: of the result.
        impl: "torch", "triton", or "auto" as `kernels.choose` has it.

    Raises:
        ValueError: K is odd.
        SettingError: the Triton kernel is asked for and cannot run.
    """
    Axes().check("positions", positions, "L")
    _check_even(width)
    limit = "it knows no float64" if dtype == torch.float64 else None
    if takes_triton("rotations", impl, (positions,), limit):
        from mom_eval.kernels.rotary_triton import run_rotations

        return run_rotations(positions, width, theta, dtype)
    half = width // 2
    steps = torch.arange(half, dtype=torch.float64, device=positions.device) / half
    angles = positions.double()[:, None] * theta**-steps
    return torch.stack([angles.cos(), angles.sin()], 1).to(dtype)


def rotary(x: Tensor, turns: Tensor, *, impl: str = "auto") -> Tensor:
    """Rotate x [L, H, K] by what `rotations` made of the positions, [L, 2, K / 2].

    Computed in float32 at least and rounded once, to the type of x. Raises ValueError on shapes
    that do not fit and on an odd K, SettingError where the Triton kernel is asked for and cannot
    run.
    """
    axes = Axes()
    axes.check("x", x, "L H K")
    _check_turns(turns, axes)
    limit = "it has no gradient of turns" if wants_gradient((turns,)) else None
    if takes_triton("rotary", impl, (x, turns), limit, backward=True):
        from mom_eval.kernels.rotary_backward import differentiable_rotary

        return differentiable_rotary(x, turns)
    return _rotated(x, turns)


def rotary_append(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    turns: Tensor,
    *,
    keys: Tensor,
    values: Tensor,
    slots: Tensor,
    positions: Tensor,
    impl: str = "auto",
) -> Tensor:
    """Rotate queries and keys, and write keys and values where their slots hold them.

    Args:
        q: [L, H, K].
        k: [L, Hkv, K], rotated and written to keys[slots, positions].
        v: [L, Hkv, K], written to values[slots, positions].
        turns: [L, 2, K / 2], what `rotations` made of the positions.
        keys: [S, C, Hkv, K], contiguous. Changed.
        values: [S, C, Hkv, K], contiguous. Changed.
        slots: [L] int64; slot -1 is nobody's, and the last slot then must be nobody's too.
        positions: [L] int64, below C; no place twice.
        impl: "torch", "triton", or "auto" as `kernels.choose` has it.

    Returns:
        The rotated queries [L, H, K].

    Raises:
        ValueError: on shapes that do not fit, naming the axis, and on an odd K.
        SettingError: the Triton kernel is asked for and cannot run.
    """
    axes = Axes()
    axes.check("q", q, "L H K")
    axes.check("k", k, "L Hkv K")
    axes.check("v", v, "L Hkv K")
    axes.check("keys", keys, "S C Hkv K")
    axes.check("values", values, "S C Hkv K")
    axes.check("slots", slots, "L")
    axes.check("positions", positions, "L")
    _check_turns(turns, axes)
    if takes_triton("rotary_append", impl, (q, k, v, turns, keys, values)):
        from mom_eval.kernels.rotary_triton import run_rotary_append

        return run_rotary_append(q, k, v, turns, keys, values, slots, positions)
    keys[slots, positions] = _rotated(k, turns)
    values[slots, positions] = v
    return _rotated(q, turns)


def _rotated(x: Tensor, turns: Tensor) -> Tensor:
    dtype = torch.promote_types(x.dtype, turns.dtype)
    cos, sin = turns.to(dtype)[:, None].unbind(2)
    x1, x2 = x.to(dtype).chunk(2, -1)
    return torch.cat([x1 * cos - x2 * sin, x2 * cos + x1 * sin], -1).to(x.dtype)


def _check_turns(turns: Tensor, axes: Axes) -> None:
    _check_even(axes["K"])
    Axes(L=axes["L"], half=axes["K"] // 2, two=2).check("turns", turns, "L two half")


def _check_even(width: int) -> None:
    if width % 2:
        raise ValueError(f"axis K of what is rotated must be even, but it is {width}")
