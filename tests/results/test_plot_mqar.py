"""The figure of MQAR."""

from dataclasses import replace

import numpy as np
import pytest

from mom_eval.results.frames import as_frame
from mom_eval.results.mqar import MqarBoard, Row, Shape, lines, markdown, write
from mom_eval.results.plot_mqar import mqar_figure
from mom_eval.results.statistics import proportion

ABOUT = {
    "architecture": "gla",
    "parameters": 1000,
    "state_bytes": 64,
}
EXAMPLES = [str(place // 4) for place in range(400)]


def new_board(names=("one", "two"), seed=0):
    rng = np.random.default_rng(seed)
    shapes = [Shape(64, 4), Shape(64, 8), Shape(128, 32)]
    rows = [
        Row(
            label,
            ABOUT | {"state_bytes_per_token": grows},
            {shape: rng.random((100, shape.pairs)) < share for shape in shapes},
        )
        for label, share, grows in zip(names, (0.9, 0.5), (0, 8), strict=True)
    ]
    return MqarBoard(
        vocab=256, examples=100, seed=seed, shapes=shapes, rows=rows, left_out=[], versions={}
    )


@pytest.fixture
def board():
    return new_board()


def drawn(board):
    return mqar_figure(as_frame(lines(board)))


def test_a_panel_a_length_and_a_line_a_model(board):
    short, long, legend = drawn(board).axes
    assert [axis.get_title(loc="left") for axis in (short, long)] == ["64 tokens", "128 tokens"]
    models = [line for line in short.lines if line.get_marker() in ("o", "s")]
    assert len(models) == 2
    for row, line in zip(board.rows, models, strict=True):
        expected = [100 * row.right[shape].mean() for shape in board.shapes[:2]]
        assert line.get_ydata() == pytest.approx(expected)
        assert line.get_xdata() == pytest.approx([4, 8], rel=0.06)
    intervals = [line for line in short.lines if len(set(line.get_xdata())) == 1]
    assert len(intervals) == 4
    assert all(np.ptp(line.get_ydata()) > 1 for line in intervals)
    chance, read = short.lines[:2]
    assert chance.get_ydata() == pytest.approx([100 / 128] * 2)
    assert (read.get_xdata().tolist(), read.get_ydata().tolist()) == ([4, 8], [25, 12.5])
    words = [text.get_text() for text in legend.get_legend().get_texts()]
    assert words == [
        "one\nstate, bytes: 64",
        "two\nstate, bytes: 64 + 8 a token",
        "any value read",
        "chance, 1 of 128 values",
    ]


def test_no_two_of_eleven_models_look_alike(board):
    rows = [board.rows[0]._replace(label=str(number)) for number in range(11)]
    panel = drawn(replace(board, rows=rows)).axes[0]
    looks = {
        (line.get_color(), line.get_marker(), line.get_linestyle())
        for line in panel.lines
        if len(line.get_xdata()) == 2 and line.get_marker() not in ("None", None, "")
    }
    assert len(looks) == 11


def test_a_table_a_length(board):
    text = markdown(board)
    blocks = text.split("\n\n")
    assert "| two   | gla          | 1,000      | 64 + 8 a token |" in blocks[2]
    assert blocks[3] == "Queries answered right at 64 tokens, %:"
    head, _, one, _, read, chance = (row.split("|")[1:-1] for row in blocks[4].splitlines())
    assert [cell.strip() for cell in head] == ["Model", "4 pairs", "8 pairs"]
    expected = proportion(board.rows[0].right[Shape(64, 4)].ravel(), EXAMPLES)
    value, low, high = (100 * part for part in expected[:3])
    assert one[1].strip() == f"{value:.1f} {low:.1f}-{high:.1f}"
    assert [cell.strip() for cell in read] == ["any value read", "25.0", "12.5"]
    assert [cell.strip() for cell in chance] == ["chance", "0.8", "0.8"]
    assert blocks[5] == "Against one, in points:"
    assert len(blocks[6].splitlines()) == 3
    assert blocks[7] == "Queries answered right at 128 tokens, %:"


def test_the_title_says_that_it_is_synthetic(board, tmp_path):
    assert "synthetic" in drawn(board).get_suptitle()
    names = [path.name for path in write(board, tmp_path / "new")]
    assert names == ["mqar.md", "mqar.csv", "mqar.json", "mqar.png", "mqar.svg"]
    assert all((tmp_path / "new" / name).stat().st_size for name in names)
