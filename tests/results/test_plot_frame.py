"""Plots as functions of a table: of lines of it, of what is no leaderboard, of a CSV read back."""

from io import StringIO

import pandas as pd
import pytest

from mom_eval.errors import SettingError
from mom_eval.results import plot
from mom_eval.results.leaderboard import build
from mom_eval.results.plot_haystack import haystack_by_depth
from mom_eval.results.plot_length import score_by_length
from mom_eval.results.plot_pareto import recall_by_cost
from mom_eval.results.plot_scores import scores_by_task
from mom_eval.results.plot_steps import score_by_step
from mom_eval.results.table import csv
from tests.results.test_plot import overlapping, table

ALL = (scores_by_task, score_by_length, haystack_by_depth, score_by_step, recall_by_cost)


def titles(figure) -> list[str]:
    return [axis.get_title(loc="left") for axis in figure.axes if axis.axison]


@pytest.fixture
def board(make, tasks):
    runs = [make("b", tasks(0.3)), make("a", tasks(0.6))]
    return table([*runs, make("head", tasks(0.2), kind="reference")], published="mom-paper")


def test_only_the_lines_that_are_given_are_drawn_in_their_order(board):
    few = board[board["kind"].isin(["model", "reference"]) & board["task"].isin(["fda", "nq"])]
    figure = scores_by_task(few.sort_values("row", ascending=False, kind="stable"))
    assert titles(figure) == ["FDA (n = 100)", "NQ (n = 100)"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["head", "b", "a"]
    assert figure.get_suptitle().endswith("local data, 200 questions")
    assert "519 questions" in scores_by_task(board).get_suptitle()
    assert overlapping(figure) == []


def test_an_average_says_what_it_goes_over_whatever_tasks_are_shown(board):
    figure = scores_by_task(board[board["task"].isin(["fda", "average"])])
    assert titles(figure) == ["Average of 5", "FDA (n = 100)"]
    without = board[board["task"] != "average"]
    assert titles(scores_by_task(without))[0] == titles(score_by_length(without))[0]
    published = scores_by_task(board[board["kind"] == "published"])
    assert titles(published)[:2] == ["Average of 5", "FDA"]
    assert published.get_suptitle().endswith("local data")


def test_the_style_is_ours_though_nobody_set_it(board):
    axis = scores_by_task(board).axes[0]
    assert {label.get_fontsize() for label in axis.get_xticklabels()} == {9.0}
    assert not axis.spines["top"].get_visible()


@pytest.mark.parametrize("draw", ALL)
def test_what_is_no_leaderboard_is_one_sentence(board, draw):
    with pytest.raises(SettingError, match="no column board; give what mom_eval"):
        draw(pd.DataFrame({"run": ["a"], "contains": [1]}))
    with pytest.raises(SettingError, match="no score that this plot could show"):
        draw(board[board["row"] == "nobody"])
    with pytest.raises(SettingError, match="lm-eval's own tasks are not drawn"):
        draw(board.assign(metric="score"))


@pytest.mark.parametrize(
    ("draw", "lacks"),
    [
        (haystack_by_depth, "no run with a haystack"),
        (score_by_step, "no two checkpoints of one training"),
        (recall_by_cost, "no model with an average and state_bytes"),
    ],
)
def test_what_a_plot_needs_is_named(board, draw, lacks):
    with pytest.raises(SettingError, match=lacks):
        draw(board)


def test_leaderboards_that_may_not_share_a_plot_are_refused(make, tasks):
    runs = [make("a", tasks(0.5)), make("b", tasks(0.5), protocol="long", context_length=512)]
    with pytest.raises(SettingError, match="that differ in protocol, context_length and would"):
        scores_by_task(table(runs))
    with pytest.raises(SettingError, match="that differ in protocol and would share"):
        score_by_length(table(runs))
    twins = table([make("a"), make("b", files={"fda": "another"})])
    with pytest.raises(SettingError, match="that differ in data_files"):
        scores_by_task(twins)
    lengths = [make("a", context_length=n, files={"fda": d}) for n in (512, 1024) for d in "xy"]
    with pytest.raises(SettingError, match="that differ in data_files"):
        score_by_length(table(lengths))
    assert scores_by_task(twins[twins["board"] == twins["board"].iloc[0]]).axes


def test_another_metric_has_its_own_axis(make, tasks):
    figure = scores_by_task(table([make("a", tasks(0.5))], metric="bits_per_byte"))
    assert figure.axes[3].get_xlabel() == "bits per byte"


def test_names_stay_names(make):
    names = ["null", "12", "=a", "NaN"]
    assert set(table([make(name) for name in names])["row"]) == set(names)


def test_the_csv_file_read_back_gives_the_same_plots(make, tasks):
    runs = [make("a", tasks(0.5), context_length=n) for n in (512, 1024)]
    runs.append(make("a", tasks(0.1), control="blind"))
    runs.append(make("a", tasks(0.1), haystack=512, depth=0.5))
    read = plot.figures(pd.read_csv(StringIO(csv(build(runs)))))
    assert list(read) == list(plot.figures(table(runs)))
    assert len(read) == 5
    assert titles(read["scores-paper-512-local"])[0] == "Average of 5"
