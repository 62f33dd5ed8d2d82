"""What is printed: Markdown for eyes, CSV for spreadsheets, JSON for programs."""

import csv as csv_reader
import io
import json as json_writer
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mom_eval.results import table
from mom_eval.results.leaderboard import build


def table_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_a_board_fits_a_terminal_and_reads_as_expected(make, tasks):
    blind = make("SmolLM2-135M", tasks(0.1, seed=1), control="blind")
    text = table.markdown(build([make("SmolLM2-135M", tasks(0.5)), blind])[:1])
    lines = table_lines(text)
    assert text.startswith(
        "## Recall, protocol paper, context length 2,048, local data, 519 questions\n"
    )
    assert cells_of(lines[0]) == [
        "Model",
        "Average of 5",
        "Net",
        "FDA (100)",
        "SWDE (100)",
        "SQuAD (100)",
        "NQ (100)",
        "TriviaQA\u2020 (19)",
        "DROP (100)",
    ]
    assert len({len(line) for line in lines[:3]}) == 1
    assert len(lines[0]) <= 132
    row = cells_of(lines[2])
    assert all(re.fullmatch(r"\d+\.\d \d+-\d+", row[place]) for place in (1, 3, 4, 5, 6, 7, 8))
    assert re.fullmatch(r"\+\d+\.\d \+\d+/\+\d+", row[2])


def test_ends_are_rounded_away_from_the_mean(make, lines):
    for right in range(20, 60, 3):
        board = build([make("a", {"fda": lines("fda", [1] * right + [0] * (100 - right))})])[0]
        score = board.rows[0].cells["fda"].scores["contains"]
        found = re.findall(rf"{right}\.0 (\d+)-(\d+)", table.markdown([board]))
        low, high = map(int, found[0])
        assert low <= score.low * 100 < low + 1
        assert high - 1 < score.high * 100 <= high


def test_zero_wrong_and_zero_right_print_a_width(make, lines):
    for value, words in ((0, r"0\.0 0-[1-9]"), (1, r"100\.0 9\d-100")):
        text = table.markdown(build([make("a", {"fda": lines("fda", [value] * 100)})]))
        assert re.search(rf"\| {words} *\|", text), text


def test_a_cell_without_a_score_is_a_dash_with_its_reason_below(make, lines):
    reference = make(
        "lookup",
        {"fda": lines("fda", [1] * 100, None)},
        kind="reference",
        info={"no_score": {"nq": "NQ has no key"}},
    )
    both = {"fda": lines("fda", [1] * 100), "nq": lines("nq", [0] * 100)}
    text = table.markdown(build([make("a", both), reference]))
    assert cells_of(table_lines(text)[3])[-1] == "-"
    assert "- No score: lookup on NQ: NQ has no key." in text


LABELS = [
    "a|b",
    "new\nline",
    "`code`",
    "*bold*",
    "[x](y)",
    "<b>",
    "back\\slash",
    "a\x1b[31m",
    "_u_",
]


@pytest.mark.parametrize("label", LABELS)
def test_no_label_breaks_a_table(make, label):
    lines = table_lines(table.markdown(build([make(label)])))
    assert len(lines) == 6  # two tables of a head, a rule and one row
    assert len({len(cells_of(line)) for line in lines[:3]}) == 1
    assert not re.search(r"(?<!\\)[`*<\[]", lines[2])
    assert lines[2].isprintable()


def test_an_ordinary_name_is_left_as_it_is(make):
    assert "| fla-hub/delta_net-1.3B " in table.markdown(build([make("fla-hub/delta_net-1.3B")]))


@given(st.text(min_size=1, max_size=30))
def test_wild_labels_keep_the_shape_of_table_and_csv(label):
    from tests.results.conftest import make_run

    boards = build([make_run(label)])
    head, _, row = table_lines(table.markdown(boards))[:3]
    assert len(cells_of(head)) == len(cells_of(row))
    read = list(csv_reader.DictReader(io.StringIO(table.csv(boards), newline="")))
    assert len(read) == 2
    shown = read[0]["row"]
    assert not shown.startswith(tuple("=+-@\t\r"))
    visible = [c for c in label if c.isprintable() and not c.isspace()]
    assert [c for c in shown if not c.isspace()] in (visible, ["'", *visible])


