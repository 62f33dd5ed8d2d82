"""`mom_eval.evaluate`: models in memory, grids, controls, lm-eval's own tasks."""

import gzip
import json

import pytest
import torch
from transformers import AutoModelForCausalLM

import mom_eval
from mom_eval.errors import ModelError, SettingError
from mom_eval.results.store import read_run
from mom_eval.tasks import sample


class Plain(torch.nn.Module):
    """ids [1, T] -> logits [1, T, V], nothing else."""

    def __init__(self, model):
        super().__init__()
        self.inner = model

    def forward(self, ids):
        return self.inner(ids).logits


@pytest.fixture(scope="module")
def model(tiny_llama):
    return AutoModelForCausalLM.from_pretrained(tiny_llama)


def lines(table, label, task):
    (run,) = [r for r in map(read_run, table.attrs["runs"]) if r.info["label"] == label]
    return {line["id"]: line for line in run.questions[task]}


def test_one_line_a_row_and_task_with_intervals(model, tokenizer, tmp_path):
    table = mom_eval.evaluate(
        model, tokenizer, tasks="fda,nq", data="sample", limit=3, out=tmp_path
    )
    ours = table[table["row"] == "LlamaForCausalLM"]
    assert list(ours["task"])[:2] == ["fda", "nq"]
    assert set(table["row"]) >= {"head", "echo", "lookup", "prior"}
    assert (ours["contains_low"] <= ours["contains"]).all()


def test_a_plain_module_answers_as_the_model_inside_it(model, tokenizer, tmp_path):
    a = mom_eval.evaluate(model, tokenizer, tasks="nq", data="sample", limit=2, out=tmp_path)
    b = mom_eval.evaluate(Plain(model), tokenizer, tasks="nq", data="sample", limit=2, out=tmp_path)
    ours, plain = lines(a, "LlamaForCausalLM", "nq"), lines(b, "Plain", "nq")
    assert ours.keys() == plain.keys()
    for key, line in ours.items():
        assert line["output"] == plain[key]["output"]
        assert line["bits_per_byte"] == pytest.approx(plain[key]["bits_per_byte"], rel=1e-4)


def test_a_slow_module_is_announced(model, tokenizer, tmp_path):
    said = []
    mom_eval.evaluate(
        Plain(model), tokenizer, tasks="nq", data="sample", limit=1, out=tmp_path, say=said.append
    )
    assert any("one question at a time" in text for text in said)


def test_what_a_model_in_memory_needs(model, tokenizer, tmp_path):
    with pytest.raises(ModelError, match="needs its tokenizer"):
        mom_eval.evaluate(model, tasks="nq", data="sample", out=tmp_path)
    with pytest.raises(ModelError, match=r"has no state_dict\(\)"):
        mom_eval.evaluate(lambda ids: ids, tokenizer, tasks="nq", data="sample", out=tmp_path)
    with pytest.raises(ModelError, match=r"has no encode\(\)"):
        mom_eval.evaluate(model, object(), tasks="nq", data="sample", out=tmp_path)


def test_reference_rows_need_no_model(tmp_path):
    table = mom_eval.evaluate(tasks="fda", data="sample", limit=5, out=tmp_path)
    assert lines(table, "lookup", "fda")
    assert all(line["contains"] for line in lines(table, "lookup", "fda").values())


def test_first_token_follows_the_protocol(tiny_llama, tmp_path):
    def bos(**more):
        table = mom_eval.evaluate(
            str(tiny_llama), tasks="nq", data="sample", limit=1, out=tmp_path, **more
        )
        runs = map(read_run, table.attrs["runs"])
        return next(r.info["setting"]["bos"] for r in runs if r.info["kind"] == "model")

    assert (bos(), bos(protocol="full"), bos(bos="yes"), bos(protocol="full", bos="no")) == (
        False,
        True,
        True,
        False,
    )


def test_lengths_and_controls_are_runs_of_their_own(tiny_llama, tmp_path):
    table = mom_eval.evaluate(
        str(tiny_llama),
        tasks="nq",
        data="sample",
        limit=2,
        context_length=[200, 400],
        control="blind",
        out=tmp_path,
    )
    runs = [r.info for r in map(read_run, table.attrs["runs"])]
    asked = [
        (r["setting"]["context_length"], r["setting"]["control"])
        for r in runs
        if r["kind"] == "model"
    ]
    assert set(asked) == {(200, None), (200, "blind"), (400, None), (400, "blind")}
    assert len(asked) == 4
    assert sum(r["kind"] == "reference" for r in runs) == 8


