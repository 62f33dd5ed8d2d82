"""The kernel of `short_conv`: a program has a chunk of one segment and a block of channels.

Inputs are read where they lie, in up to three parts, and written once, as unit vectors where that
is asked for. What is kept of a segment is one program's more.
"""

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from mom_eval.kernels.chunk_grid import ChunkGrid
from mom_eval.kernels.chunk_grid_triton import chunk_place
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.norm import L2_EPS
from mom_eval.kernels.routing import Part
from mom_eval.kernels.short_conv_inputs import every_part, kernel_inputs

TILE = tl.constexpr(1024)
"""Numbers of a tile: with 4 warps 8 a thread, which are 16 bytes of a half-precision type."""


@kernel("N", "places", "own", "past")
def _convolve(
    x0, x1, x2, sent0, sent1, sent2, token, y0, y1, y2, weight, bias, ring, kept, seen,
    cu_seqlens, first, segment, eps, N, places, own, past,
    row0, row1, row2, sent_row0, sent_row1, sent_row2,
    D0: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr,
    WIDTH0: tl.constexpr, WIDTH1: tl.constexpr, WIDTH2: tl.constexpr,
    UNIT0: tl.constexpr, UNIT1: tl.constexpr, UNIT2: tl.constexpr,
    TAKE0: tl.constexpr, TAKE1: tl.constexpr, TAKE2: tl.constexpr, BD: tl.constexpr,
    STRIDE: tl.constexpr, W: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr,
):  # fmt: skip
    """A block of WIDTH of D channels of one part; rows of the parts lie STRIDE times row apart.

    Of a part with TAKE, row r is row token[r] of x. Of the others, the first `own` rows are in x
    and what follows is in sent. The part is picked by selects, not branches: code for each of them
    takes three times as long to compile.
    """
    chunk, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    second, third, begin, before_part, D, width, unit, take = part_of(
        block, D0, D1, D2, WIDTH0, WIDTH1, WIDTH2, UNIT0, UNIT1, UNIT2, TAKE0, TAKE1, TAKE2
    )
    # What is STRIDE times anything is read 16 bytes at a time; Triton looks for 16 times only.
    _part(
        pick(second, third, x0, x1, x2), pick(second, third, sent0, sent1, sent2), token,
        pick(second, third, y0, y1, y2), weight, bias, ring, kept, seen, cu_seqlens, first,
        segment, eps, N, places, own, past, pick(second, third, row0, row1, row2) * STRIDE,
        pick(second, third, sent_row0, sent_row1, sent_row2) * STRIDE, chunk, begin,
        before_part, D, width, unit, take,
        UNIT0 + UNIT1 + UNIT2, TAKE0 + TAKE1 + TAKE2, D0 + D1 + D2, W, BIAS, SILU, BD,
    )  # fmt: skip


@triton.jit
def part_of(
    block, D0: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr,
    WIDTH0: tl.constexpr, WIDTH1: tl.constexpr, WIDTH2: tl.constexpr,
    UNIT0: tl.constexpr, UNIT1: tl.constexpr, UNIT2: tl.constexpr,
    TAKE0: tl.constexpr, TAKE1: tl.constexpr, TAKE2: tl.constexpr,
):  # fmt: skip
    """Which part a block is of, as `pick` wants it, and where in it the block begins.

    Then the channels before the part, its own, those of a block, and whether the part has unit
    vectors and is taken.
    """
    blocks0: tl.constexpr = (D0 + WIDTH0 - 1) // WIDTH0
    blocks1: tl.constexpr = blocks0 + (D1 + WIDTH1 - 1) // WIDTH1
    second, third = block >= blocks0, block >= blocks1
    width = pick(second, third, WIDTH0, WIDTH1, WIDTH2)
    begin = (block - pick(second, third, 0, blocks0, blocks1)) * width
    before_part, D = pick(second, third, 0, D0, D0 + D1), pick(second, third, D0, D1, D2)
    unit = pick(second, third, UNIT0, UNIT1, UNIT2) != 0
    take = pick(second, third, TAKE0, TAKE1, TAKE2) != 0
    return second, third, begin, before_part, D, width, unit, take


@triton.jit
def pick(second, third, x0, x1, x2):
    """What is the part's, of what is the three parts'."""
    return tl.where(third, x2, tl.where(second, x1, x0))


