"""Bits per byte of a text: a model of ours reads it under several context lengths.

The text is cut into spans of the longest length, and each span, for every length n, into contexts
of n tokens that know nothing of each other. So each length is asked about the same tokens, and the
lengths can be compared byte for byte. A context's first token has nothing before it: tokens that
open a context at any of the lengths count at none. Long contexts are read in parts with the state
carried along, so neither the logits nor the activations of a whole one are ever held.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from mom_eval.errors import DataError, ModelError, SettingError
from mom_eval.evalsuite.engine.packed import portions
from mom_eval.evalsuite.memory import Halving, at_once
from mom_eval.evalsuite.one_model import described, find_own, hold_own
from mom_eval.evalsuite.own_model import OwnModel
from mom_eval.evalsuite.progress import Bars, bars
from mom_eval.evalsuite.quiet import quiet_libraries
from mom_eval.models.lm import LM, packed
from mom_eval.results.perplexity import Perplexity, position_bins
from mom_eval.tasks.files import sha256
from mom_eval.tasks.text import EncodedText, encoded, read_text
from mom_eval.tasks.tokens import HFTokens

Floats = NDArray[np.float64]
_Counts = tuple[Floats, Floats, Floats, Floats, Floats]
_TOO_LARGE = "a context of {:,} tokens by itself; take smaller --lengths or --dtype bfloat16"


def perplexity(
    model: str,
    text: Path,
    lengths: Sequence[int],
    *,
    tokenizer: str | None = None,
    limit: int | None = None,
    device: str = "auto",
    dtype: str = "auto",
    kernels: str = "auto",
    allow_pickle: bool = False,
) -> Perplexity:
    """Read a text with a model.

    Args:
        model: what `--model` takes, one of our own.
        text: a file in UTF-8, gzip'd or not.
        lengths: context lengths in tokens.
        tokenizer: name or folder, where the model brings none.
        limit: at most so many spans, from the text's beginning.
        device, dtype, kernels, allow_pickle: as `evaluate` takes them.

    Raises:
        MomEvalError: anything the user can mend.
    """
    quiet_libraries()
    lengths = checked_lengths(lengths)
    if limit is not None and limit < 1:
        raise SettingError(f"--limit {limit} reads no span; it must be 1 or more")
    loaded = find_own(model, tokenizer, device, dtype, kernels, allow_pickle)
    spans = _spans(text, loaded.tokens, lengths[-1], limit)
    bos = loaded.tokens.adds_bos()
    own = hold_own(loaded, bos)
    for span in spans:
        own.check(span.ids)
    with bars(loaded.subject.label, "spans") as shown:
        shown.start(text.name, len(spans), 0)
        columns = _read(own, spans, lengths, shown)
    bits, tokens, size, bits_at, bytes_at = (
        np.stack(part, -1) for part in zip(*columns, strict=True)
    )
    return Perplexity(
        about=described(loaded, bos) | {"text": {"file": text.name, "sha256": sha256(text)}},
        training_length=own.module.config.max_positions,
        lengths=lengths,
        bits=bits,
        tokens=tokens,
        bytes=size,
        bits_at=bits_at,
        bytes_at=bytes_at,
    )


def checked_lengths(lengths: Sequence[int]) -> tuple[int, ...]:
    """Context lengths in rising order, each once.

    Raises:
        SettingError: one of them leaves no token to predict.
    """
    if min(lengths) < 2:
        raise SettingError(
            f"--lengths {min(lengths)} leaves no token to predict; a context has 2 or more"
        )
    return tuple(sorted(set(lengths)))


def _spans(text: Path, tokens: HFTokens, longest: int, limit: int | None) -> list[EncodedText]:
    """The text's first spans of `longest` tokens, at most `limit`; what is left over is not read.

    Raises:
        DataError: there is no text, or not one whole span.
    """
    held = encoded(read_text(text), tokens, limit and limit * longest)
    count = len(held.ids) // longest
    if count == 0:
        raise DataError(
            f"{text} has {len(held.ids):,} tokens, and the longest context {longest:,}; give a"
            " longer text or smaller --lengths"
        )
    some = [slice(n * longest, (n + 1) * longest) for n in range(min(count, limit or count))]
    return [EncodedText(held.ids[one], held.bytes[one]) for one in some]


def _read(
    own: OwnModel, spans: list[EncodedText], lengths: tuple[int, ...], shown: Bars
) -> list[_Counts]:
    """What every span counts, one after the other."""

    def ask(missing: Sequence[int], rows: int | None) -> Iterator[list[tuple[int, _Counts]]]:
        for number in missing:
            with at_once(1):
                found = _counts(own, spans[number], lengths)
            yield [(number, found)]

    halving = Halving[int, _Counts]("spans", lambda _: _TOO_LARGE.format(lengths[-1]), shown.say)
    columns: list[_Counts] = []
    for some in halving.results(range(len(spans)), ask):
        columns += [found for _, found in some]
        shown.advance(len(some))
    return columns


def _counts(own: OwnModel, span: EncodedText, lengths: tuple[int, ...]) -> _Counts:
    """The columns of `Perplexity` for one span: bits, tokens, bytes, and both by position."""
    longest = len(span.ids)
    place = np.arange(longest)
    counts = np.all([place % length != 0 for length in lengths], axis=0)
    bits = np.stack([span_bits(own, span.ids, length) for length in lengths])
    size = np.asarray(span.bytes, dtype=float)
    inside = [counts & (first <= place) & (place <= last) for first, last in position_bins(longest)]
    return (
        bits[:, counts].sum(-1),
        np.asarray(counts.sum(), dtype=float),
        size[counts].sum(),
        np.asarray([bits[-1][some].sum() for some in inside]),
        np.asarray([size[some].sum() for some in inside]),
    )


def span_bits(own: OwnModel, ids: list[int], length: int) -> Floats:
    """Bits of each token given those before it in its context of `length` tokens.

    A context's first token costs 0 here: without a token before it none can be told.

    Raises:
        ModelError: a probability is not a number.
    """
    first = [own.tokenizer.bos_token_id] if own.bos else []
    starts = range(0, len(ids), length)
    streams = [[*first, *ids[start : start + length]] for start in starts]
    logits = 3 * own.module.config.vocab_size * torch.float32.itemsize
    piece = max(1, min(own.room.tokens, own.room.bytes // logits))
    bits = np.zeros(len(ids))
    for start, nats in zip(starts, stream_nats(own.module, streams, piece), strict=True):
        known = nats[len(first) :]
        bits[start + 1 : start + 1 + len(known)] = known
    if not np.isfinite(bits).all():
        raise ModelError("the model gives probabilities that are no numbers; try --dtype float32")
    return bits / math.log(2)


@torch.inference_mode()
def stream_nats(lm: LM, streams: Sequence[Sequence[int]], piece: int) -> list[Floats]:
    """Nats of every token of each stream but its first, given all tokens before it.

    Args:
        lm: the model.
        streams: lists of tokens, each read from an empty state.
        piece: tokens read in one call: several streams, or a part of one that is longer.
    """
    out = []
    for some in portions(streams, lambda stream: max(1, len(stream) - 1), piece):
        state = None
        parts: list[list[Floats]] = [[] for _ in some]
        # More than one turn only for a stream that is alone.
        for begin in range(0, max(map(len, some)) - 1, piece):
            given = [stream[begin : min(begin + piece, len(stream) - 1)] for stream in some]
            wanted = [stream[begin + 1 : begin + piece + 1] for stream in some]
            tokens, cu_seqlens = packed(given, lm.embeddings.weight.device)
            targets, _ = packed(wanted, tokens.device)
            every = torch.arange(len(tokens), device=tokens.device)
            logits, state, _ = lm(tokens, cu_seqlens, state, at=every)
            nats = F.cross_entropy(logits, targets, reduction="none").double().cpu()
            for part, values in zip(parts, nats.split([len(one) for one in wanted]), strict=True):
                part.append(values.numpy())
        out += [np.concatenate(part) if part else np.zeros(0) for part in parts]
    return out