def test_haystack_takes_the_tasks_that_have_passages(tiny_llama, tmp_path):
    table = mom_eval.evaluate(
        str(tiny_llama), data="sample", limit=1, haystack=2500, depth=[0, 1], out=tmp_path
    )
    runs = [r for r in map(read_run, table.attrs["runs"]) if r.info["kind"] == "model"]
    assert [sorted(run.questions) for run in runs] == [["drop", "nq", "squad"]] * 2
    assert [run.info["setting"]["depth"] for run in runs] == [0, 1]


def test_own_folder_with_training_file_gives_prior_a_score(tmp_path):
    for name, split in (("fda", "test"), ("fda.train", "train")):
        rows = sample.generate("fda", split, questions=30)
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    table = mom_eval.evaluate(tasks="fda", data=str(tmp_path), limit=5, out=tmp_path / "runs")
    assert len(lines(table, "prior", "fda")) == 5
    (tmp_path / "fda.train.jsonl.gz").unlink()
    table = mom_eval.evaluate(tasks="fda", data=str(tmp_path), limit=4, out=tmp_path / "runs")
    (run,) = [r for r in map(read_run, table.attrs["runs"]) if r.info["label"] == "prior"]
    assert run.info["no_score"] == {"fda": "no fda.train file beside the task's"}


def run_id(model, tokenizer, out, **more):
    options = {"tasks": "nq", "data": "sample", "limit": 1} | more
    table = mom_eval.evaluate(model, tokenizer, out=out, **options)
    (run,) = [r for r in map(read_run, table.attrs["runs"]) if r.info["kind"] == "model"]
    return run.info["id"]


def test_a_config_of_a_model_in_memory_makes_another_run(tiny_llama, tokenizer, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    said = []
    first = run_id(model, tokenizer, tmp_path)
    assert run_id(model, tokenizer, tmp_path, say=said.append) == first
    assert f"this run is there already ({first})" in said[-1]
    model.generation_config.repetition_penalty = 2.0
    other = run_id(model, tokenizer, tmp_path)
    assert other != first
    model.config.rms_norm_eps = 0.5
    assert run_id(model, tokenizer, tmp_path) not in (first, other)


def test_a_forward_that_was_changed_makes_another_run(model, tokenizer, tmp_path):
    def changed(self, ids):
        return 1.05 * self.inner(ids).logits

    first = run_id(Plain(model), tokenizer, tmp_path)
    assert run_id(Plain(model), tokenizer, tmp_path) == first
    other = type("Plain", (Plain,), {"forward": changed})
    assert run_id(other(model), tokenizer, tmp_path) != first


def test_our_own_models_in_memory_are_told_apart_too(mom, tokenizer, tmp_path):
    assert run_id(mom, tokenizer, tmp_path) == run_id(mom, tokenizer, tmp_path)
    assert mom.training is False


def test_another_training_file_is_another_prior_and_no_other_row_changes(tmp_path):
    def write(name, rows):
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    def ids():
        table = mom_eval.evaluate(tasks="fda", data=str(tmp_path), limit=5, out=tmp_path / "runs")
        return {r.info["label"]: r.info["id"] for r in map(read_run, table.attrs["runs"])}

    write("fda", sample.generate("fda", "test", questions=10))
    found = []
    for seed in (0, 1):
        write("fda.train", sample.generate("fda", "train", questions=10, seed=seed))
        found.append(ids())
    assert [key for key in found[0] if found[0][key] != found[1][key]] == ["prior"]


def test_options_that_would_be_dropped_are_refused(tmp_path):
    with pytest.raises(SettingError, match="leave --context-length out"):
        mom_eval.evaluate(
            tasks="nq", data="sample", context_length=2048, haystack=500, depth=0, out=tmp_path
        )
    with pytest.raises(SettingError, match="give one of them"):
        mom_eval.evaluate(tasks="nq", data="sample", data_dir=tmp_path, out=tmp_path)
