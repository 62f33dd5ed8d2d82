"""Decoding: one more token of many sequences, whose states lie in slots and change in place.

What `gated_delta`, `gated_slot` and `short_conv` do for a segment of one token, without a copy of
any state: row r is one more token of slot `slots[r]`, and no slot is named twice. A negative slot,
counted from the end as everywhere, is nobody's: what it holds and what is returned for it means
nothing, and several rows may name it. Nothing here waits for a GPU, so a step of a whole model can
be one CUDA graph.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.choose import takes_triton
from mom_eval.kernels.gated_delta import checked, too_wide
from mom_eval.kernels.gated_slot import NO_KERNEL
from mom_eval.kernels.shapes import Axes, compute_dtype


def gated_delta_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    state: Tensor,
    slots: Tensor,
    g: Tensor | None = None,
    beta: Tensor | None = None,
    scale: float | None = None,
    impl: str = "auto",
) -> Tensor:
    """One token of the recurrence of `gated_delta` a row: the reads o [R, HV, V].

    Args:
        q: [R, H, K]; k, v, g, beta and scale as `gated_delta` takes them, a row a token.
        k: [R, H, K].
        v: [R, HV, V].
        state: [S, HV, K, V], contiguous; float64 where v is, else float32. Changed.
        slots: [R] int64.
        g: none, [R, HV] or [R, HV, K].
        beta: [R, HV].
        scale: K^-0.5 unless told.
        impl: "torch", "triton", or "auto" as `kernels.choose` has it.

    Raises:
        ValueError: on shapes that do not fit, naming the axis.
        SettingError: the Triton kernel is asked for and cannot run.
    """
    axes = checked(q, k, v, g, beta, len(state))
    _check_state(state, axes, "N HV K V", v)
    scale = float(axes["K"] ** -0.5 if scale is None else scale)
    given = (v, q, k, g, beta, state, slots)
    if takes_triton("gated_delta_step", impl, given, too_wide(axes["K"])):
        from mom_eval.kernels.step_triton import run_step

        return run_step(q, k, v, g, beta, scale, state, slots)
    dtype, heads = compute_dtype(v), axes["HV"] // axes["H"]
    q, k = (x.to(dtype).repeat_interleave(heads, 1)[..., None] for x in (q, k))
    S = state[slots]
    if g is not None:
        S = S * g.to(dtype).exp()[(..., None) if g.ndim == 3 else (..., None, None)]
    u = v.to(dtype)
    if beta is not None:
        u = beta.to(dtype)[..., None] * (u - (S * k).sum(2))
    S = S + k * u[:, :, None]
    state[slots] = S
    return (scale * (S * q).sum(2)).to(v.dtype)


def gated_slot_step(
    q: Tensor, k: Tensor, s: Tensor, *, g: Tensor, state: Tensor, slots: Tensor, scale: float = 1.0
) -> Tensor:
    """One token of `gated_slot` a row: q, k [R, H, K], s, g [R, H, M], state [S, H, K, M].

    Returns the reads [R, H, M]. Raises ValueError on shapes that do not fit, naming the axis.
    """
    axes = Axes(N=len(state))
    axes.check("q", q, "R H K")
    axes.check("k", k, "R H K")
    axes.check("s", s, "R H M")
    axes.check("g", g, "R H M")
    _check_state(state, axes, "N H K M", s)
    takes_triton("gated_slot_step", "auto", (s, state), NO_KERNEL)
    dtype = compute_dtype(s)
    S = state[slots] * g.to(dtype).exp()[:, :, None]
    S = S + k.to(dtype)[..., None] * s.to(dtype)[:, :, None]
    state[slots] = S
    return (scale * (S * q.to(dtype)[..., None]).sum(2)).to(s.dtype)


def short_conv_step(
    x: Tensor,
    weight: Tensor,
    *,
    ring: Tensor,
    times: Tensor,
    slots: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
    impl: str = "auto",
) -> Tensor:
    """One token of `short_conv` a row: y [R, D].

    Args:
        x: [R, D].
        weight: [D, W].
        ring: [S, W, D] in the type of x, contiguous. Changed.
        times: [R] int64, tokens of each row's slot before this one.
        slots: [R] int64.
        bias: [D].
        activation: "silu" or none.
        impl: "torch", "triton", or "auto" as `kernels.choose` has it.

    Raises:
        ValueError: on shapes that do not fit, naming the axis.
        SettingError: the Triton kernel is asked for and cannot run.
    """
    axes = Axes()
    for name, tensor, names in (
        ("x", x, "R D"),
        ("weight", weight, "D W"),
        ("ring", ring, "S W D"),
        ("times", times, "R"),
        ("slots", slots, "R"),
    ):
        axes.check(name, tensor, names)
    if takes_triton("short_conv_step", impl, (x, weight, bias, ring)):
        from mom_eval.kernels.step_triton import run_conv_step

        return run_conv_step(x, weight, bias, ring, times, slots, activation)
    taps, dtype = axes["W"], compute_dtype(x)
    ring[slots, times % taps] = x
    # The W inputs that end with this one, those of before the start absent.
    when = times[:, None] - torch.arange(taps - 1, -1, -1, device=x.device)
    past = ring[slots[:, None], when % taps].to(dtype) * (when >= 0)[..., None]
    y = torch.einsum("rwd,dw->rd", past, weight.to(dtype))
    y = y if bias is None else y + bias
    return (F.silu(y) if activation == "silu" else y).to(x.dtype)


def _check_state(state: Tensor, axes: Axes, names: str, x: Tensor) -> None:
    axes.check("state", state, names)
    if state.dtype != compute_dtype(x) or not state.is_contiguous():
        raise ValueError(f"state must be contiguous and {compute_dtype(x)}, it is {state.dtype}")
