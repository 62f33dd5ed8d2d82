"""The kernel of `short_conv`: a program has a chunk of one segment and a block of channels.

Inputs are read where they lie, in up to three parts, and written once, as unit vectors where that
is asked for. What is kept of a segment is one program's more.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.blocks import cdiv, power_of_2
from mom_eval.kernels.chunk_grid import ChunkGrid
from mom_eval.kernels.chunk_grid_triton import chunk_place
from mom_eval.kernels.norm import L2_EPS
from mom_eval.kernels.routing import Joined, Part, Taken, sources

MOST_PARTS = 3
ROWS = tl.constexpr(2048)
"""Numbers of a tile: with 4 warps 16 a thread, so that several programs fit a multiprocessor."""


@triton.jit(do_not_specialize=["N", "places", "own"])
def _convolve(
    x0, x1, x2, sent0, sent1, sent2, token, y0, y1, y2, weight, bias, ring, kept, seen,
    cu_seqlens, first, segment, eps, N, places, own,
    row0, row1, row2, sent_row0, sent_row1, sent_row2,
    D0: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr,
    WIDTH0: tl.constexpr, WIDTH1: tl.constexpr, WIDTH2: tl.constexpr,
    UNIT0: tl.constexpr, UNIT1: tl.constexpr, UNIT2: tl.constexpr,
    TAKE0: tl.constexpr, TAKE1: tl.constexpr, TAKE2: tl.constexpr,
    STRIDE: tl.constexpr, W: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr,
):  # fmt: skip
    """A block of WIDTH of D channels of one part; rows of the parts lie STRIDE times row apart.

    Of a part with TAKE, row r is row token[r] of x. Of the others, the first `own` rows are in x
    and what follows is in sent.
    """
    chunk, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    all_channels: tl.constexpr = D0 + D1 + D2
    blocks0: tl.constexpr = (D0 + WIDTH0 - 1) // WIDTH0
    blocks1: tl.constexpr = (D1 + WIDTH1 - 1) // WIDTH1
    # What is STRIDE times anything is read 16 bytes at a time; Triton looks for 16 times only.
    if block < blocks0:
        _part(
            x0, sent0, token, y0, weight, bias, ring, kept, seen, cu_seqlens, first, segment, eps,
            N, places, own, row0 * STRIDE, sent_row0 * STRIDE, chunk, block * WIDTH0, 0,
            D0, WIDTH0, UNIT0, TAKE0, all_channels, W, BIAS, SILU,
        )  # fmt: skip
    elif block < blocks0 + blocks1:
        _part(
            x1, sent1, token, y1, weight, bias, ring, kept, seen, cu_seqlens, first, segment, eps,
            N, places, own, row1 * STRIDE, sent_row1 * STRIDE, chunk, (block - blocks0) * WIDTH1,
            D0, D1, WIDTH1, UNIT1, TAKE1, all_channels, W, BIAS, SILU,
        )  # fmt: skip
    else:
        _part(
            x2, sent2, token, y2, weight, bias, ring, kept, seen, cu_seqlens, first, segment, eps,
            N, places, own, row2 * STRIDE, sent_row2 * STRIDE, chunk,
            (block - blocks0 - blocks1) * WIDTH2, D0 + D1,
            D2, WIDTH2, UNIT2, TAKE2, all_channels, W, BIAS, SILU,
        )  # fmt: skip


@triton.jit
def _part(
    x, sent, token, y, weight, bias, ring, kept, seen, cu_seqlens, first, segment, eps,
    N, places, own, x_row, sent_row, chunk, block, before_part: tl.constexpr,
    D: tl.constexpr, WIDTH: tl.constexpr, UNIT: tl.constexpr, TAKE: tl.constexpr,
    CHANNELS: tl.constexpr, W: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr,
):  # fmt: skip
    """The channels from `block` on of a part that begins behind `before_part` others."""
    BD: tl.constexpr = triton.next_power_of_2(WIDTH)
    c = tl.arange(0, BD)
    d = block + c
    inside = (c < WIDTH) & (d < D)
    if chunk < places:
        n, start, count = chunk_place(cu_seqlens, first, segment, chunk, N)
        begin, before = tl.load(cu_seqlens + n), tl.load(seen + n)
        past = ring + n * (W * CHANNELS) + before_part + d
        # Read once for all tiles: they lie W apart, so each is a load of its own.
        taps = ()
        for back in tl.static_range(W):
            tap = weight + (before_part + d) * W + (W - 1 - back)
            taps += (tl.load(tap, mask=inside, other=0.0).to(tl.float32),)
        source, row_size, less = _source(x, sent, x_row, sent_row, own, begin, TAKE)
        for sub in range(0, count, ROWS // BD):
            _tile(
                source, token, y, taps, bias + before_part + d, past, eps,
                row_size, begin, less, start + sub, start + count, before, d, inside,
                D, UNIT, TAKE, CHANNELS, W, BIAS, SILU, BD,
            )  # fmt: skip
    else:
        n = chunk - places
        begin, end, before = tl.load(cu_seqlens + n), tl.load(cu_seqlens + n + 1), tl.load(seen + n)
        at = n * (W * CHANNELS) + before_part + d
        source, row_size, less = _source(x, sent, x_row, sent_row, own, begin, TAKE)
        for w in tl.static_range(W):
            # Entry w holds the last x_t with t % W = w.
            place = end - begin - 1 - (before + end - begin - 1 - w + W) % W
            row = begin + place - less
            if TAKE:
                row = tl.load(token + row, mask=place >= 0, other=0)
            value = tl.load(source + row * row_size + d, mask=inside & (place >= 0), other=0.0)
            old = (place < 0) & (before + place >= 0)
            value += tl.load(ring + at + w * CHANNELS, mask=inside & old, other=0.0)
            tl.store(kept + at + w * CHANNELS, value, mask=inside)


@triton.jit
def _source(x, sent, x_row, sent_row, own, begin, TAKE: tl.constexpr):
    """Where the rows of the segment that begins there lie, how long they are, what is before."""
    source, row_size, less = x, x_row, begin * 0
    if not TAKE and begin >= own:
        source, row_size, less = sent, sent_row, begin * 0 + own
    return source, row_size, less


@triton.jit
def _tile(
    x, token, y, taps, bias, ring, eps, x_row, begin, less, start, end, before, d, inside,
    D: tl.constexpr, UNIT: tl.constexpr, TAKE: tl.constexpr, CHANNELS: tl.constexpr,
    W: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Tokens `start` on of a segment, up to `end`; what lies before it is in its ring, or zero."""
    t = start + tl.arange(0, ROWS // BD)
    out = tl.zeros([ROWS // BD, BD], tl.float32)
    for back in tl.static_range(W):
        here, row = (t < end) & (t >= back), begin - less + t - back
        if TAKE:
            row = tl.load(token + row, mask=here, other=0)
        at = row[:, None] * x_row + d[None, :]
        x_b = tl.load(x + at, mask=here[:, None] & inside[None, :], other=0.0)
        out += x_b.to(tl.float32) * taps[back][None, :]
    if (start < W - 1) & (before > 0):
        for back in tl.static_range(1, W):
            time = before + t - back
            here = (t < end) & (t < back) & (time >= 0)
            entry = ring[None, :] + (time % W)[:, None] * CHANNELS
            old = tl.load(entry, mask=here[:, None] & inside[None, :], other=0.0)
            out += old.to(tl.float32) * taps[back][None, :]
    if BIAS:
        out += tl.load(bias, mask=inside, other=0.0).to(tl.float32)[None, :]
    if SILU:
        out = out * tl.sigmoid(out)
    if UNIT:
        out = out * tl.rsqrt(tl.sum(out * out, 1) + eps)[:, None]
    at = (begin + t)[:, None] * D + d[None, :]
    tl.store(y + at, out, mask=(t < end)[:, None] & inside[None, :])


def run_short_conv(
    x: Sequence[Part],
    length: int,
    unit: Sequence[int | None],
    weight: Tensor,
    bias: Tensor | None,
    ring: Tensor,
    seen: Tensor,
    grid: ChunkGrid,
    activation: str | None,
) -> tuple[list[Tensor], Tensor]:
    """`short_conv` of `length` rows, of what it has checked."""
    # A tensor has no rows of its own before the others.
    pairs = [sources(part) for part in x]
    xs, sent = ([_dense(pair[end]) for pair in pairs] for end in (0, -1))
    own = next((len(part.own) for part in x if isinstance(part, Joined)), 0)
    token = next((part.rows.token for part in x if isinstance(part, Taken)), seen)
    seen = seen.contiguous()
    ring, kept = ring.contiguous(), torch.empty_like(ring, memory_format=torch.contiguous_format)
    y = [part.new_empty(length, part.shape[1]) for part in xs]
    stride = 8 if all(part.stride(0) % 8 == 0 for part in (*xs, *sent)) else 1
    absent, blocks = MOST_PARTS - len(x), 0
    meta = {"STRIDE": stride, "W": weight.shape[1], "BIAS": bias is not None}
    for i in range(MOST_PARTS):
        of_part = {"D": 0, "WIDTH": 1, "UNIT": False, "TAKE": False}
        if i < len(x):
            D = xs[i].shape[1]
            of_part = {"D": D, "WIDTH": unit[i] or min(256, power_of_2(D))}
            of_part |= {"UNIT": unit[i] is not None, "TAKE": isinstance(x[i], Taken)}
            blocks += cdiv(D, of_part["WIDTH"])
        meta |= {f"{name}{i}": value for name, value in of_part.items()}
    _convolve[(grid.places + len(ring), blocks)](
        *xs, *[xs[0]] * absent, *sent, *[xs[0]] * absent, token, *y, *[y[0]] * absent,
        weight.contiguous(), weight if bias is None else bias, ring, kept, seen, *grid, L2_EPS,
        len(ring), grid.places, own, *(part.stride(0) // stride for part in xs), *[0] * absent,
        *(part.stride(0) // stride for part in sent), *[0] * absent,
        SILU=activation == "silu", num_warps=4, **meta,
    )  # fmt: skip
    return y, kept


def _dense(x: Tensor) -> Tensor:
    return x if x.stride(1) == 1 else x.contiguous()
