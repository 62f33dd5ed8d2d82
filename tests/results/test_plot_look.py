"""Perplexity and routing as numbers, tables and figures, from counts made by hand."""

import json
import math
from collections import Counter

import numpy as np
import pytest

from mom_eval.errors import RunError
from mom_eval.results import perplexity as ppl
from mom_eval.results import routing
from mom_eval.results.frames import as_frame
from mom_eval.results.plot_perplexity import perplexity_figure
from mom_eval.results.plot_routing import routing_figure
from tests.results.test_plot import overlapping

ABOUT = {
    "label": "a_model|with marks",
    "model": {"id": "a_model"},
    "tokenizer": {"id": "words", "sha256": "0"},
    "bos": False,
    "versions": {},
}


def perplexity(spans: int, training_length: int | None = 64) -> ppl.Perplexity:
    """Two lengths; the longer one saves half a bit a byte in every span."""
    size = np.arange(1, spans + 1) * 100.0
    return ppl.Perplexity(
        about=ABOUT | {"text": {"file": "text.gz", "sha256": "0"}},
        training_length=training_length,
        lengths=(32, 128),
        bits=np.stack([2 * size + 10, 1.5 * size + 10]),
        tokens=size / 4,
        bytes=size,
        bits_at=np.stack([size * 0, 3 * size, size, size]),
        bytes_at=np.stack([size * 0, size, size, size]),
    )


def routes(layers: int, memories: int, documents: int = 3, source: str = "local"):
    """Random counts; memory 0 of each layer is chosen for nothing, and there are no digits."""
    rng = np.random.default_rng(2)
    found = {}
    for layer in range(layers):
        of_kind = rng.integers(20, 50, (documents, 6)).astype(float)
        of_kind[:, 0] = 0
        chosen = rng.random((documents, 6, memories)) * of_kind[..., None]
        chosen[:, :, 0] = 0
        chosen *= 2 * of_kind[..., None] / np.maximum(chosen.sum(-1, keepdims=True), 1)
        found[layer] = routing.LayerCounts(
            top_k=2,
            tokens=of_kind.sum(1),
            chosen=chosen.sum(1),
            entropy=of_kind.sum(1),
            steps=of_kind.sum(1) - 1,
            changes=of_kind.sum(1) // 2,
            sets=Counter({(1, 2): 30, (2, 3): 10}),
            of_kind=of_kind,
            chosen_of_kind=chosen,
        )
    return routing.Routing(
        about=ABOUT | {"data": {"source": source}},
        details=("all six tasks", "protocol paper", "context length 2,048", f"{source} data"),
        questions=40,
        kinds=dict.fromkeys("digits punctuation capitals first answer other".split(), "words"),
        layers=found,
    )


def drawn(found: routing.Routing):
    return routing_figure(as_frame(routing.lines(found)))


def test_bins_of_positions():
    assert ppl.position_bins(2) == [(1, 1)]
    assert ppl.position_bins(16) == [(1, 15)]
    assert ppl.position_bins(17) == [(1, 15), (16, 16)]
    assert ppl.position_bins(128) == [(1, 15), (16, 31), (32, 63), (64, 127)]
    assert ppl.position_bins(100)[-1] == (64, 99)


def test_bits_by_length_and_position():
    found = perplexity(3)
    short, long = ppl.by_length(found)
    assert short.bits_per_byte.value == pytest.approx(2 + 30 / 600)
    assert short.perplexity == pytest.approx(2 ** (4 * (2 + 30 / 600)))
    assert short.change is None
    assert (long.change.low, long.change.high) == pytest.approx((-0.5, -0.5))
    assert long.bits_per_byte.low < long.bits_per_byte.value < long.bits_per_byte.high
    rows = ppl.by_position(found)
    assert [(row.first, row.last, row.bits_per_byte.value) for row in rows] == [
        (16, 31, 3),
        (32, 63, 1),
        (64, 127, 1),
    ]


