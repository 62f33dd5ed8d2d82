"""The figure of MQAR."""

import numpy as np
import pytest

from mom_eval.results.mqar import MqarBoard, Row, Shape, write
from mom_eval.results.plot_mqar import mqar_figure

ABOUT = {
    "architecture": "gla",
    "parameters": 1000,
    "state_bytes": 64,
    "state_bytes_per_token": 0,
}


@pytest.fixture
def board():
    rng = np.random.default_rng(0)
    shapes = [Shape(64, 4), Shape(64, 8), Shape(128, 32)]
    rows = [
        Row(label, ABOUT, {shape: rng.random((100, shape.pairs)) < share for shape in shapes})
        for label, share in (("one", 0.9), ("two", 0.5))
    ]
    return MqarBoard(
        vocab=256, examples=100, seed=0, shapes=shapes, rows=rows, left_out=[], versions={}
    )


def test_a_panel_a_length_and_a_line_a_model(board):
    short, long, legend = mqar_figure(board).axes
    assert [axis.get_title(loc="left") for axis in (short, long)] == ["64 tokens", "128 tokens"]
    lines = [line for line in short.lines if line.get_marker() in ("o", "s")]
    for row, line in zip(board.rows, lines, strict=True):
        expected = [100 * row.right[shape].mean() for shape in board.shapes[:2]]
        assert line.get_ydata() == pytest.approx(expected)
        assert line.get_xdata() == pytest.approx([4, 8], rel=0.06)
    intervals = [line for line in short.lines if len(set(line.get_xdata())) == 1]
    assert len(intervals) == 4
    assert all(np.ptp(line.get_ydata()) > 1 for line in intervals)
    words = [text.get_text() for text in legend.get_legend().get_texts()]
    assert words == ["one", "two", "chance"]


def test_the_title_says_that_it_is_synthetic(board, tmp_path):
    assert "synthetic" in mqar_figure(board).get_suptitle()
    names = [path.name for path in write(board, tmp_path / "new")]
    assert names == ["mqar.json", "mqar.md", "mqar.png", "mqar.svg"]
    assert all((tmp_path / "new" / name).stat().st_size for name in names)
