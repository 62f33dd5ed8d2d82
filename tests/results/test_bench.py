"""Tables and plots of a benchmark, from times that are given."""

import json
from csv import DictReader
from dataclasses import replace

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from mom_eval.results.bench import (
    Bench,
    Launched,
    Measured,
    Row,
    as_json,
    lines,
    markdown,
    write,
)
from mom_eval.results.frames import as_frame
from mom_eval.results.plot_bench import figures
from tests.results.test_plot import overlapping

ABOUT = {
    "device": "NVIDIA H200",
    "dtype": "bfloat16",
    "kernels": "auto",
    "seed": 0,
    "random_weights": True,
    "versions": {"torch": "2.11", "triton": "3.6", "flash-linear-attention": "0.6.0"},
    "command": "mom-eval bench model mom-340m",
}


KERNELS = (Launched("scan", 24, 6.5), Launched("memcpy, device", 1, 2.5))


def row(length: int, ours: Measured, peer: Measured | None, phase: str = "prefill", **change):
    given = {"batch": 8, "tokens": 8 * length, "floor_ms": 4.0, "launched": KERNELS}
    return Row(
        work="mom-340m", phase=phase, length=length, ours=ours, peer=peer, **(given | change)
    )


def new_bench() -> Bench:
    ours = Measured(ms=10.0, first_s=1.5, peak_bytes=3 << 30)
    rows = [
        row(1024, ours, Measured(ms=25.0, peak_bytes=5 << 30)),
        row(2048, Measured(ms=160.0), Measured(note="fails here: no kernel for sm_90")),
        row(4096, Measured(note="out of memory"), Measured(ms=50.0)),
        row(1024, Measured(ms=0.25), Measured(error=0.5, note="wrong here"), "decode", tokens=8),
    ]
    rates = {"flops": 6.83e14, "bytes": 4.22e12}
    return Bench(kind="model", rows=rows, peer="fla", rates=rates, about=ABOUT)


@pytest.fixture
def bench() -> Bench:
    return new_bench()


def test_ratios_and_speeds():
    one = row(1024, Measured(ms=10.0), Measured(ms=25.0))
    assert (one.peer_ratio, one.floor_ratio) == (2.5, 2.5)
    assert one.tokens_per_second == 819_200.0
    none = row(1024, Measured(note="out of memory"), Measured(ms=25.0))
    assert (none.peer_ratio, none.floor_ratio, none.tokens_per_second) == (None, None, None)


def test_table(bench):
    text = markdown(bench)
    head, _, *cells = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[4:10]
    )
    found = [dict(zip(head, line, strict=True)) for line in cells]
    assert [one["ms"] for one in found] == ["10.0", "160", "out of memory", "0.250"]
    assert [one["fla, ms"] for one in found] == ["25.0", "fails here", "50.0", "wrong here"]
    assert [one["fla / ours"] for one in found] == ["2.50", "-", "-", "-"]
    assert [one["Ours / floor"] for one in found] == ["2.5", "40.0", "-", "0.1"]
    assert [one["Tokens/s"] for one in found] == ["819,200", "102,400", "-", "32,000"]
    assert found[0]["Peak, MiB"] == "3,072"
    assert "fla, s" not in head, "a column that says nothing is left out"
    assert "- fails here: no kernel for sm_90" in text
    assert "683 TFLOP/s" in text
    assert "random weights, torch 2.11, triton 3.6, flash-linear-attention 0.6.0" in text


def test_csv_and_json_hold_every_row(bench, tmp_path):
    write(bench, tmp_path)
    rows = list(DictReader((tmp_path / "bench.csv").read_text("utf-8").splitlines()))
    assert [one["peer_note"] for one in rows] == [
        "",
        "fails here: no kernel for sm_90",
        "",
        "wrong here",
    ]
    assert float(rows[0]["peer_over_ours"]) == 2.5
    assert float(rows[0]["serial_ms"]) == 9.0
    kept = json.loads(as_json(bench))
    assert [one["ms"] for one in kept["rows"]] == [10.0, 160.0, None, 0.25]
    assert kept["command"] == "mom-eval bench model mom-340m"


def test_what_is_no_number_is_null_in_json(bench):
    bench.rows[0] = row(1024, Measured(ms=1.0, error=float("inf")), None)
    kept = json.loads(as_json(bench), parse_constant=lambda name: pytest.fail(name))
    assert kept["rows"][0]["error"] is None


def test_kernels_have_a_table_of_their_own(bench, tmp_path):
    bench.rows[1] = row(2048, Measured(ms=160.0), None, launched=())
    write(bench, tmp_path)
    rows = list(DictReader((tmp_path / "bench-kernels.csv").read_text("utf-8").splitlines()))
    assert [one["length"] for one in rows] == ["1024", "1024", "4096", "4096", "1024", "1024"]
    assert list(rows[1].values()) == [
        "mom-340m",
        "prefill",
        "8",
        "1024",
        "memcpy, device",
        "1",
        "2.5",
    ]
    assert "launched" not in json.loads(as_json(bench))["rows"][0]


