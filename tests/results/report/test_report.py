"""What goes into the page: which words, in what form, and what is refused."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mom_eval.errors import RunError, SettingError
from mom_eval.results import table
from mom_eval.results.leaderboard import build
from mom_eval.results.report import Text, beside, words
from mom_eval.results.report.cards import cards
from mom_eval.results.report.page import as_json, render
from mom_eval.results.report.questions import asked, by_disagreement
from mom_eval.results.report.sheet import sheets
from mom_eval.results.store import read_runs
from tests.results.conftest import make_run
from tests.results.report.conftest import NAME, Given, made, question_lines, save


def data_of(page):
    """The data as the page's script reads them."""
    text = page.read_text("utf-8")
    found = re.findall(r'<script type="application/json" id="data">(.*)</script>', text)
    assert len(found) == 1
    return json.loads(found[0])


def test_the_page_holds_scores_of_all_questions_and_who_scored_what(runs, tmp_path):
    data = data_of(made(runs, tmp_path / "r.html"))
    questions = data["questions"]["0"]
    assert len(questions["list"]) == 150
    assert questions["models"] == [0, 1, 2]
    assert sorted(questions["rank"]) == list(range(150))
    first, last = questions["list"][0], questions["list"][-1]
    assert first == ["fda", "fda-0", "fda-doc-0", "1110", "0000", [0.5, 0.5, 0.5, 0.0],
                     [1.25, 1.25, 1.25, 1.0]]  # fmt: skip
    assert last[:4] == ["nq", "nq-29", "nq-doc-14", "100-"]
    assert [model["name"] for model in data["models"]] == [NAME, "beta", "=gamma()"]


def test_nothing_of_a_run_stands_in_the_page_but_as_escaped_json(runs, tmp_path):
    text = made(runs, tmp_path / "r.html", Given()).read_text("utf-8")
    assert "<img" not in text
    assert text.count("</script>") == 2
    assert "owned" in text
    assert "http://" not in re.sub(r'"svg":"(?:[^"\\]|\\.)*"', "", text).replace("www.w3.org", "")


def test_the_script_makes_no_html_out_of_strings():
    text = render({})
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "fetch(",
    ):
        assert word not in text


@given(st.text(st.characters(codec=None)))
def test_any_text_comes_back_from_the_page_and_ends_nothing(text):
    written = as_json({"a": text})
    assert json.loads(written) == {"a": text}
    assert not re.search("[<>&\u2028\u2029]", written)
    assert written.encode("utf-8")


def test_without_text_no_word_of_a_question_is_left(runs, tmp_path):
    page = made(runs, tmp_path / "r.html", with_words=False)
    text = page.read_text("utf-8")
    assert "onload" not in text
    assert "zwei" not in text
    assert "calc" not in text.replace("calc(", "")
    assert len(data_of(page)["questions"]["0"]["list"]) == 150
    with pytest.raises(SettingError, match="--no-text leaves out what --full would write"):
        made(runs, tmp_path / "r.html", with_words=False, full=tmp_path / "full")


def test_words_are_those_of_most_disagreement_of_every_task_until_the_page_is_full(runs):
    found = read_runs([runs])
    (sheet,) = sheets(build(found), found).values()
    one = words.size(words.words(sheet.questions[0], Given()))
    shown = words.within({0: sheet.questions}, {0: sheet.order}, Given(), most=5 * one)[0]
    assert list(shown) == ["40", "130", "131", "41"]
    assert words.size(shown) <= 5 * one
    everything = words.within({0: sheet.questions}, {0: sheet.order}, Given())[0]
    assert len(everything) == 150


def test_long_prompts_crowd_out_no_short_ones(runs):
    class Long(Given):
        def of(self, run, task, question):
            text = super().of(run, task, question)
            return Text(f"{text.prompt}{'long ' * 2000}", "") if task == "nq" else text

    found = read_runs([runs])
    (sheet,) = sheets(build(found), found).values()
    shown = words.within({0: sheet.questions}, {0: sheet.order}, Long(), most=40_000)[0]
    assert sum(sheet.questions[int(place)].task == "nq" for place in shown) < 3
    assert sum(sheet.questions[int(place)].task == "fda" for place in shown) > 9
    assert words.size(shown) <= 40_000


