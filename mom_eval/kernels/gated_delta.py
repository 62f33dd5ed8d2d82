"""The recurrence that every linear family here is, with gates present or absent.

    S <- exp(g) * S            decay: g <= 0, none, one a head, or one a key channel
    u  = beta * (v - S^T k)    delta write; without the delta rule: u = v
    S <- S + k u^T             S: [K, V], float32
    o  = scale * S^T q

Linear attention (arXiv 2006.16236) has no g and no beta; RetNet (2307.08621) a constant g a head;
Mamba-2 (2405.21060) a g a head, v = dt x and scale 1; GLA (2312.06635) and HGRN2 (2404.07904) a g a
channel; DeltaNet (2406.06484) a beta; Gated DeltaNet (2412.06464) a g a head and a beta; KDA
(2510.26692) a g a channel and a beta.
"""

from typing import Final

import torch
from torch import Tensor

from mom_eval.kernels.choose import takes_triton, wants_gradient
from mom_eval.kernels.chunk_grid import ChunkGrid
from mom_eval.kernels.gated_delta_torch import chunked, recurrent
from mom_eval.kernels.shapes import (
    Axes,
    checked_segments,
    checked_state,
    chosen,
    compute_dtype,
    segment_bounds,
)

IMPLEMENTATIONS: Final = {"auto": chunked, "chunked": chunked, "recurrent": recurrent}
MAX_K_BACKWARD: Final = 256
"""The largest K of which the Triton kernels have gradients in half precision: above, one of them
needs more shared memory than there is."""
MAX_K_BACKWARD_32: Final = 128
"""The same in float32: above, they are wrong on Hopper (docs/performance.md)."""
MAX_K: Final = 512
"""The largest K whose state a Triton program can hold, beside its operands in shared memory."""


def gated_delta(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    g: Tensor | None = None,
    beta: Tensor | None = None,
    scale: float | None = None,
    state: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    grid: ChunkGrid | None = None,
    impl: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Run the recurrence over every segment of a packed stream.

    Args:
        q: [L, H, K].
        k: [L, H, K]; value head h reads key head h // (HV / H).
        v: values [L, HV, V], HV a multiple of H.
        g: natural logarithm of the decay, finite and at most 0: none, [L, HV] or [L, HV, K].
        beta: writing strength [L, HV]; given exactly where the delta rule is wanted.
        scale: of the output, K^-0.5 unless told.
        state: [N, HV, K, V] before the first token, zero unless told; float64 where v is, else
            float32.
        cu_seqlens: [N + 1] int64 ends of the segments, one segment unless told; they may be empty.
        grid: `chunk_grid` of these segments, where the caller has it; made where it is needed.
        impl: "recurrent", the truth, a loop over the tokens; "chunked", fast in torch; "triton", on
            a GPU; "auto" as `kernels.choose` has it.

    Returns:
        o [L, HV, V] in the type of v, and the states after the last tokens [N, HV, K, V]. No
        argument is written to, and the state does not alias the one given.

    Raises:
        ValueError: on shapes that do not fit, naming the axis, or on an unknown `impl`.
        SettingError: the Triton kernel is asked for and cannot run.
    """
    segments = checked_segments(cu_seqlens, len(q), q.device)
    axes = checked(q, k, v, g, beta, len(segments) - 1)
    if state is not None:
        state = checked_state(state, axes, "N HV K V", v)
    scale = float(axes["K"] ** -0.5 if scale is None else scale)
    given = (v, q, k, g, beta, state)
    limit = too_wide(axes["K"], most_keys(q.dtype) if wants_gradient(given) else MAX_K)
    if takes_triton("gated_delta", impl, given, limit, backward=True):
        from mom_eval.kernels.gated_delta_backward import run_gated_delta

        return run_gated_delta(q, k, v, g, beta, scale, state, segments, grid)
    run = chosen("impl", impl, IMPLEMENTATIONS)
    state = checked_state(state, axes, "N HV K V", v)
    dtype, heads = compute_dtype(v), axes["HV"] // axes["H"]
    if heads > 1:
        q, k = (x.repeat_interleave(heads, dim=1) for x in (q, k))
    # No decay is a decay by exp(0), which leaves every bit of the state as it is.
    g = v.new_zeros(len(v), 1) if g is None else g
    gates = (g if g.ndim == 3 else g[..., None]).to(dtype)
    strength = None if beta is None else beta[..., None].to(dtype)
    bounds = segment_bounds(segments, len(v))
    o, state = run(q.to(dtype), k.to(dtype), v.to(dtype), gates, strength, scale, state, bounds)
    return o.to(v.dtype), state


def most_keys(dtype: torch.dtype) -> int:
    """The largest K of which the Triton kernels have gradients in a type."""
    return MAX_K_BACKWARD if dtype.itemsize == 2 else MAX_K_BACKWARD_32


def too_wide(K: int, most: int = MAX_K) -> str | None:
    """What keeps a Triton kernel from a state of K rows, None if nothing does."""
    where = "" if most == MAX_K else " where a gradient is asked for"
    where += " in float32" if most == MAX_K_BACKWARD_32 else ""
    return f"K = {K} is more than {most}{where}" if most < K else None


def checked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor | None,
    beta: Tensor | None,
    segments: int,
) -> Axes:
    """The sizes of the axes; ValueError, naming the axis, where they do not fit each other."""
    axes = Axes(N=segments)
    axes.check("q", q, "L H K")
    axes.check("k", k, "L H K")
    axes.check("v", v, "L HV V")
    if axes["HV"] % axes["H"]:
        raise ValueError(
            f"axis HV of v must be a multiple of H = {axes['H']}, but it is {axes['HV']}"
        )
    if g is not None:
        axes.check("g", g, "L HV" if g.ndim == 2 else "L HV K")
    if beta is not None:
        axes.check("beta", beta, "L HV")
    return axes
