"""The gradients of `short_conv`: a program has a run of one segment and a block of channels.

With d_t the gradient of the weighted sum of token t, before its activation and its unit vectors,

    dx_t = sum over b of weight_(W - 1 - b) d_(t + b)     b from 0 to W - 1, within the segment
    dweight_w = sum over t of d_t x_(t - W + 1 + w)       dbias = sum over t of d_t

A program makes anew what the forward pass made, and goes W - 1 tokens past its run for the first
sum. The others are over its run; what runs say is added in torch, in one order.
"""

import triton
import triton.language as tl

from mom_eval.kernels.chunk_grid_triton import chunk_place
from mom_eval.kernels.launch import kernel
from mom_eval.kernels.short_conv_triton import (
    TILE,
    load_taps,
    part_of,
    pick,
    row_at,
    rows_at,
    source_of,
    taps_of,
    with_ring,
)

RUN = tl.constexpr(256)
"""Tokens of a run: its sums are a thirtieth of its inputs then."""


@kernel("N", "own", "past")
def conv_grad(
    x0, x1, x2, sent0, sent1, sent2, token, dy0, dy1, dy2, dx0, dx1, dx2, weight, bias, ring, seen,
    dkept, dring, sums, cu_seqlens, first, segment, eps, N, own, past,
    row0, row1, row2, sent_row0, sent_row1, sent_row2,
    D0: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr,
    WIDTH0: tl.constexpr, WIDTH1: tl.constexpr, WIDTH2: tl.constexpr,
    UNIT0: tl.constexpr, UNIT1: tl.constexpr, UNIT2: tl.constexpr,
    TAKE0: tl.constexpr, TAKE1: tl.constexpr, TAKE2: tl.constexpr, BD: tl.constexpr,
    STRIDE: tl.constexpr, W: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr,
    KEPT: tl.constexpr, RING: tl.constexpr,
):  # fmt: skip
    """Of every row of x, in dx; see `_convolve` for the parts.

    Of weight and bias `sums` [runs, W + BIAS, channels]. With KEPT the gradient of what is kept is
    given, and with RING what is read of the ring has one.
    """
    run, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    second, third, at, before_part, D, width, unit, take = part_of(
        block, D0, D1, D2, WIDTH0, WIDTH1, WIDTH2, UNIT0, UNIT1, UNIT2, TAKE0, TAKE1, TAKE2
    )
    CHANNELS: tl.constexpr = D0 + D1 + D2
    c = tl.arange(0, BD)
    d, channel = at + c, before_part + at + c
    inside = (c < width) & (d < D)
    tap = load_taps(weight, channel, inside, W)
    n, start, count = chunk_place(cu_seqlens, first, segment, run, N, RUN)
    begin, end = tl.load(cu_seqlens + n), tl.load(cu_seqlens + n + 1)
    before = tl.load(seen + n, mask=past != 0, other=0)
    x, x_row, less = source_of(
        pick(second, third, x0, x1, x2), pick(second, third, sent0, sent1, sent2),
        pick(second, third, row0, row1, row2) * STRIDE,
        pick(second, third, sent_row0, sent_row1, sent_row2) * STRIDE, own, begin, take,
    )  # fmt: skip
    row, place = begin - less + start, (begin + start) * D
    x += tl.where(take, 0, row) * x_row
    entry = n * (W * CHANNELS) + channel
    # Counted from the run's begin on; no more is asked of the rest than whether it is near.
    rest = tl.minimum(end - begin - start, 2 * RUN).to(tl.int32)
    found = _walk(
        x, token + row, pick(second, third, dy0, dy1, dy2) + place,
        pick(second, third, dx0, dx1, dx2) + place, tap, bias + channel, ring + entry,
        dkept + entry, dring + entry, eps, x_row, start, count.to(tl.int32), rest, before,
        d, inside, D, unit, take, UNIT0 + UNIT1 + UNIT2, TAKE0 + TAKE1 + TAKE2, CHANNELS, W, BIAS,
        SILU, KEPT, RING, BD,
    )  # fmt: skip
    for w in tl.static_range(W + BIAS):
        line = sums + (run * (W + BIAS) + w) * CHANNELS
        tl.store(line + channel, tl.sum(found[w], 0), mask=inside)