def test_files_and_plots(bench, tmp_path):
    names = {"bench.md", "bench.csv", "bench.json", "bench.png", "bench.svg"}
    assert {path.name for path in write(bench, tmp_path)} == names | {"bench-kernels.csv"}
    for number, one in enumerate(bench.rows):
        bench.rows[number] = replace(one, launched=())
    assert {path.name for path in write(bench, tmp_path)} == names, "on a CPU nobody sees kernels"


def drawn(bench, stem="bench"):
    return figures(as_frame(lines(bench)))[stem]


def test_a_plot_has_a_line_a_side_and_names_at_their_ends(bench):
    time = drawn(bench).axes[0]
    points = [(list(line.get_xdata()), list(line.get_ydata())) for line in time.lines]
    assert points == [([1024, 2048], [10.0, 160.0]), ([1024, 4096], [25.0, 50.0])]
    names = {text.get_text() for text in time.texts}
    assert names == {"mom-340m: out of memory", "mom-340m, fla"}
    assert (time.get_xscale(), time.get_yscale()) == ("log", "log")


def test_no_name_is_struck_by_the_way_to_another(bench):
    bench.rows[:] = [
        replace(row(1024, Measured(ms=10.0), Measured(ms=10.0)), work=f"model-{n}")
        for n in range(4)
    ]
    figure = drawn(bench)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    names = figure.axes[0].texts
    assert len(names) == 8
    left = min(Text.get_window_extent(name, canvas.get_renderer()).x0 for name in names)
    assert max(name.arrow_patch.get_window_extent().x1 for name in names) < left + 1


def test_what_hardly_differs_looks_so(bench):
    bench.rows[:] = [row(n, Measured(ms=ms), None) for n, ms in ((1024, 10.0), (2048, 10.01))]
    low, high = drawn(bench).axes[0].get_ylim()
    assert low < 10.0 < 10.01 < high
    assert high / low > 3.9


def test_what_was_not_measured_is_an_empty_panel(bench):
    figure = drawn(bench)
    memory = figure.axes[3]
    assert [text.get_text() for text in memory.texts] == ["not measured"]
    assert [*memory.get_xticks(), *memory.get_xticks(minor=True)] == []
    assert [*memory.get_yticks(), *memory.get_yticks(minor=True)] == []
    assert overlapping(figure) == []


def test_a_figure_a_batch(bench):
    bench.rows.append(row(1024, Measured(ms=1.0), None, batch=1))
    found = figures(as_frame(lines(bench)))
    assert set(found) == {"bench-batch-1", "bench-batch-8"}
    assert "1 sequence" in found["bench-batch-1"].get_suptitle()


def test_steps_of_training(bench):
    rows = [
        row(1024, Measured(ms=ms), Measured(ms=2 * ms), phase)
        for phase, ms in (("forward", 10.0), ("train", 30.0))
    ]
    found = Bench(kind="train", rows=rows, peer="torch", rates=bench.rates, about=ABOUT)
    text = markdown(found)
    assert text.startswith("## Steps of training\n")
    assert "triton 3.6, torch: our models without Triton's kernels\n" in text
    assert "train: that and the gradients, without an optimizer" in text
    whole, forward = drawn(found).axes[:2]
    assert [list(line.get_ydata()) for line in whole.lines] == [[30.0], [60.0]]
    assert [list(line.get_ydata()) for line in forward.lines] == [[10.0], [20.0]]
    assert (whole.get_title("left"), forward.get_title("left")) == (
        "Forward and backward",
        "Forward alone",
    )


def test_a_plot_of_ops(bench):
    op = {"phase": "op", "heads": 16, "key": 128}
    rows = [row(2048, Measured(ms=0.3), Measured(ms=0.9), **op)]
    figure = drawn(Bench(kind="op", rows=rows, peer="fla", rates=bench.rates, about=ABOUT))
    (axis,) = figure.axes
    assert [bar.get_width() for bar in axis.patches] == [0.3, 0.9]
    assert [text.get_text() for text in axis.texts] == ["0.300", "0.900"]


def test_a_plot_of_ops_that_all_fail_shows_their_floors(bench):
    op = {"phase": "op", "heads": 16, "key": 128}
    rows = [row(2048, Measured(note="out of memory"), None, **op)]
    (axis,) = drawn(Bench(kind="op", rows=rows, peer=None, rates=bench.rates, about=ABOUT)).axes
    assert [text.get_text() for text in axis.texts] == ["out of memory"]
    assert axis.get_xlim()[1] > rows[0].floor_ms