def test_disagreement_is_largest_where_half_are_right_then_where_bits_differ():
    right = {"a": [1, 1, 0, 1], "b": [1, 0, 0, 1], "c": [1, 0, 0, 0], "d": [1, 0, 0, 0]}
    found = [make_run(name, {"fda": question_lines("fda", one)}) for name, one in right.items()]
    found[0].questions["fda"][2]["bits_per_byte"] = 9.0
    (board,) = build(found)
    assert by_disagreement(asked(board, found), [0, 1, 2, 3]) == [3, 1, 2, 0]


def test_a_prompt_is_written_once_for_all_who_read_it(runs, tmp_path):
    data = data_of(made(runs, tmp_path / "r.html", Given()))
    (read,) = data["words"]["0"]["0"]["read"]
    assert read["rows"] == [0, 1, 2, 3]
    assert read["document"] is None
    start, end = read["span"]
    assert start == 0
    assert read["prompt"][end:] == " Which one is fda-0?"


def test_where_a_prompt_does_not_hold_its_document_both_are_kept():
    class Odd:
        missing = ()

        def of(self, run, task, question):
            given = {"fda-0": Text("prompt", "other"), "fda-1": Text(None, "whole")}
            return given.get(question)

    found = [make_run("a", {"fda": question_lines("fda", [1, 0, 1])})]
    questions = asked(build(found)[0], found)
    read = [words.words(question, Odd())["read"] for question in questions]
    assert read[0] == [{"rows": [0], "prompt": "prompt", "document": "other", "span": None}]
    assert read[1] == [{"rows": [0], "prompt": None, "document": "whole", "span": None}]
    assert read[2] == []


def test_full_pages_hold_the_words_of_all_questions_and_are_linked(
    runs, tmp_path, monkeypatch, browser
):
    monkeypatch.setattr("mom_eval.results.report.full.TEXT_BYTES", 60_000)
    monkeypatch.setattr(words, "TEXT_BYTES", 0)
    monkeypatch.setattr(words.within, "__defaults__", (0,))
    page = made(runs, tmp_path / "here" / "r.html", Given(), full=tmp_path / "a full# one")
    pages = sorted((tmp_path / "a full# one").glob("*.html"))
    assert len(pages) > 2
    found = [len(data_of(one)["words"]["0"]) for one in pages]
    assert sum(found) == 150
    assert data_of(page)["words"]["0"] == {}
    browser.open(page, after="#question/0/nq/nq-29")
    browser.one(".question .hint a").click()
    assert re.fullmatch(r"NQ, questions \d+ to 30", browser.one("h1").text)
    assert "question nq-29," in browser.one(".which").text
    assert "Which one is nq-29?" in browser.one(".prompt").text
    browser.one("header a").click()
    assert browser.one("h1").text == "Recall report"
    assert browser.complaints() == []


def test_the_same_runs_give_the_same_bytes(runs, tmp_path):
    one, other = (
        made(runs, tmp_path / name, Given()).read_bytes() for name in ("a.html", "b.html")
    )
    assert one == other


def test_routing_and_speed_found_beside_the_runs_stand_with_their_model(tmp_path, browser):
    run = make_run("mom", {"fda": question_lines("fda", [1, 0])}, weights="abc")
    save(run, tmp_path)
    ends = {"value": 0.5, "low": 0.4, "high": 0.7}
    layer = {"layer": 3, "top_k": 1, "load": [ends, ends], "load_entropy_bits": 1.0,
             "router_entropy_bits": ends, "set_changes": ends | {"chance": 0.5},
             "kinds": {"digit": {"tokens": 3, "over_chance": [ends, None]}}}  # fmt: skip
    routing = {"model": {"weights_sha256": "abc"}, "tasks": ["fda"], "questions": 2,
               "kinds": {"digit": "a digit"}, "layers": [layer]}  # fmt: skip
    bench = {"kind": "model", "device": "cpu", "dtype": "float32", "rows": [
        {"work": name, "phase": "decode", "batch": 2, "length": 9, "tokens_per_second": 1234.5}
        for name in ("mom", "other")]}  # fmt: skip
    (tmp_path / "routing").mkdir()
    (tmp_path / "routing" / "routing.json").write_text(json.dumps(routing))
    (tmp_path / "bench.json").write_text(json.dumps(bench))
    page = made(tmp_path, tmp_path / "r.html")
    (model,) = data_of(page)["models"]
    assert [speed["tokens_per_second"] for speed in model["speeds"]] == [1234.5]
    assert model["routing"][0]["layers"][0]["load"] == [[0.5, 0.4, 0.7]] * 2
    browser.open(page, after="#model-0")
    assert "m0\n50.0 %" in browser.one(".loads").text
    assert "1,235" in browser.one("details.model").text
    assert browser.complaints() == []


