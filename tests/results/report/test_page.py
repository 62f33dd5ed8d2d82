"""The page in a real browser: it sorts, filters, opens questions, fetches nothing, runs nothing."""

import pytest
from selenium.webdriver.common.keys import Keys

from mom_eval.results import table
from mom_eval.results.leaderboard import build
from mom_eval.results.store import read_runs
from tests.results.conftest import make_run
from tests.results.report.conftest import (
    ANSWER,
    HOSTILE,
    NAME,
    Given,
    made,
    question_lines,
    save,
)


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    return made(runs, tmp_path_factory.mktemp("page") / "report.html", Given())


@pytest.fixture
def opened(browser, page):
    """The page, wide; whatever a test does, nothing may be fetched or complained of."""
    yield browser.open(page)
    assert browser.complaints() == []
    assert browser.driver.title == "mom-eval report"


def row_names(browser):
    return [row.get_attribute("data-row") for row in browser.all(".board tbody tr")]


def test_numbers_are_those_that_the_leaderboard_prints(opened, runs):
    (board,) = build(read_runs([runs]))
    for row in board.rows:
        for key, cell in row.cells.items():
            (shown,) = [
                found.get_attribute("data-words")
                for line in opened.all(".board tbody tr")
                if line.get_attribute("data-row") == row.name
                for found in line.find_elements("css selector", f"td[data-column={key}]")
            ]
            assert shown in table.markdown([board])
            assert shown == table.score_text(cell.scores["contains"], board.shown)
    assert row_names(opened) == [row.name for row in board.rows]
    assert opened.texts(".board thead th")[1:] == ["FDA (120)↕", "NQ† (30)↕"]


def test_intervals_are_drawn_where_their_ends_are(opened):
    script = """
    const cell = document.querySelector('tr[data-row=beta] td[data-column=fda]');
    const at = (name, side) => cell.querySelector(name).getBoundingClientRect()[side];
    const bar = cell.querySelector('.bar').getBoundingClientRect();
    return ['.interval left', '.mean x', '.interval right'].map((one) => {
      const [name, side] = one.split(' ');
      return 100 * (at(name, side) - bar.left) / bar.width; });
    """
    low, mean, high = opened.driver.execute_script(script)
    assert mean == pytest.approx(50, abs=2)
    assert low == pytest.approx(37.5, abs=2)
    assert high == pytest.approx(62.5, abs=2)


def test_any_column_sorts_both_ways_and_rows_without_a_score_stay_last(opened):
    opened.one(".board [data-sort=nq]").click()
    assert row_names(opened) == [NAME, "beta", "=gamma()", "head"]
    opened.one(".board [data-sort=nq]").click()
    assert row_names(opened) == ["=gamma()", "beta", NAME, "head"]
    sorts = [one.get_attribute("aria-sort") for one in opened.all(".board th[aria-sort]")]
    assert sorts == ["none", "none", "ascending"]
    # By the keyboard as well: the focus stays on the heading that was pressed.
    opened.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert row_names(opened)[0] == NAME
    opened.one(".board [data-sort=name]").click()
    assert row_names(opened) == [NAME, "=gamma()", "beta", "head"]


def test_another_score_may_be_shown_and_sorted_by(opened):
    opened.choose("Score", "bits_per_byte")
    opened.one(".board [data-sort=fda]").click()
    # The lowest cost is the best, so that it comes on top first.
    assert row_names(opened)[0] in ("head", "=gamma()")
    assert "2.0" in opened.one("tr[data-row='=gamma()'] td[data-column=fda]").text


def test_costs_are_columns_that_sort_and_have_no_interval(runs, tmp_path, browser):
    for place, name in enumerate(("small", "large")):
        run = make_run(name, {"fda": question_lines("fda", [1, 0])}, info={"id": name})
        run.info["model"] |= {"parameters": 10 ** (4 + place), "state_bytes": 2048}
        run.info["model"] |= {"state_bytes_per_token": place, "decode_bytes": 9}
        save(run, tmp_path)
    browser.open(made(tmp_path, tmp_path / "r.html"))
    heads = browser.texts(".board thead th")
    assert heads[2:] == ["Parameters↕", "State↕", "Decode↕"]
    browser.one(".board [data-sort=parameters]").click()
    assert row_names(browser) == ["large", "small"]
    cells = browser.all("td[data-column=state_bytes]")
    assert [cell.text for cell in cells] == ["4 KiB", "2 KiB"]
    assert not browser.all("td[data-column=parameters] .bar")
    browser.choose("Score", "f1")
    assert len(browser.all("td[data-column=state_bytes]")) == 2
    assert browser.complaints() == []


