"""lm-eval's own tasks: what it reports is kept, and an old run outlives a new one that fails."""

import json
import math

import pytest

import mom_eval
from mom_eval.errors import ModelError, SettingError
from mom_eval.evalsuite import lm_eval_model
from mom_eval.evalsuite.lm_eval_run import results_record, sample_line
from mom_eval.results.store import read_run

YAML = """
task: tiny_qa
dataset_path: json
dataset_kwargs: {data_files: {validation: FILE}}
validation_split: validation
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 4}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
PERPLEXITY = """
task: tiny_words
dataset_path: json
dataset_kwargs: {data_files: {validation: FILE}}
validation_split: validation
output_type: loglikelihood
doc_to_text: "{{question}}"
doc_to_target: " {{answer}}"
metric_list:
  - {metric: perplexity, aggregation: perplexity, higher_is_better: false}
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""


@pytest.fixture
def task(tmp_path):
    """`task(yaml)`: a file of it, over three questions."""

    def make(text):
        data = tmp_path / "data.jsonl"
        data.write_text('{"question": "a", "answer": "b"}\n{"question": "c", "answer": "d e"}\n')
        file = tmp_path / "mine.yaml"
        file.write_text(text.replace("FILE", str(data)))
        return file

    return make


def run_of(model, file, tmp_path, tasks="lm-eval:", **more):
    table = mom_eval.evaluate(
        str(model), tasks=f"{tasks}{file}", data="sample", out=tmp_path / "runs", **more
    )
    (run,) = [r for r in map(read_run, table.attrs["runs"]) if r.info["kind"] == "lm-eval"]
    return table, run


def test_they_pass_through_into_a_table_of_their_own(tiny_llama, task, tmp_path):
    table, run = run_of(tiny_llama, task(YAML), tmp_path, tasks="nq,lm-eval:", limit=2)
    assert run.info["finished"]
    assert run.info["peak_memory_bytes"] > 0
    assert [line["metrics"] for line in run.questions["tiny_qa"]] == [{"exact_match": 0.0}] * 2
    assert table["board"].nunique() == 2
    assert str(tmp_path) not in json.dumps(run.info)
    with pytest.raises(SettingError, match="lm-eval has no task"):
        mom_eval.evaluate(str(tiny_llama), tasks="lm-eval:no_such.yaml", out=tmp_path / "runs")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("task: [x", "cannot make a task .* mend the YAML file"),
        ("hello", "cannot make a task .*Expected YAML dict"),
        ("task: foo", "cannot make a task"),
        (YAML.replace("generate_until", "generate"), "cannot make a task .*output_type"),
        (YAML.replace("{{question}}", "{{question"), "a template of .* does not work"),
    ],
)
def test_a_yaml_file_that_is_no_task_is_said(tiny_llama, task, tmp_path, wrong, sentence):
    with pytest.raises(SettingError, match=sentence) as caught:
        run_of(tiny_llama, task(wrong), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_perplexity_is_what_lm_eval_reports(tiny_llama, task, tmp_path):
    table, run = run_of(tiny_llama, task(PERPLEXITY), tmp_path)
    nats = [line["metrics"]["perplexity"] for line in run.questions["tiny_words"]]
    (row,) = table[table["task"] == "tiny_words perplexity"].to_dict("records")
    assert row["value"] == pytest.approx(math.exp(-sum(nats) / 2), rel=1e-6)
    assert math.isnan(row["low"])
    (row,) = table[table["task"] == "tiny_words acc"].to_dict("records")
    assert row["low"] <= row["value"] <= row["high"]


def test_numbers_that_are_none_and_pairs():
    """JSON knows no NaN, and a metric may be made of pairs of which no mean is anything."""
    results = {"x": {"alias": "x", "f1,none": math.nan, "f1_stderr,none": "N/A", "em,s": 0.5}}
    assert results_record(results, {"x": ["em"]}) == {
        "x": {"f1,none": {"value": None, "mean": False}, "em,s": {"value": 0.5, "mean": True}}
    }
    sample = {"doc_id": 1, "filter": "s", "filtered_resps": [], "prompt_hash": "0"}
    sample |= {"metrics": ["f1", "em", "n"], "f1": (1, 0), "em": math.nan, "n": True}
    line = sample_line("x", sample)
    assert (line["filter"], line["metrics"]) == ("s", {"em": None, "n": 1.0})


def test_another_yaml_of_that_name_is_another_run(tiny_llama, task, tmp_path):
    _, first = run_of(tiny_llama, task(YAML), tmp_path)
    said = []
    _, again = run_of(tiny_llama, task(YAML), tmp_path, say=said.append)
    assert again.info == first.info
    assert "this run is there already" in said[-1]
    _, other = run_of(tiny_llama, task(YAML.replace("{{question}}", "{{answer}}")), tmp_path)
    assert other.info["id"] != first.info["id"]


def test_a_forced_run_that_fails_leaves_the_old_one(tiny_llama, task, tmp_path, monkeypatch):
    _, first = run_of(tiny_llama, task(YAML), tmp_path)

    def fail(*_):
        raise ModelError("lm-eval could not load the data")

    with monkeypatch.context() as patch:
        patch.setattr(lm_eval_model, "run_lm_eval_tasks", fail)
        with pytest.raises(ModelError):
            run_of(tiny_llama, task(YAML), tmp_path, force=True)
    assert read_run(first.folder) == first
    _, anew = run_of(tiny_llama, task(YAML), tmp_path, force=True)
    assert anew.questions == first.questions
    assert anew.info["finished"]
