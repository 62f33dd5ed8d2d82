"""Plots of checkpoints by step and of models by cost."""

import pandas as pd
import pytest

from mom_eval.results import plot
from mom_eval.results.plot_pareto import frontier, points
from mom_eval.results.plot_steps import checkpoints
from tests.results.conftest import make_run, six_tasks
from tests.results.test_plot import overlapping, table


def costly(label, share, state, seed=0, **options):
    run = make_run(label, six_tasks(share, seed), **options)
    run.info["model"] |= {
        "parameters": 2_000_000,
        "activated": 1_000_000,
        "state_bytes": state,
        "state_bytes_per_token": 16 if label == "transformer" else 0,
        "decode_bytes": 4_000_000 + 2 * state,
    }
    return run


@pytest.fixture
def board(make):
    """Two trainings, one of them out of order, a model alone, and rows made by code."""
    runs = [
        costly(f"{name}/step-{step}", top * step / 1000, state)
        for name, top, state in (("mom", 0.9, 500_000), ("gdn", 0.5, 100_000))
        for step in (1000, 90, 500)
    ]
    runs += [costly("transformer", 0.6, 0), make("head", six_tasks(0.3), kind="reference")]
    return table(runs)


def test_checkpoints_are_told_by_their_names_and_sorted_by_step(board):
    found = checkpoints(board).query("task == 'average'")
    assert [*zip(found["training"], found["step"], strict=True)] == [
        (name, step) for name in ("gdn", "mom") for step in (90, 500, 1000)
    ]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["step-000100", "step-000200"], [""]),
        (["a checkpoint-1", "a checkpoint-2", "b/checkpoint-1"], ["a"]),
        (["x/global_step10", "x/global_step20"], ["x"]),
        (["footstep-1", "footstep-2", "v2", "v3", "stepper-3", "step-1 (bfloat16)"], []),
    ],
)
def test_what_is_a_checkpoint(make, tasks, labels, names):
    board = table([make(label, tasks(0.5)) for label in labels])
    assert list(checkpoints(board)["training"].unique()) == names


def test_score_and_bits_by_step_have_their_intervals(board):
    figure = plot.figures(board)["steps-paper-2048-local"]
    average, bits = figure.axes[0], figure.axes[8]
    assert average.get_title(loc="left") == "Average of 5"
    assert bits.get_ylabel() == "bits per byte"
    gdn, mom, head = average.lines
    assert gdn.get_xdata().tolist() == [90, 500, 1000]
    (line,) = board.query("row == 'mom/step-500' and task == 'average'").to_dict("records")
    assert mom.get_ydata()[1] == line["value"]
    band = average.collections[1].get_paths()[0].vertices[:, 1]
    assert {line["low"], line["high"]} <= {*band.tolist()}
    assert len(bits.lines) == 2
    assert len({*head.get_ydata()}) == 1
    assert overlapping(figure) == []


def test_without_two_checkpoints_there_is_no_plot_of_steps(make, tasks):
    assert list(plot.figures(table([make("a/step-1", tasks(0.5))]))) == ["scores-paper-2048-local"]


def test_the_frontier_is_what_no_cheaper_model_reaches():
    found = [
        ("a", 1, 20.0),
        ("same cost, worse", 1, 10.0),
        ("as good, dearer", 2, 20.0),
        ("b", 3, 50.0),
        ("worse", 4, 40.0),
        ("c", 5, 60.0),
    ]
    best = frontier(pd.DataFrame(found, columns=["row", "cost", "value"]))
    assert list(best["row"]) == ["a", "b", "c"]


def test_recall_by_cost_shows_the_last_checkpoints_with_their_intervals(board):
    found = points(board)
    assert [*zip(found["row"], found["cost"], strict=True)] == [
        ("transformer", 16 * 2048),
        ("gdn/step-1000", 100_000),
        ("mom/step-1000", 500_000),
    ]
    figure = plot.figures(board)["pareto-paper-2048-local"]
    state, decoding, _ = figure.axes
    assert [axis.get_title(loc="left") for axis in (state, decoding)] == [
        "Against state",
        "Against decoding",
    ]
    drawn = {tuple(line.get_xdata()) for line in decoding.lines}
    assert (4_000_000 + 16 * 2048,) in drawn
    bars = [
        line.get_ydata()
        for line in state.lines
        if len(set(line.get_xdata())) < len(line.get_xdata())
    ]
    assert found[["low", "high"]].iloc[0].tolist() in [list(bar) for bar in bars]
    title = figure.get_suptitle().replace("\n", " ")
    assert "average of FDA, SWDE, SQuAD, NQ, DROP, costs counted at 2,048 tokens" in title
    assert overlapping(figure) == []


def test_without_known_costs_there_is_no_plot_of_them(make, tasks):
    runs = [make("a", tasks(0.5)), costly("b", 0.4, 100)]
    assert "pareto-paper-2048-local" not in plot.figures(table(runs))


def test_a_synthetic_sample_is_shouted_there_too():
    figures = plot.figures(table([costly(name, 0.5, 9, source="sample") for name in ("a", "b")]))
    assert "SYNTHETIC SAMPLE" in figures["pareto-paper-2048-sample"].get_suptitle()
