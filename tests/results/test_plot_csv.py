"""Figures of `mqar`, `ppl`, `routing` and `bench` as functions of the CSV that these write."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from mom_eval.errors import SettingError
from mom_eval.results import bench, mqar, perplexity, routing
from mom_eval.results.frames import as_frame
from mom_eval.results.markdown import escaped
from mom_eval.results.plot_bench import bench_figure, figures
from mom_eval.results.plot_files import write_figures
from mom_eval.results.plot_mqar import mqar_figure
from mom_eval.results.plot_perplexity import perplexity_figure
from mom_eval.results.plot_routing import routing_figure
from tests.results.test_bench import new_bench, row
from tests.results.test_plot import overlapping
from tests.results.test_plot_look import perplexity as new_perplexity
from tests.results.test_plot_look import routes
from tests.results.test_plot_mqar import new_board


def new_ops() -> bench.Bench:
    """Without a peer; the second did not fit."""
    whole, op = new_bench(), {"phase": "op", "heads": 16, "key": 128}
    times = (bench.Measured(ms=0.3), bench.Measured(note="out of memory"))
    rows = [row(length, one, None, **op) for length, one in zip((64, 128), times, strict=True)]
    return bench.Bench(kind="op", rows=rows, peer=None, rates=whole.rates, about=whole.about)


class Case(NamedTuple):
    """A result, what writes it, and its figure."""

    module: object
    found: object
    stem: str
    draw: object


CASES = {
    "mqar": Case(mqar, new_board(), "mqar", mqar_figure),
    "ppl": Case(perplexity, new_perplexity(3), "ppl", perplexity_figure),
    "ppl of one span": Case(perplexity, new_perplexity(1, None), "ppl", perplexity_figure),
    "routing": Case(routing, routes(3, 4, source="sample"), "routing", routing_figure),
    "bench": Case(bench, new_bench(), "bench", bench_figure),
    "bench of ops": Case(bench, new_ops(), "bench", bench_figure),
}
all_cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def table(name: str) -> pd.DataFrame:
    return as_frame(CASES[name].module.lines(CASES[name].found))


def titles(figure) -> list[str]:
    return [title for axis in figure.axes if (title := axis.get_title(loc="left"))]


@all_cases
def test_the_file_read_back_gives_the_same_picture(case, tmp_path):
    written = case.module.write(case.found, tmp_path)
    pictures = [path for path in written if path.suffix in (".png", ".svg")]
    frame = pd.read_csv(tmp_path / f"{case.stem}.csv")
    again = write_figures({case.stem: case.draw(frame)}, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in pictures]


@all_cases
def test_a_column_that_is_missing_is_named_or_not_needed(case):
    frame = as_frame(case.module.lines(case.found))
    refused = {}
    for name in frame:
        try:
            case.draw(frame.drop(columns=name))
        except SettingError as error:
            refused[name] = str(error)
    source = f"pandas.read_csv reads of {case.stem}.csv"
    expected = "the table has no column {}; give what {}, or lines of it"
    assert refused == {name: expected.format(name, source) for name in refused}
    assert len(refused) > len(frame.columns) / 2


@all_cases
def test_a_table_without_lines_is_one_sentence(case):
    with pytest.raises(SettingError, match="no line that this plot could show; keep more lines"):
        case.draw(as_frame(case.module.lines(case.found)).iloc[:0])


def test_what_may_not_share_a_plot_is_refused():
    text, times = table("ppl"), table("bench")
    with pytest.raises(SettingError, match=r"differ in label and .* as table\[table\['label'\] =="):
        perplexity_figure(pd.concat([text, text.assign(label="another")]))
    with pytest.raises(SettingError, match="differ in label and"):
        routing_figure(pd.concat([table("routing"), table("routing").assign(label="b")]))
    with pytest.raises(SettingError, match="differ in vocab, chance and would share a plot"):
        mqar_figure(pd.concat([table("mqar"), table("mqar").assign(vocab=512, chance=1 / 256)]))
    with pytest.raises(SettingError, match="two lines of the same label, length, pairs; drop one"):
        mqar_figure(pd.concat([table("mqar")] * 2))
    with pytest.raises(SettingError, match="differ in batch and would share a plot"):
        bench_figure(pd.concat([times, times.assign(batch=1)]))
    with pytest.raises(SettingError, match="differ in device and would share a plot"):
        figures(pd.concat([times, times.assign(device="another")]))
    with pytest.raises(SettingError, match="no line by length or by position"):
        perplexity_figure(text.assign(by="day"))


def test_files_of_the_same_examples_share_a_plot():
    others = table("mqar").assign(label=lambda lines: lines["label"] + "!")
    short, _, legend = mqar_figure(pd.concat([table("mqar"), others[others["pairs"] < 8]])).axes
    names = [text.get_text().split("\n")[0] for text in legend.get_legend().get_texts()]
    assert names[:4] == ["one", "two", "one!", "two!"]
    markers = ("o", "s", "^", "D")
    sizes = [len(line.get_xdata()) for line in short.lines if line.get_marker() in markers]
    assert sizes == [2, 2, 1, 1]


def test_lines_of_a_table_are_drawn_alone():
    text, routed, times = table("ppl"), table("routing"), table("bench")
    figure = perplexity_figure(text[text["by"] == "position"])
    assert titles(figure) == ["By position in a context of 128"]
    assert overlapping(figure) == []
    assert titles(routing_figure(routed[routed["layer"] > 0])) == ["layer 1", "layer 2"]
    few = routed[routed["memory"].isin([1, 3]) & routed["kind"].isin(["first", "other"])]
    heat, bars = routing_figure(few).axes[:2]
    assert [label.get_text() for label in heat.get_yticklabels()] == ["m1", "m3"]
    assert [label.get_text() for label in heat.get_xticklabels()] == ["first", "other"]
    assert bars.lines[-1].get_xdata() == [25, 25]
    figure = bench_figure(times[times["phase"] == "decode"])
    assert titles(figure) == ["One token more"]
    assert overlapping(figure) == []


def test_batches_keep_their_colours():
    wide, small = table("bench"), table("bench").assign(batch=1)
    both = pd.concat([wide, wide.assign(work="b"), small.assign(work="b")])
    colors = {
        stem: [line.get_color() for line in figure.axes[0].lines]
        for stem, figure in figures(both).items()
    }
    assert len(colors["bench-batch-8"]) == 4
    assert colors["bench-batch-1"] == colors["bench-batch-8"][2:]


def test_names_may_be_numbers():
    board = as_frame(mqar.lines(new_board(("12", "=a"))))
    legend = mqar_figure(board.assign(label=board["label"].replace("=a", "13").astype(int))).axes[
        -1
    ]
    words = [text.get_text().split("\n")[0] for text in legend.get_legend().get_texts()]
    assert words[:2] == ["12", "13"]
    names = mqar_figure(board).axes[-1].get_legend().get_texts()
    assert names[1].get_text().startswith("=a\n")


def test_mqar_says_the_same_in_all_files():
    board, frame = CASES["mqar"].found, table("mqar")
    kept = [
        {"label": model["label"], **cell}
        for model in mqar.record(board)["models"]
        for cell in model["cells"]
    ]
    pd.testing.assert_frame_equal(frame[[*kept[0]]], as_frame(kept))
    text = mqar.markdown(board)
    for line in frame.itertuples():
        ends = (line.accuracy, line.accuracy_low, line.accuracy_high)
        assert "{:.1f} {:.1f}-{:.1f}".format(*(100 * end for end in ends)) in text
        if line.label == "two":
            ends = (line.against_first, line.against_first_low, line.against_first_high)
            assert "{:+.1f} {:+.1f}/{:+.1f}".format(*(100 * end for end in ends)) in text
    assert frame.loc[frame["label"] == "one", "against_first"].isna().all()


def test_ppl_says_the_same_in_all_files():
    found, frame = CASES["ppl"].found, table("ppl")
    kept = perplexity.record(found)
    for by, lines in (("length", kept["lengths"]), ("position", kept["positions"])):
        part = frame.loc[frame["by"] == by, [*lines[0]]].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, as_frame(lines), check_dtype=False)
    text = perplexity.markdown(found)
    for line in frame.itertuples():
        ends = f"{line.bits_per_byte_low:.3f}-{line.bits_per_byte_high:.3f}"
        assert f"{line.bits_per_byte:.3f}" in text
        assert ends in text
    what, *details = perplexity.heading(frame.iloc[0])
    assert f"{escaped(what)}\n\n{escaped(', '.join(details))}\n" in text


def test_routing_says_the_same_in_all_files():
    found, frame = CASES["routing"].found, table("routing")
    text = routing.markdown(found)
    for layer in routing.record(found)["layers"]:
        own = frame[frame["layer"] == layer["layer"]]
        assert set(own["router_entropy_bits_low"]) == {layer["router_entropy_bits"]["low"]}
        assert set(own["set_changes"]) == {layer["set_changes"]["value"]}
        assert set(own["chance"]) == {layer["set_changes"]["chance"]}
        for line in own.itertuples():
            load, kind = layer["load"][line.memory], layer["kinds"][line.kind]
            assert (line.load, line.load_low, line.load_high) == tuple(load.values())
            assert line.kind_tokens == kind["tokens"]
            over = kind["over_chance"][line.memory] or dict.fromkeys(("value", "low", "high"))
            ends = (line.over_chance, line.over_chance_low, line.over_chance_high)
            np.testing.assert_array_equal(ends, np.array([*over.values()], dtype=float))
            if over["low"] is not None:
                assert "{:.2f} {:.2f}-{:.2f}".format(*ends) in text


def test_bench_says_the_same_in_all_files():
    found, frame = CASES["bench"].found, table("bench")
    rows = as_frame(bench.record(found)["rows"])
    pd.testing.assert_frame_equal(frame[[*rows]], rows)
    assert set(frame["kind"]) == {bench.record(found)["kind"]}
    assert set(frame["versions"]) == {"torch 2.11, triton 3.6, flash-linear-attention 0.6.0"}
