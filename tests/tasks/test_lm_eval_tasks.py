"""The tasks as lm-eval sees them: YAML files, group, metadata, and plain lm-eval's own command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from lm_eval.tasks import TaskManager

from mom_eval import evaluate
from mom_eval.errors import ModelError, MomEvalError
from mom_eval.results.store import read_run
from mom_eval.tasks import TASKS, lm_eval_path
from mom_eval.tasks.lm_eval_tasks import GENERATION, Recall
from mom_eval.tasks.recall import RECALL

METADATA = {"data": "sample", "limit": 3}


def test_yaml_files_hold_the_table_and_nothing_else():
    names = {f"mom_{name}" for name in RECALL}
    assert list(RECALL) == list(TASKS)
    files = {path.stem: path.read_text() for path in lm_eval_path().glob("*.yaml")}
    assert set(files) == names | {"mom_recall"}
    for name in names:
        assert files[name] == f"task: {name}\nclass: !function _fn.Recall\n"
    group = yaml.safe_load(files["mom_recall"])
    assert group["task"] == [f"mom_{name}" for name in RECALL]
    metrics = [entry["metric"] for entry in group["aggregate_metric_list"]]
    assert metrics == list(Recall.higher_is_better(None))


def test_group_loads_with_metadata(tokenizer):
    manager = TaskManager(
        include_path=str(lm_eval_path()),
        include_defaults=False,
        metadata=METADATA | {"tokenizer": tokenizer},
    )
    loaded = manager.load(["mom_recall"])
    assert list(loaded["tasks"]) == [f"mom_{name}" for name in RECALL]
    for task in loaded["tasks"].values():
        assert len(task.eval_docs) == 3
        doc = task.eval_docs[0]
        assert task.fewshot_context(doc, 0) == task.doc_to_text(doc) == doc["prompt"]


def test_requests_are_48_greedy_tokens_to_the_newline_and_one_probability_an_alias(tokenizer):
    task = Recall(config={"task": "mom_triviaqa", "metadata": METADATA | {"tokenizer": tokenizer}})
    doc = task.eval_docs[0]
    first, *others = task.construct_requests(doc, doc["prompt"], metadata=("mom_triviaqa", 0, 1))
    assert first.args == (doc["prompt"], {"until": ["\n"], "max_gen_toks": 48, "do_sample": False})
    assert [request.args for request in others] == [
        (doc["prompt"], " " + a) for a in doc["answers"]
    ]
    assert [request.idx for request in others] == list(range(1, len(doc["answers"]) + 1))
    assert GENERATION["until"] == ["\n"]


def test_scores_of_one_question(tokenizer):
    task = Recall(config={"task": "mom_nq", "metadata": METADATA | {"tokenizer": tokenizer}})
    doc = dict(task.eval_docs[0]) | {"answers": ["Ada", "Bo"]}
    scores = task.process_results(doc, [" it is ada", (-8.0, False), (-2.0, False)])
    assert scores["contains"] == 1
    assert scores["bits_per_byte"] == pytest.approx(2 / 0.6931472 / 2)


def test_a_missing_tokenizer_is_never_guessed():
    with pytest.raises(ModelError, match="no tokenizer is named"):
        Recall(config={"task": "mom_fda", "metadata": {"data": "sample"}})


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(MomEvalError, match="did you mean squad"):
        Recall(config={"task": "mom_squadd"})


def plain(model, out, *, metadata, data=None):
    command = [
        *(sys.executable, "-m", "lm_eval", "run", "--include_path", str(lm_eval_path())),
        *("--tasks", "mom_fda", "--model", "hf", "--device", "cpu", "--limit", "4"),
        *("--model_args", f"pretrained={model},add_bos_token=False", "--log_samples"),
        *("--output_path", str(out), "--metadata", json.dumps(metadata)),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_plain_lm_eval_gives_the_same_scores(tiny_llama, tmp_path):
    done = plain(tiny_llama, tmp_path / "plain", metadata={"data": "sample", "context_length": 256})
    assert done.returncode == 0, done.stderr[-2000:]
    (file,) = (tmp_path / "plain").rglob("samples_mom_fda_*.jsonl")
    theirs = {}
    for line in file.read_text().splitlines():
        sample = json.loads(line)
        theirs[sample["doc"]["id"]] = sample
    table = evaluate(
        str(tiny_llama),
        tasks="fda",
        data="sample",
        limit=4,
        context_length=256,
        out=tmp_path / "runs",
    )
    (run,) = [r for r in map(read_run, table.attrs["runs"]) if r.info["kind"] == "model"]
    assert {line["id"] for line in run.questions["fda"]} == set(theirs)
    for line in run.questions["fda"]:
        sample = theirs[line["id"]]
        assert line["output"] == sample["filtered_resps"][0]
        for score in ("contains", "exact", "f1", "bits_per_byte"):
            assert line[score] == pytest.approx(sample[score], rel=1e-4)


def test_plain_lm_eval_ends_with_one_sentence(tiny_llama, tmp_path):
    done = plain(tiny_llama, tmp_path, metadata={"data": str(tmp_path / "nothing")})
    assert done.returncode == 1
    assert "mom-eval: " in done.stderr.splitlines()[-1]
    assert "there is no folder" in done.stderr.splitlines()[-1]
    assert Path(tmp_path / "nothing").exists() is False


def prompts(tokenizer, name="mom_nq", **more):
    task = Recall(config={"task": name, "metadata": METADATA | {"tokenizer": tokenizer} | more})
    return [doc["prompt"] for doc in task.eval_docs]


def test_length_and_seed_reach_the_data(tokenizer, monkeypatch):
    from mom_eval.tasks import lm_eval_tasks

    asked = []
    load = lm_eval_tasks.load

    def loading(task, source, **options):
        asked.append((source.seed, options))
        return load(task, source, **options)

    monkeypatch.setattr(lm_eval_tasks, "load", loading)
    assert prompts(tokenizer, seed=3, context_length=512) != prompts(tokenizer)
    assert asked == [(3, {"context_length": 512}), (0, {"context_length": 2048})]


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"context_length": "512"}, "context_length must be a whole number, not '512'"),
        ({"limit": [3]}, r"limit must be a whole number or null, not \[3\]"),
        ({"repeat": True}, "repeat must be a whole number, not True"),
        ({"depth": "0", "haystack": 500}, "depth must be a number or null, not '0'"),
        ({"bos": "yes"}, "bos must be true or false, not 'yes'"),
        ({"data": 3}, "data must be a text, not 3"),
    ],
)
def test_metadata_of_another_type_are_one_sentence(tokenizer, metadata, sentence):
    with pytest.raises(MomEvalError, match=sentence):
        prompts(tokenizer, **metadata)


def test_a_whole_depth_is_a_depth(tokenizer):
    assert len(prompts(tokenizer, haystack=2500, depth=1)) == 3