@triton.jit
def _part(
    x, sent, token, y, weight, bias, ring, kept, seen, cu_seqlens, first, segment, eps,
    N, places, own, past, x_row, sent_row, chunk, block, before_part, D, width, unit, take,
    UNIT: tl.constexpr, TAKE: tl.constexpr, CHANNELS: tl.constexpr,
    W: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """The channels from `block` on of a part that begins behind `before_part` others.

    With UNIT some part has unit vectors, and with TAKE some part is taken.
    """
    c = tl.arange(0, BD)
    d = block + c
    inside = (c < width) & (d < D)
    if chunk < places:
        # All taps at once, under way while the chunk's place is looked up.
        tap = load_taps(weight, before_part + d, inside, W)
        n, start, count = chunk_place(cu_seqlens, first, segment, chunk, N)
        begin, before = tl.load(cu_seqlens + n), tl.load(seen + n, mask=past != 0, other=0)
        earlier = ring + n * (W * CHANNELS) + before_part + d
        source, row_size, less = source_of(x, sent, x_row, sent_row, own, begin, take)
        _walk(
            source, token, y, tap, bias + before_part + d, earlier, eps,
            row_size, begin - less + start, begin + start, start, count.to(tl.int32), before,
            d, inside, D, unit, take, UNIT, TAKE, CHANNELS, W, BIAS, SILU, BD,
        )  # fmt: skip
    else:
        n = chunk - places
        begin, end = tl.load(cu_seqlens + n), tl.load(cu_seqlens + n + 1)
        before = tl.load(seen + n, mask=past != 0, other=0)
        at = n * (W * CHANNELS) + before_part + d
        source, row_size, less = source_of(x, sent, x_row, sent_row, own, begin, take)
        for w in tl.static_range(W):
            # Entry w holds the last x_t with t % W = w.
            place = end - begin - 1 - (before + end - begin - 1 - w + W) % W
            row = begin + place - less
            if TAKE:
                row = _taken(token, row, place >= 0, take)
            value = tl.load(source + row * row_size + d, mask=inside & (place >= 0), other=0.0)
            old = (place < 0) & (before + place >= 0)
            value += tl.load(ring + at + w * CHANNELS, mask=inside & old, other=0.0)
            tl.store(kept + at + w * CHANNELS, value, mask=inside)


@triton.jit
def load_taps(weight, channel, inside, W: tl.constexpr):
    """The weights of some channels, a row a tap."""
    column = tl.arange(0, triton.next_power_of_2(W))[:, None]
    at = weight + channel[None, :] * W + column
    return tl.load(at, mask=(column < W) & inside[None, :], other=0.0).to(tl.float32)


@triton.jit
def taps_of(tap, W: tl.constexpr):
    """The rows of those weights, that of the newest input first."""
    column, taps = tl.arange(0, triton.next_power_of_2(W))[:, None], ()
    for back in tl.static_range(W):
        taps += (tl.sum(tl.where(column == W - 1 - back, tap, 0.0), 0)[None, :],)
    return taps


@triton.jit
def source_of(x, sent, x_row, sent_row, own, begin, take):
    """Where the rows of the segment that begins there lie, how long they are, what is before."""
    is_sent = (begin >= own) & ~take
    row_size = tl.where(is_sent, sent_row, x_row)
    return tl.where(is_sent, sent, x), row_size, tl.where(is_sent, own, 0)


@triton.jit
def _taken(token, row, here, take):
    """The rows of x that rows are: their tokens, where the part is taken."""
    return tl.where(take, tl.load(token + row, mask=here & take, other=0), row)


@triton.jit
def _walk(
    x, token, y, tap, bias, ring, eps, x_row, row, place, start, count, before, d, inside,
    D, unit, take, UNIT: tl.constexpr, TAKE: tl.constexpr, CHANNELS: tl.constexpr,
    W: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """The `count` tokens of a segment from `start` on, a share of them a row of the tile.

    They begin at row `row` of x or token, and at row `place` of y. A row of the tile goes through
    its share and keeps the last W - 1 inputs, so that each is read once, and those of several
    tokens together, so that one wait is for all of them.
    """
    SHARES: tl.constexpr = TILE // BD if BD < TILE else 1
    AT_ONCE: tl.constexpr = 4 if SHARES <= 16 else (2 if SHARES == 32 else 1)
    share = (count + SHARES * AT_ONCE - 1) // (SHARES * AT_ONCE) * AT_ONCE
    token += row
    x += tl.where(take, 0, row) * x_row
    y += place * D
    # Counted from here on, which takes half the registers of places in the whole stream.
    s = tl.arange(0, SHARES) * share
    some, t = s < count, tl.minimum(start, W).to(tl.int32) + s
    x_t = ()
    for back in tl.static_range(W - 1, 0, -1):
        earlier = row_at(x, token, s - back, some & (t >= back), x_row, d, inside, take, TAKE)
        x_t += (earlier.to(tl.float32),)
    # Always a group ahead: what is read arrives while the last one is worked on.
    end = tl.minimum(s + share, count)
    ahead = rows_at(x, token, s, end, x_row, d, inside, take, TAKE, AT_ONCE)
    taps = taps_of(tap, W)
    if BIAS:
        bias = tl.load(bias, mask=inside, other=0.0).to(tl.float32)[None, :]
    if (start < W - 1) & (before > 0):
        x_t = with_ring(x_t, ring, t, some, before, inside, CHANNELS, W)
    for first in range(0, share, AT_ONCE):
        for i in tl.static_range(AT_ONCE):
            x_t += (ahead[i].to(tl.float32),)
        ahead = rows_at(x, token, s + (first + AT_ONCE), end, x_row, d, inside, take, TAKE, AT_ONCE)
        for i in tl.static_range(AT_ONCE):
            out = tl.zeros([SHARES, BD], tl.float32)
            for back in tl.static_range(W):
                out += x_t[W - 1 + i - back] * taps[back]
            if BIAS:
                out += bias
            if SILU:
                out = _silu(out)
            if UNIT:
                size = tl.rsqrt(tl.sum(out * out, 1) + eps)
                out = out * tl.where(unit, size, 1.0)[:, None]
            at = s + first + i
            mask = (at < count)[:, None] & inside[None, :]
            tl.store(y + at[:, None] * D + d[None, :], out, mask=mask)
        x_t = x_t[AT_ONCE:]


@triton.jit
def _silu(x):
    """As x / (1 + exp(-x)), in half the instructions: a square of a root, and a power of 2."""
    root = tl.rsqrt(1 + tl.exp2(x * -1.4426950408889634))
    return x * root * root


@triton.jit
def rows_at(x, token, at, end, x_row, d, inside, take, TAKE: tl.constexpr, AT_ONCE: tl.constexpr):
    """Rows of x that follow one another, AT_ONCE for each row of the tile."""
    found = ()
    for i in tl.static_range(AT_ONCE):
        found += (row_at(x, token, at + i, at + i < end, x_row, d, inside, take, TAKE),)
    return found


@triton.jit
def row_at(x, token, row, here, x_row, d, inside, take, TAKE: tl.constexpr):
    """A row of x for each row of the tile that is here."""
    if TAKE:
        row = _taken(token, row, here, take)
    at = row[:, None] * x_row + d[None, :]
    return tl.load(x + at, mask=here[:, None] & inside[None, :], other=0.0)


@triton.jit
def with_ring(x_t, ring, t, here, before, inside, CHANNELS: tl.constexpr, W: tl.constexpr):
    """The W - 1 inputs before token t, with those of before the segment's begin from its ring."""
    whole = ()
    for back in tl.static_range(W - 1, 0, -1):
        time = before + t - back
        old = here & (t < back) & (time >= 0)
        entry = ring[None, :] + (time % W)[:, None] * CHANNELS
        x_b = tl.load(entry, mask=old[:, None] & inside[None, :], other=0.0)
        whole += (x_t[W - 1 - back] + x_b.to(tl.float32),)
    return whole


def convolved_triton(
    x: Sequence[Part],
    length: int,
    unit: Sequence[int | None],
    weight: Tensor,
    bias: Tensor | None,
    ring: Tensor | None,
    seen: Tensor | None,
    grid: ChunkGrid,
    activation: str | None,
) -> tuple[list[Tensor], Tensor]:
    """`short_conv` of `length` rows, of what it has checked; without a ring nothing came before."""
    given, N, past = kernel_inputs(x, unit, grid), grid.cu_seqlens.shape[0] - 1, ring is not None
    kept = given.x[0].new_empty(N, weight.shape[1], weight.shape[0])
    ring, seen = (kept if ring is None else ring), (grid.first if seen is None else seen)
    y = [part.new_empty(length, part.shape[1]) for part in given.x[: len(x)]]
    _convolve[(grid.places + N, given.blocks)](
        *given.x, *given.sent, given.token, *every_part(y),
        weight.contiguous(), weight if bias is None else bias.contiguous(), ring.contiguous(), kept,
        seen.contiguous(), *grid, L2_EPS, N, grid.places, given.own, int(past), *given.row_sizes,
        W=weight.shape[1], BIAS=bias is not None, SILU=activation == "silu", num_warps=4,
        **given.meta,
    )  # fmt: skip
    return y, kept