def test_csv_has_a_line_a_row_and_task_in_percent(make, tasks):
    questions = tasks(0.5)
    blind = make("a", tasks(0.1, seed=1), control="blind")
    boards = build([make("a", questions), blind], published="mom-paper")[:1]
    read = list(csv_reader.DictReader(io.StringIO(table.csv(boards))))
    own = [line for line in read if line["row"] == "a"]
    assert [line["task"] for line in own] == [*questions, "average"]
    fda, score = own[0], boards[0].rows[0].cells["fda"]
    assert float(fda["value"]) == pytest.approx(score.scores["contains"].value * 100)
    assert fda["value"] == fda["contains"]
    assert float(fda["f1_high"]) == pytest.approx(score.scores["f1"].high * 100, abs=1e-5)
    assert float(fda["bits_per_byte"]) == pytest.approx(score.scores["bits_per_byte"].value)
    assert float(fda["net_blind_low"]) == pytest.approx(score.net["blind"].low * 100, abs=1e-5)
    assert (fda["questions"], fda["documents"], fda["unit"]) == ("100", "50", "percent")
    assert (fda["in_average"], own[4]["in_average"]) == ("True", "False")
    published = next(line for line in read if line["kind"] == "published")
    assert (published["low"], published["questions"]) == ("", "")


@pytest.mark.parametrize("label", ["=1+1", "+a", "-a", "@a"])
def test_csv_defuses_formulas(make, label):
    read = list(csv_reader.DictReader(io.StringIO(table.csv(build([make(label)])))))
    assert read[0]["row"] == f"'{label}"


def test_json_is_plain_and_complete(make, tasks, lines):
    alone = lines("fda", [1])
    lm_eval = [{"task": "x", "id": "1", "document": "1", "filter": "none", "metrics": {"em": 1.0}}]
    reported = {"results": {"x": {"em,none": {"value": 1.0, "mean": True}}}}
    runs = [
        make("a", tasks(0.5)),
        make("b", {"fda": alone}, source="hub"),
        make("c", {"x": lm_eval}, kind="lm-eval", info=reported),
    ]
    boards = build(runs, published="mom-paper")
    read = json_writer.loads(json_writer.dumps(table.json(boards), allow_nan=False))
    assert [board["setting"]["source"] for board in read["boards"]] == ["hub", "local", "local"]
    first = read["boards"][1]["rows"][0]
    assert (first["name"], first["runs"]) == ("a", ["id of a"])
    score = first["tasks"]["fda"]["scores"]["contains"]
    assert score["low"] < score["value"] < score["high"]
    assert score["questions"] == 100
    single = read["boards"][0]["rows"][0]["tasks"]["fda"]["scores"]
    assert (single["bits_per_byte"]["low"], single["bits_per_byte"]["standard_error"]) == (
        None,
        None,
    )
    assert read["boards"][1]["files"]["fda"] == "sha of fda"


def test_markdown_of_lm_evals_tasks_keeps_their_units(make):
    found = [
        {"task": "x", "id": str(n), "document": str(n), "filter": "none", "metrics": {"em": n % 2}}
        for n in range(40)
    ]
    reported = {"results": {"x": {"em,none": {"value": 0.5, "mean": True}}}}
    text = table.markdown(build([make("a", {"x": found}, kind="lm-eval", info=reported)]))
    assert re.search(r"\| a +\| 0\.500 0\.\d\d-0\.\d\d \|", text), text


def test_controls_have_a_table_of_their_own(make, tasks):
    runs = [make("a", tasks(0.5))]
    runs += [make("a", tasks(0.5), control=control) for control in ("blind", "shuffled")]
    text = table.markdown(build(runs)[:1])
    rows = [cells_of(line)[:3] for line in table_lines(text)[-2:]]
    assert [row[1] for row in rows] == ["blind", "shuffled"]
    assert all(re.fullmatch(r"0\.0 -\d/\+\d", row[2]) for row in rows), rows
