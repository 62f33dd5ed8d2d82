"""Plots: that they exist where they should, say what they show, and that nothing overlaps."""

import itertools

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mom_eval.errors import RunError
from mom_eval.results import plot
from mom_eval.results.frames import leaderboard_frame
from mom_eval.results.leaderboard import build


def table(runs, **options):
    """The leaderboards of runs as the plots take them."""
    return leaderboard_frame(build(runs, **options))


def overlapping(figure) -> list[str]:
    """Pairs of visible texts of a figure that lie on one another."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = []
    for axis in figure.axes:
        legend = axis.get_legend()
        labels = list(legend.get_texts()) if legend else []
        if axis.axison:
            (left, right), (bottom, top) = sorted(axis.get_xlim()), sorted(axis.get_ylim())
            labels += [t for t in axis.get_xticklabels() if left <= t.get_position()[0] <= right]
            labels += [t for t in axis.get_yticklabels() if bottom <= t.get_position()[1] <= top]
            labels += [axis.xaxis.label, axis.yaxis.label, axis._left_title, *axis.texts]
        texts += [label for label in labels if label.get_text() and label.get_visible()]
    texts += figure.texts
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in texts]
    boxes = [(words, box) for words, box in boxes if box.width > 1]
    return [
        f"{one} / {other}"
        for (one, a), (other, b) in itertools.combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 2
    ]


@pytest.fixture
def many(make, tasks):
    """Twelve models, one with a long name, and two references."""
    labels = ["ckpts/step-20480-with-a-very-long-name-indeed", *(f"model-{n}" for n in range(11))]
    runs = [make(label, tasks(0.05 + 0.08 * n, n)) for n, label in enumerate(labels)]
    return [*runs, *(make(name, tasks(0.3), kind="reference") for name in ("head", "echo"))]


def test_scores_by_task_of_many_rows(many):
    figures = plot.figures(table(many, published="mom-paper"))
    assert list(figures) == ["scores-paper-2048-local"]
    figure = figures["scores-paper-2048-local"]
    titles = [axis.get_title(loc="left") for axis in figure.axes if axis.axison]
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert shown[:2] == ["model-10", "model-9"]
    assert "ckpts/step-204…ong-name-indeed" in shown
    assert titles[:2] == ["Average of 5", "FDA (n = 100)"]
    assert "TriviaQA (n = 19, not averaged)" in titles
    assert "protocol paper, context length 2,048, local data" in figure.get_suptitle()
    assert overlapping(figure) == []


def test_score_by_length_of_many_rows(many, make, tasks):
    runs = list(many)
    for length in (512, 1024):
        runs += [make(run.info["label"], tasks(0.5), context_length=length) for run in many]
    figures = plot.figures(table(runs))
    assert len(figures) == 4
    assert overlapping(figures["lengths-paper-local"]) == []


def test_one_length_makes_no_plot_against_length(many):
    assert not any(name.startswith("lengths") for name in plot.figures(table(many)))


def test_two_data_sets_of_each_length_share_no_line(make):
    runs = [make("a", context_length=n, files={"fda": d}) for n in (512, 1024) for d in "xy"]
    names = [name for name in plot.figures(table(runs)) if name.startswith("lengths")]
    assert len(names) == 2
    runs = [make("a", context_length=n, files={"fda": str(n)}) for n in (512, 1024)]
    assert "lengths-paper-local" in plot.figures(table(runs))


def test_haystack_maps(make, lines):
    runs = [
        make(
            label,
            {"nq": lines("nq", [1, 0] * 20)},
            haystack=length,
            depth=depth,
            context_length=length,
        )
        for label in ("a", "b")
        for length in (1024, 2048, 4096)
        for depth in (0.0, 0.5, 1.0)
        if (label, length, depth) != ("b", 4096, 1.0)
    ]
    figures = plot.figures(table(runs))
    assert list(figures) == ["haystack-paper-local"]
    fields = [len(axis.texts) for axis in figures["haystack-paper-local"].axes[:2]]
    assert fields == [9, 8]
    assert overlapping(figures["haystack-paper-local"]) == []


def test_a_map_shows_the_score_of_its_field(make, lines):
    """Length 2,048 at depth 1 is all right, the others all wrong."""
    runs = [
        make("a", {"nq": lines("nq", [int((n, d) == (2048, 1.0))] * 10)}, haystack=n, depth=d)
        for n in (1024, 2048)
        for d in (0.0, 1.0)
    ]
    axis = plot.figures(table(runs))["haystack-paper-local"].axes[0]
    shown = {text.get_position(): text.get_text().splitlines()[0] for text in axis.texts}
    assert shown == {(0, 0): "0", (1, 0): "0", (0, 1): "0", (1, 1): "100"}


def test_synthetic_data_is_in_every_title(make):
    runs = [make("a", source="sample"), make("a", source="sample", context_length=512)]
    runs.append(make("a", source="sample", haystack=512, depth=0.5))
    figures = plot.figures(table(runs))
    assert len(figures) == 4
    assert all("SYNTHETIC SAMPLE" in figure.get_suptitle() for figure in figures.values())


def test_lm_evals_own_tasks_are_not_drawn(make):
    found = [{"task": "x", "id": "1", "document": "1", "metrics": {"em": 1.0}}]
    assert plot.figures(table([make("a", {"x": found}, kind="lm-eval")])) == {}


def test_boards_of_other_data_files_get_other_names(make):
    runs = [make("a"), make("b", files={"fda": "another"})]
    names = list(plot.figures(table(runs)))
    assert len(names) == len(set(names)) == 2


def test_write_gives_png_and_svg_and_the_same_bytes_again(make, tmp_path):
    boards = table([make("a $\\frac$ _b_")])
    first = plot.write(boards, tmp_path / "new" / "one")
    second = plot.write(boards, tmp_path / "two")
    assert [path.suffix for path in first] == [".png", ".svg"]
    assert first[0].read_bytes().startswith(b"\x89PNG")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_folder_that_cannot_be_written_is_one_sentence(make, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        plot.write(table([make("a")]), tmp_path / "file")