def test_questions_are_filtered(opened):
    def count():
        return opened.one(".count").text

    assert count() == "150 questions of 150"
    opened.choose("Task", "nq")
    assert count() == "30 questions of 150"
    opened.choose("Models", "differ")
    assert count() == "20 questions of 150"
    opened.choose("Row", "2")
    assert count() == "0 questions of 150"
    opened.choose("is", "0")
    assert count() == "20 questions of 150"
    opened.choose("Models", "right")
    assert count() == "0 questions of 150"
    opened.choose("Row", "")
    assert count() == "10 questions of 150"
    opened.choose("Models", "")
    opened.one("input[type=search]").send_keys("A17")
    assert count() == "1 question of 150"


def test_questions_on_which_models_differ_come_first(opened):
    hits = opened.texts(".list .hits")
    assert len(hits) == 50
    assert set(hits[:40]) == {"1 of 3 right", "2 of 3 right"}
    opened.choose("Order", "asked")
    assert opened.texts(".list .hits")[0] == "3 of 3 right"
    opened.one(".more").click()
    assert len(opened.all(".list li")) == 100


def test_a_question_opens_with_its_prompt_outputs_and_marks(opened):
    opened.choose("Task", "nq")
    opened.choose("Models", "differ")
    opened.all(".list button")[0].click()
    # The driver reads a run of white space as one space.
    assert " ".join(HOSTILE.split()) in opened.one(".ask").text
    names = opened.texts(".output .name")
    assert names == [NAME, "beta", "=gamma()"]
    assert opened.texts(".output .verdict") == ["✓ right", "✓ right", "✗ wrong"]
    assert opened.texts(".output mark") == [ANSWER.lower()] * 2
    assert "<img src=x" in opened.all(".output pre")[2].text
    prompt = opened.one(".prompt")
    assert [mark.text for mark in prompt.find_elements("tag name", "mark")] == [
        ANSWER,
        "Ä=1+1 (X)*",
    ]
    assert opened.texts(".prompt .around")[-1].strip() == "Which one is nq-10?"
    assert opened.driver.current_url.endswith("#question/0/nq/nq-10")


def test_an_address_leads_to_its_question_and_the_next_one_follows(browser, page):
    browser.open(page, after="#question/0/fda/fda-41")
    assert "question fda-41," in browser.one(".which").text
    browser.all(".steps button")[2].click()
    assert "question fda-41," not in browser.one(".which").text
    assert browser.complaints() == []


def test_a_model_has_a_part_that_its_row_leads_to(opened):
    opened.one(".board tr[data-row=beta] a").click()
    part = opened.one("details[open].model")
    assert "beta" in part.find_element("tag name", "h3").text
    assert "50.0 37-63" in part.text


def test_on_a_phone_nothing_is_wider_than_the_screen_and_a_question_takes_the_list_s_place(
    browser, page
):
    browser.open(page, width=500)
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.driver.execute_script(wide) == 0
    browser.all(".list button")[0].click()
    assert browser.driver.execute_script(wide) == 0
    assert not browser.one(".finder").is_displayed()
    browser.one(".back").click()
    assert browser.one(".finder").is_displayed()
    assert browser.complaints() == []


def test_every_picture_has_words_and_is_shown(opened):
    pictures = opened.all("figure img")
    assert len(pictures) == 1
    assert "Recall by task" in pictures[0].get_attribute("alt")
    assert opened.driver.execute_script("return arguments[0].naturalWidth", pictures[0]) > 300


def test_light_and_dark(opened):
    def ground():
        return opened.driver.execute_script(
            "return getComputedStyle(document.body).backgroundColor"
        )

    light = ground()
    for _ in range(2):
        opened.one(".theme").click()
    assert opened.one(".theme").text == "Theme: dark"
    assert ground() != light


def test_the_page_s_policy_lets_no_other_script_run(browser, page, tmp_path):
    script = "<script>document.title = 'owned'</script>"
    text = page.read_text("utf-8").replace("</body>", f"{script}</body>")
    (tmp_path / "other.html").write_text(text, "utf-8")
    browser.open(tmp_path / "other.html")
    assert browser.driver.title == "mom-eval report"
    assert any("Content Security Policy" in words for words in browser.complaints())


def test_a_console_error_and_a_request_are_noticed(browser, page, tmp_path):
    text = page.read_text("utf-8").replace("</body>", '<img src="http://example.org/a"></body>')
    (tmp_path / "loud.html").write_text(text, "utf-8")
    assert browser.open(tmp_path / "loud.html").complaints()
