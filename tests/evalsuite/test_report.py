"""Prompts built anew for the report: only those whose hash the run wrote down count as prompts."""

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from mom_eval import evaluate
from mom_eval.cli import main
from mom_eval.evalsuite.rebuilt import Rebuilt
from mom_eval.results.store import read_runs
from mom_eval.tasks import sample
from mom_eval.tasks.questions import digest


@pytest.fixture(scope="module")
def runs(tiny_llama, tmp_path_factory) -> Path:
    """A model and the reference rows on three questions of two tasks, of a folder of data."""
    out = tmp_path_factory.mktemp("run")
    data = out / "data"
    data.mkdir()
    for task in ("fda", "nq"):
        rows = sample.generate(task, "test", seed=1, questions=9, tokens=700)
        (data / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluate(str(tiny_llama), tasks="fda,nq", data=str(data), context_length=512, limit=3,
             out=out / "runs", device="cpu")  # fmt: skip
    return out


def rebuilt(runs: Path, data: str | None = "data", tokenizers: tuple[str, ...] = ()) -> Rebuilt:
    return Rebuilt(str(runs / data) if data else None, None, tokenizers, lambda _: None)


def test_a_prompt_at_hand_has_the_hash_that_the_run_wrote_down(runs, tiny_llama):
    texts = rebuilt(runs, tokenizers=(str(tiny_llama),))
    for run in read_runs([runs / "runs"]):
        for task, lines in run.questions.items():
            assert len(lines) in (0, 3)
            for line in lines:
                prompt, document = texts.of(run, task, line["id"])
                assert prompt is not None
                assert digest(prompt, length=16) == line["prompt_hash"]
                assert document in prompt
    assert texts.missing == []


def test_the_tokenizer_of_a_checkpoint_that_ships_is_at_hand(runs, tiny_llama, monkeypatch):
    monkeypatch.setattr("mom_eval.models.zoo.FOLDER", tiny_llama.parent)
    texts = rebuilt(runs)
    (run,) = [run for run in read_runs([runs / "runs"]) if run.info["kind"] == "model"]
    assert all(texts.of(run, "fda", line["id"]).prompt for line in run.questions["fda"])
    assert texts.missing == []


def test_without_the_tokenizer_the_whole_document_is_shown_and_said_to_be_that(runs):
    texts = rebuilt(runs)
    (run,) = [run for run in read_runs([runs / "runs"]) if run.info["kind"] == "model"]
    found = [texts.of(run, "fda", line["id"]) for line in run.questions["fda"]]
    assert [text.prompt for text in found] == [None] * 3
    assert all(len(text.document) > 2000 for text in found)
    assert [sentence.split(" is not")[0] for sentence in texts.missing] == [
        "the tokenizer tiny-llama"
    ]


def test_other_documents_than_the_run_s_are_not_shown(runs, tiny_llama, tmp_path):
    shutil.copytree(runs / "data", tmp_path / "data")
    with (tmp_path / "data" / "fda.jsonl").open("a") as file:
        file.write("\n")
    texts = rebuilt(tmp_path, tokenizers=(str(tiny_llama),))
    (run,) = [run for run in read_runs([runs / "runs"]) if run.info["kind"] == "model"]
    assert all(texts.of(run, "fda", line["id"]) is None for line in run.questions["fda"])
    assert "their hash is another one" in texts.missing[0]
    assert all(texts.of(run, "nq", line["id"]) for line in run.questions["nq"])


def test_a_prompt_that_comes_out_otherwise_is_no_prompt(runs, tiny_llama):
    texts = rebuilt(runs, tokenizers=(str(tiny_llama),))
    (run,) = [run for run in read_runs([runs / "runs"]) if run.info["kind"] == "model"]
    run.questions["fda"][0]["prompt_hash"] = "other"
    first, second = [texts.of(run, "fda", line["id"]) for line in run.questions["fda"][:2]]
    assert first.prompt is None
    assert second.prompt is not None
    assert texts.missing[0].startswith(
        "prompts of fda come out otherwise than tiny-llama read them"
    )


def test_where_no_data_are_named_that_is_said(runs, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    texts = rebuilt(runs, data=None)
    (run,) = [run for run in read_runs([runs / "runs"]) if run.info["kind"] == "model"]
    assert texts.of(run, "fda", run.questions["fda"][0]["id"]) is None
    assert "are local data and not at hand; name their folder with --data" in texts.missing[0]


def test_the_sample_is_made_as_long_as_the_run_asked_for(tiny_llama, tmp_path):
    evaluate(str(tiny_llama), tasks="fda", data="sample", context_length=512, limit=41,
             out=tmp_path, device="cpu")  # fmt: skip
    texts = Rebuilt(None, None, (str(tiny_llama),), lambda _: None)
    for run in read_runs([tmp_path]):
        assert all(texts.of(run, "fda", line["id"]).prompt for line in run.questions["fda"])
    assert texts.missing == []


def test_the_command_writes_a_page_with_the_prompts(runs, tiny_llama, tmp_path):
    page = tmp_path / "report.html"
    words = ["report", runs / "runs", "--out", page, "--data", runs / "data"]
    words += ["--tokenizer", tiny_llama]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert f"wrote {page}" in result.stderr
    (text,) = re.findall(r'id="data">(.*)</script>', page.read_text("utf-8"))
    data = json.loads(text)
    shown = data["words"]["0"]
    assert len(shown) == 6
    assert all(one["read"][0]["prompt"] for one in shown.values())
    assert data["missing"] == []
    wrong = CliRunner().invoke(main, ["report", str(runs / "runs"), "--out", str(tmp_path)])
    assert wrong.exit_code == 1
    assert "is a folder; name a file" in wrong.stderr