def test_a_file_beside_the_runs_that_is_something_else_is_one_sentence(tmp_path):
    (tmp_path / "routing.json").write_text("[]")
    with pytest.raises(RunError, match=r"routing.json is not what `mom-eval routing --out` writes"):
        beside.Beside([tmp_path])


def test_a_model_of_several_runs_has_one_card_and_the_best_stand_first():
    good = make_run("good", {"fda": question_lines("fda", [1] * 100)})
    poor = make_run("poor", {"fda": question_lines("fda", [0] * 100)})
    long = make_run("poor", {"fda": question_lines("fda", [0] * 100)}, context_length=512,
                    info={"id": "x"})  # fmt: skip
    found = [poor, long, good]
    made_cards = cards(found, build([poor, good]))
    assert [(card.name, len(card.runs)) for card in made_cards] == [("good", 1), ("poor", 2)]


def test_what_cannot_be_written_or_shown_is_one_sentence(runs, tmp_path):
    with pytest.raises(RunError, match=r"is a folder; name a file, as .*report.html"):
        made(runs, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="a file stands where a folder is needed"):
        made(runs, tmp_path / "file" / "r.html")
    lines = question_lines("fda", [1])
    del lines[0]["output"]
    save(make_run("a", {"fda": lines}), tmp_path / "short")
    with pytest.raises(RunError, match=r"fda.jsonl, line 1 has no field 'output'"):
        made(tmp_path / "short", tmp_path / "r.html")


def test_boards_of_every_kind_stand_in_the_page(tmp_path, browser):
    right = [1, 0] * 60
    both = {task: question_lines(task, right) for task in ("fda", "nq")}
    none = {task: question_lines(task, [0] * 120) for task in ("fda", "nq")}
    save(make_run("m", both, info={"id": "a" * 12}), tmp_path)
    save(make_run("m", none, control="blind", info={"id": "b" * 12}), tmp_path)
    for place, depth in enumerate((0.0, 1.0)):
        nq = {"nq": question_lines("nq", right)}
        save(make_run("m", nq, haystack=900, depth=depth, info={"id": f"{place:012d}"}), tmp_path)
    theirs = [{"task": "x", "id": str(n), "document": str(n), "filter": "none",
               "metrics": {"em": n % 2}} for n in range(8)]  # fmt: skip
    results = {"x": {"em,none": {"value": 0.5, "mean": True}}}
    save(make_run("m", {"x": theirs}, kind="lm-eval", info={"id": "c" * 12, "results": results}),
         tmp_path)  # fmt: skip
    boards = build(read_runs([tmp_path]))
    assert len(boards) == 5
    browser.open(made(tmp_path, tmp_path / "r.html"))
    assert browser.texts(".panel > h3")[:5] == [board.title for board in boards]
    first = browser.all(".board")[0]
    heads = [one.text for one in first.find_elements("css selector", "thead th")]
    assert heads == ["Row↕", "Average of 2↕", "Net↕", "FDA (120)↕", "NQ (120)↕"]
    net = first.find_element("css selector", "td[data-column=net]")
    assert net.get_attribute("data-words") == table.difference_text(
        boards[0].rows[0].average.net["blind"], boards[0].shown
    )
    assert net.find_elements("css selector", ".zero")
    own = browser.all(".board")[4].find_element("css selector", "td[data-column='x em']")
    assert own.get_attribute("data-words").startswith("0.500")
    assert len(browser.all("figure img")) == 3
    assert browser.texts(".model h3") == ["m"]
    assert browser.one(".count").text == "240 questions of 240"
    browser.choose("Board", "1")
    assert browser.one(".count").text == "120 questions of 120"
    assert browser.complaints() == []