def test_the_table_of_perplexity():
    text = ppl.markdown(perplexity(3))
    assert "## Bits per byte of a_model\\|with marks" in text
    assert "3 spans of 128 tokens, 600 bytes, tokenizer words, trained at 64" in text
    assert "| -0.500 -0.500/-0.500 |" in text
    assert "| 64-127   | 1.000         | 1.000-1.000 |" in text
    alone = ppl.markdown(perplexity(1, None))
    assert "1 span of 128 tokens" in alone
    assert "trained" not in alone
    assert "there are no intervals" in alone


@pytest.mark.parametrize("spans", [1, 3])
@pytest.mark.parametrize("training_length", [None, 64, 4096])
def test_perplexity_is_drawn(spans, training_length):
    found = perplexity(spans, training_length)
    figure = perplexity_figure(as_frame(ppl.lines(found)))
    assert overlapping(figure) == []
    shown = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert shown == (["trained"] * 2 if training_length == 64 else [])
    left, right = figure.axes
    assert ("thick: of the change against 32)" in left.get_xlabel()) == (spans > 1)
    assert right.get_xlabel() == "tokens read before"


@pytest.mark.parametrize(("layers", "memories"), [(1, 4), (2, 4), (13, 4), (24, 8)])
def test_routing_is_drawn(layers, memories):
    figure = drawn(routes(layers, memories))
    shown = [axis for axis in figure.axes if axis.axison]
    titles = [axis.get_title(loc="left") for axis in shown if axis.get_title(loc="left")]
    assert titles == [f"layer {layer}" for layer in range(layers)]
    heat = figure.axes[0].images[0].get_array()
    assert heat.shape == (memories, 6)
    assert np.ma.getmaskarray(heat)[:, 0].all()  # no digits
    assert np.ma.getmaskarray(heat)[0].all()  # memory 0 has no tokens
    lifts = routing.summary(routes(layers, memories).layers[0]).lifts
    assert heat[2, 3] == pytest.approx(np.clip(math.log2(lifts[2][3].value), -2, 2))
    dots = [(dot.get_ydata()[0], dot.get_xdata()[0]) for a in figure.axes[::2] for dot in a.lines]
    assert dots == [
        (m, kind)
        for counts in routes(layers, memories).layers.values()
        for m, row in enumerate(routing.summary(counts).lifts)
        for kind, one in enumerate(row)
        if one and one.low is not None and not one.low <= 1 <= one.high
    ]
    assert overlapping(figure) == []


def test_the_sample_is_shouted():
    assert "SYNTHETIC" in drawn(routes(1, 4, source="sample")).get_suptitle()
    assert "SYNTHETIC" not in drawn(routes(1, 4)).get_suptitle()
    assert "SYNTHETIC SAMPLE" in routing.markdown(routes(1, 4, source="sample"))


def test_the_table_of_routing():
    text = routing.markdown(routes(2, 4))
    lines = text.splitlines()
    assert "2 of 4 memories a token" in text
    assert sum(line.startswith(("| 0 ", "| 1 ")) for line in lines) == 2
    (empty,) = [line for line in lines if line.startswith("| 1.m0")]
    assert [cell.strip() for cell in empty.split("|")[2:-1]] == ["-"] * 6


@pytest.mark.parametrize(("module", "found"), [(ppl, perplexity(3)), (routing, routes(2, 4))])
def test_files_are_written_and_hold_what_json_says(tmp_path, module, found):
    name = module.__name__.rsplit(".", 1)[1].replace("perplexity", "ppl")
    paths = module.write(found, tmp_path / "out")
    assert [path.name for path in paths] == [
        f"{name}.{end}" for end in ("csv", "json", "png", "svg")
    ]
    assert json.loads(paths[1].read_text("utf-8")) == json.loads(module.as_json(found))
    again = module.write(found, tmp_path / "again")
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="a file stands where a folder is needed"):
        module.write(found, tmp_path / "file")
