"""Bits per byte: parts against whole passes, and by hand where every token costs the same."""

import copy
import json
import math

import numpy as np
import pytest
import torch

from mom_eval.errors import ModelError
from mom_eval.evalsuite.own_model import OwnModel
from mom_eval.evalsuite.perplexity import perplexity, span_bits, stream_nats
from mom_eval.models.save import save
from mom_eval.results.perplexity import by_length, by_position, position_bins, record
from tests.conftest import TEXT

IDS = [(7 * place) ** 2 % 390 + 3 for place in range(41)]


@pytest.fixture(params=["mom", "transformer"])
def lm(request):
    return request.getfixturevalue(request.param)


def slow_bits(lm, ids, first):
    """Of every token but those that nothing stands before, by one pass."""
    stream = torch.tensor([*first, *ids])
    with torch.inference_mode():
        logits = lm(stream, at=torch.arange(len(stream))).logits
    nats = -logits.log_softmax(-1)[:-1].gather(1, stream[1:, None])[:, 0]
    return (nats / math.log(2)).tolist()[len(first) :]


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("length", [2, 8, 40, 41])
@pytest.mark.parametrize("piece", [1, 7, 8192])
def test_parts_are_the_whole_pass(lm, tokenizer, bos, length, piece):
    own = OwnModel(lm, tokenizer, bos)
    own.room = own.room._replace(tokens=piece)
    found = span_bits(own, IDS, length)
    for start in range(0, len(IDS), length):
        window = IDS[start : start + length]
        expected = [0, *slow_bits(lm, window, [tokenizer.bos_token_id] if bos else [])]
        assert found[start : start + length] == pytest.approx(expected, abs=2e-4)


def test_no_call_reads_more_than_a_piece(mom):
    sizes = []
    handle = mom.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    found = stream_nats(mom, [IDS, IDS[:3], IDS[:2], [5], IDS[:5]], 8)
    handle.remove()
    assert sizes == [8, 8, 8, 8, 8, 7]
    assert [len(nats) for nats in found] == [40, 2, 1, 0, 4]


@pytest.fixture(scope="module")
def even(mom, tokenizer, tmp_path_factory):
    """Folder of a model to which all tokens are alike."""
    lm = copy.deepcopy(mom)
    torch.nn.init.zeros_(lm.head.weight)
    folder = save(lm, tmp_path_factory.mktemp("even") / "even")
    tokenizer.save_pretrained(folder)
    return folder


def test_where_every_token_costs_the_same(even, mom, tokenizer, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("é" + TEXT * 3, "utf-8")
    found = perplexity(str(even), text, [20, 8, 8, 12], device="cpu")
    ids = tokenizer.encode("é" + TEXT * 3, add_special_tokens=False)
    spans = len(ids) // 20
    assert found.lengths == (8, 12, 20)
    # Of 20 tokens those at 0, 8, 12 and 16 open a context at some length.
    each = math.log2(mom.config.vocab_size)
    assert found.tokens.tolist() == [16] * spans
    assert found.bits == pytest.approx(np.full((3, spans), 16 * each), rel=1e-5)
    counted = [
        len(tokenizer.decode(ids[place]).encode())
        for place in range(20 * spans)
        if place % 20 not in (0, 8, 12, 16)
    ]
    # The é is two tokens: the first has both its bytes and opens a context, so none of it counts.
    assert found.bytes.sum() == sum(counted) - len(tokenizer.decode(ids[1]).encode())
    assert position_bins(20) == [(1, 15), (16, 19)]
    assert found.bits_at == pytest.approx(np.array([[13 * each], [3 * each]]) + np.zeros(spans))
    assert found.bytes_at.sum(0).tolist() == found.bytes.tolist()
    rows = by_length(found)
    for row in rows:
        assert row.bits_per_byte.value == pytest.approx(16 * spans * each / found.bytes.sum())
        assert row.perplexity == pytest.approx(mom.config.vocab_size, rel=1e-4)
    assert rows[0].change is None
    assert rows[2].change.value == pytest.approx(0, abs=1e-6)
    assert found.training_length == 128
    kept = json.loads(json.dumps(record(found), allow_nan=False))
    assert kept["spans"] == spans
    assert kept["bos"] is True
    assert kept["text"]["file"] == "text.txt"
    assert "/" not in json.dumps(kept["model"])


def test_a_limit_takes_the_first_spans(tiny_mom, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT * 5, "utf-8")
    whole = perplexity(str(tiny_mom), text, [8, 32], device="cpu")
    # Positions are those in the longest context, and together they are all of it.
    assert whole.bits_at.sum(0) == pytest.approx(whole.bits[1])
    assert whole.bits[0] != pytest.approx(whole.bits[1])
    some = perplexity(str(tiny_mom), text, [8, 32], device="cpu", limit=2)
    assert some.bits == pytest.approx(whole.bits[:, :2])
    assert some.bytes.tolist() == whole.bytes[:2].tolist()
    one = perplexity(str(tiny_mom), text, [8, 32], device="cpu", limit=1)
    assert by_length(one)[1].bits_per_byte.low is None
    assert by_position(one)[0].bits_per_byte.low is None


def test_bits_that_are_no_numbers_are_refused(mom, tokenizer):
    broken = copy.deepcopy(mom)
    torch.nn.init.constant_(broken.norm.weight, math.nan)
    with pytest.raises(ModelError, match="no numbers"):
        span_bits(OwnModel(broken, tokenizer, False), IDS, 8)
