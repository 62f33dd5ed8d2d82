"""The curves of a training as they are drawn."""

from io import StringIO

import numpy as np
import pandas as pd

from mom_eval.results.plot_training import curves, write

LOSS = [{"tokens": str(100 * (n + 1)), "loss": str(5.0 - n / 40)} for n in range(120)]
HELDOUT = [
    {"source": source, "tokens": tokens, "loss": "2.5", "accuracy": accuracy}
    for tokens in ("6000", "12000")
    for source, accuracy in (("mqar 64/4", "0.25"), ("a.txt", "0.5"))
]


def test_every_step_and_every_measurement_is_drawn():
    loss, heldout = (pd.read_csv(StringIO(pd.DataFrame(rows).to_csv())) for rows in (LOSS, HELDOUT))
    loss, accuracy = curves(loss, heldout, "mom-gla").axes
    steps, means, *held = loss.lines
    assert np.allclose(steps.get_xydata(), [[100 * (n + 1), 5 - n / 40] for n in range(120)])
    assert len(means.get_xdata()) == 50
    assert np.allclose(means.get_ydata(), 5 - (means.get_xdata() / 100 - 1) / 40)
    assert [line.get_label() for line in held] == ["held out: mqar 64/4", "held out: a.txt"]
    assert [line.get_ydata().tolist() for line in accuracy.lines] == [[25, 25], [50, 50]]
    assert held[0].get_color() == accuracy.lines[0].get_color() != held[1].get_color()


def test_without_anything_held_out_there_is_one_panel_with_a_title(tmp_path):
    figure = curves(pd.DataFrame(LOSS[:3]).astype(float), pd.DataFrame(), "gla")
    assert len(figure.axes) == 1
    assert figure.get_suptitle() == "gla, 3 steps"
    assert [path.name for path in write(tmp_path, LOSS[:3], [], "gla")] == ["loss.png", "loss.svg"]
    assert (tmp_path / "loss.png").stat().st_size > 5_000
