"""Run folders whose texts try to get out of the page, and a real Chromium to open it in."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from mom_eval.results.report import NO_TEXTS, Text, Texts, write
from mom_eval.results.store import SCHEMA, Run
from tests.results.conftest import make_run

HOSTILE = (
    "</script><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    "<!-- <svg onload=document.title='owned'> \u2028 ]]> &lt;b&gt;"
)
NAME = "**a** [b](javascript:document.title='owned') <b>c</b> `d` | e"
ANSWER = "Ä=1+1 (x)*"


def question_lines(task: str, right: list[int], documents: int = 2) -> list[dict[str, Any]]:
    """Lines as a run holds them; the output of a wrong one is hostile."""
    return [
        {
            "task": task,
            "id": f"{task}-{place}",
            "document": f"{task}-doc-{place // documents}",
            "prompt_hash": "0",
            "question": f"=cmd|' /C calc'!A{place} {HOSTILE}",
            "answers": [ANSWER, "zwei"],
            "output": f"so {ANSWER.lower()}" if value else HOSTILE,
            "contains": value,
            "exact": 0,
            "f1": value / 2,
            "bits_per_byte": 1.0 + place % 3 + value / 4,
        }
        for place, value in enumerate(right)
    ]


def save(run: Run, out: Path) -> Path:
    """A run as `mom-eval run` leaves it."""
    folder = out / run.info["id"].replace(" ", "-")
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"schema": SCHEMA, **run.info}), "utf-8")
    for task, lines in run.questions.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{task}.jsonl").write_text(text, "utf-8")
    return folder


class Given:
    """A prompt for every question, as hostile as the rest; `missing` as is."""

    missing = ("one thing is not at hand",)

    def of(self, run: Run, task: str, question: str) -> Text:
        document = f"\U0001f9ea {HOSTILE}\n= a document with {ANSWER} in it, and ÄÄ=1+1 (X)*."
        return Text(f"{document} Which one is {question}?", document)


def patterns(count: int) -> dict[str, list[int]]:
    """Right and wrong of three models, which differ on the middle third."""
    return {
        NAME: [1] * count,
        "beta": [1] * (count // 2) + [0] * (count - count // 2),
        "=gamma()": [1] * (count // 3) + [0] * (count - count // 3),
    }


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """Three models on two tasks and a reference row on one."""
    out = tmp_path_factory.mktemp("runs")
    fda, nq = patterns(120), patterns(30)
    for place, name in enumerate(fda):
        questions = {"fda": question_lines("fda", fda[name]), "nq": question_lines("nq", nq[name])}
        info = {"id": f"{place:012x}", "seconds": 60.0, "prompt_tokens": 9000}
        save(make_run(name, questions, info=info), out)
    head = {"fda": question_lines("fda", [0] * 120)}
    save(make_run("head", head, kind="reference", info={"id": "f" * 12}), out)
    return out


def made(runs: Path, out: Path, texts: Texts = NO_TEXTS, **options: Any) -> Path:
    """A page of these runs."""
    options = {"with_words": True, "full": None, "say": lambda _: None} | options
    write([runs], out, texts=texts, **options)
    return out


class Browser:
    """A Chromium in which nothing may be fetched and every word on the console counts."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, page: Path, width: int = 1280, after: str = "") -> "Browser":
        """Open a file of this machine, from nothing."""
        self.driver.get("about:blank")
        self.driver.set_window_size(width, 900)
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(page.resolve().as_uri() + after)
        return self

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return [one.text for one in self.all(selector)]

    def one(self, selector: str) -> Any:
        (found,) = self.all(selector)
        return found

    def choose(self, label: str, value: str) -> None:
        """Set the select of that label as a reader would."""
        for choice in self.all("label.choice"):
            if choice.text.split("\n")[0] == label:
                choice.find_element(By.CSS_SELECTOR, f"option[value='{value}']").click()
                return
        raise AssertionError(f"no choice is called {label}")

    def complaints(self) -> list[str]:
        """What stands on the console, and every address asked for but the page's own."""
        console = [entry["message"] for entry in self.driver.get_log("browser")]
        events = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        asked = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return console + [url for url in asked if not url.startswith(("file:", "data:image/svg"))]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; without one the tests fail, since what they hold is then not known."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    lacking = [name for name, path in programs.items() if path is None]
    if lacking:
        pytest.fail(
            f"no {' and no '.join(lacking)} here: `apt-get install chromium chromium-driver`"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs["chromium"])
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    # No name is resolved, so that nothing leaves this machine even if a page asked for it.
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(programs["chromedriver"])))
    yield Browser(driver)
    driver.quit()