@triton.jit
def _walk(
    x, token, dy, dx, tap, bias, ring, dkept, dring, eps, x_row, start, count, rest, before,
    d, inside, D, unit, take, UNIT: tl.constexpr, TAKE: tl.constexpr, CHANNELS: tl.constexpr,
    W: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr, KEPT: tl.constexpr,
    RING: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """The `count` tokens of a run, a share of them a row of the tile, as in the forward pass.

    Returns for each weight, then for the bias, the sums of each share. `rest` is the tokens to the
    segment's end.
    """
    SHARES: tl.constexpr = TILE // BD if BD < TILE else 1
    AT_ONCE: tl.constexpr = 2
    share = (count + SHARES - 1) // SHARES
    s = tl.arange(0, SHARES) * share
    some, t = s < count, tl.minimum(start, W).to(tl.int32) + s
    end = tl.minimum(s + share, count)
    until = tl.where(some, tl.minimum(end + (W - 1), rest), 0)
    x_t, d_t, found = (), (), ()
    for back in tl.static_range(W - 1, 0, -1):
        earlier = row_at(x, token, s - back, some & (t >= back), x_row, d, inside, take, TAKE)
        x_t += (earlier.to(tl.float32),)
        d_t += (tl.zeros([SHARES, BD], tl.float32),)
    for _ in tl.static_range(W + BIAS):
        found += (tl.zeros([SHARES, BD], tl.float32),)
    ahead = rows_at(x, token, s, until, x_row, d, inside, take, TAKE, AT_ONCE)
    dy_ahead = rows_at(dy, token, s, until, D, d, inside, take, False, AT_ONCE)
    taps = taps_of(tap, W)
    if BIAS:
        bias = tl.load(bias, mask=inside, other=0.0).to(tl.float32)[None, :]
    if (start < W - 1) & (before > 0):
        x_t = with_ring(x_t, ring, t, some, before, inside, CHANNELS, W)
    for first in range(0, share + (W - 1), AT_ONCE):
        dy_t = dy_ahead
        for i in tl.static_range(AT_ONCE):
            x_t += (ahead[i].to(tl.float32),)
        then = s + (first + AT_ONCE)
        ahead = rows_at(x, token, then, until, x_row, d, inside, take, TAKE, AT_ONCE)
        dy_ahead = rows_at(dy, token, then, until, D, d, inside, take, False, AT_ONCE)
        for i in tl.static_range(AT_ONCE):
            d_i = _before_activation(
                x_t[i : i + W], dy_t[i].to(tl.float32), taps, bias, eps, unit, UNIT, W, BIAS, SILU
            )
            d_t += (d_i,)
            d_i = tl.where((s + first + i < end)[:, None], d_i, 0.0)
            found = _added(found, x_t[i : i + W], d_i, W, BIAS)
            # All that hangs on the input W - 1 tokens before is known now.
            u = s + (first + i - (W - 1))
            here, at_begin = (u >= s) & (u < end), some & (s + start == 0)
            _store(
                d_t[i : i + W], taps, dx, dkept, dring, u, before + start + u, here,
                here & (u >= rest - W), at_begin & (u < 0), d, inside, D, CHANNELS, W, KEPT, RING,
            )  # fmt: skip
        x_t, d_t = x_t[AT_ONCE:], d_t[AT_ONCE:]
    return found


@triton.jit
def _before_activation(
    x_t, dy, taps, bias, eps, unit,
    UNIT: tl.constexpr, W: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr,
):  # fmt: skip
    """The gradient of the weighted sum of the last W inputs, by that of what is made of it."""
    total = tl.zeros_like(dy)
    for back in tl.static_range(W):
        total += x_t[W - 1 - back] * taps[back]
    if BIAS:
        total += bias
    y, slope = total, 1.0
    if SILU:
        root = tl.rsqrt(1 + tl.exp2(total * -1.4426950408889634))
        gate = root * root
        y = total * gate
        slope = gate + y * (1 - gate)
    if UNIT:
        size = tl.rsqrt(tl.sum(y * y, 1) + eps)
        along = tl.where(unit, size * size * tl.sum(y * dy, 1), 0.0)
        dy = (dy - y * along[:, None]) * tl.where(unit, size, 1.0)[:, None]
    return dy * slope


@triton.jit
def _store(
    d_t, taps, dx, dkept, dring, u, time, here, kept, old, d, inside, D,
    CHANNELS: tl.constexpr, W: tl.constexpr, KEPT: tl.constexpr, RING: tl.constexpr,
):  # fmt: skip
    """The gradient of an input, by those of the W sums that it is in.

    It is row u of x where it is `here`, and one of the ring before where it is `old`; where it is
    `kept` it is in the ring behind too.
    """
    out = tl.zeros_like(d_t[0])
    for b in tl.static_range(W):
        out += d_t[b] * taps[b]
    entry = (time % W)[:, None] * CHANNELS
    if KEPT:
        given = kept[:, None] & inside[None, :]
        out += tl.load(dkept[None, :] + entry, mask=given, other=0.0).to(tl.float32)
    tl.store(dx + u[:, None] * D + d[None, :], out, mask=here[:, None] & inside[None, :])
    if RING:
        read = (old & (time >= 0))[:, None] & inside[None, :]
        tl.store(dring[None, :] + entry, out, mask=read)


@triton.jit
def _added(found, x_t, d_i, W: tl.constexpr, BIAS: tl.constexpr):
    """The sums with one token more."""
    more = ()
    for w in tl.static_range(W):
        more += (found[w] + d_i * x_t[w],)
    if BIAS:
        more += (found[W] + d_i,)
    return more
