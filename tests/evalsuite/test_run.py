"""A run is done once, written as it goes, and continued after whatever stopped it."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mom_eval import evaluate
from mom_eval.errors import ModelError, RunError, SettingError
from mom_eval.evalsuite import run as run_module
from mom_eval.evalsuite.answerers import Answer, sized_batches
from mom_eval.evalsuite.memory import at_once, out_of_memory
from mom_eval.evalsuite.run import Session
from mom_eval.evalsuite.subjects import pick_device
from mom_eval.results.store import RunWriter, read_run, read_runs
from mom_eval.tasks.questions import prepare
from mom_eval.tasks.setting import Setting

SCORES = ("contains", "exact", "f1", "bits_per_byte", "output", "log_probabilities")


def quick(model, out, **more):
    return evaluate(str(model), tasks=more.pop("tasks", "nq,drop"), data="sample", out=out, **more)


def model_run(table):
    (run,) = [r for r in map(read_run, table.attrs["runs"]) if r.info["kind"] == "model"]
    return run


def answers(run):
    return {
        (task, line["id"]): {key: line[key] for key in SCORES}
        for task, lines in run.questions.items()
        for line in lines
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_llama):
    """A run that nothing stopped."""
    return model_run(quick(tiny_llama, tmp_path_factory.mktemp("whole"), limit=6, batch_size=2))


def test_a_line_holds_the_question_and_its_scores(whole):
    assert {task: len(lines) for task, lines in whole.questions.items()} == {"nq": 6, "drop": 6}
    line = whole.questions["nq"][0]
    assert line["contains"] in (0, 1)
    assert line["bits_per_byte"] > 0
    assert len(line["log_probabilities"]) == len(line["answers"])
    assert len(line["prompt_hash"]) == 16
    assert set(line["cut"]) == {"start", "end", "of", "anchor", "left"}


def test_run_json_says_what_ran_and_nothing_private(whole, tiny_llama, tmp_path_factory):
    info = whole.info
    assert info["finished"] >= info["started"]
    assert info["model"]["parameters"] > 10_000
    assert info["model"]["dtype"] == "float32"
    assert info["model"]["ran_on"] == "cpu"
    assert info["command"].startswith(
        "mom-eval run --model tiny-llama --tasks nq,drop --data sample"
    )
    assert info["hidden_answer"].keys() == {"nq", "drop"}
    assert len(info["model"]["weights_sha256"]) == len(info["tokenizer"]["sha256"]) == 64
    assert info["data"]["source"] == "sample"
    assert info["prompt_tokens"] == sum(
        q["prompt_tokens"] for x in whole.questions.values() for q in x
    )
    text = json.dumps(info)
    for private in (str(tiny_llama.parent), str(Path.home()), 'token":', "PATH"):
        assert private not in text


def test_the_same_run_is_not_done_twice(tiny_llama, tmp_path, monkeypatch):
    first = model_run(quick(tiny_llama, tmp_path, limit=2))
    said = []
    monkeypatch.setattr(
        "mom_eval.evalsuite.evaluate.execute", lambda *_, **__: pytest.fail("asked again")
    )
    again = model_run(quick(tiny_llama, tmp_path, limit=2, say=said.append))
    assert again.info == first.info
    assert "--force does it anew" in said[-1]


def test_force_does_it_anew(tiny_llama, tmp_path):
    first = model_run(quick(tiny_llama, tmp_path, limit=2))
    lines = first.folder / "nq.jsonl"
    lines.write_text(lines.read_text().replace('"contains": 0', '"contains": 1'))
    again = model_run(quick(tiny_llama, tmp_path, limit=2, force=True))
    assert answers(again) == answers(first)


def test_other_weights_are_another_run(tiny_llama, tmp_path):
    """lm-eval's own cache hands one model's answers to another; ours must not."""
    other = tmp_path / "other"
    shutil.copytree(tiny_llama, other)
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.mul_(3)
    model.save_pretrained(other)
    a = model_run(quick(tiny_llama, tmp_path / "runs", limit=3))
    b = model_run(quick(other, tmp_path / "runs", limit=3))
    assert a.info["id"] != b.info["id"]
    assert answers(a) != answers(b)


@pytest.mark.parametrize(
    "other",
    [{"limit": 3}, {"context_length": 512}, {"tasks": "nq"}, {"dtype": "bfloat16"}, {"seed": 1}],
)
def test_whatever_decides_scores_decides_the_folder(tiny_llama, tmp_path, other):
    a = model_run(quick(tiny_llama, tmp_path, limit=2))
    b = model_run(quick(tiny_llama, tmp_path, **({"limit": 2} | other)))
    assert a.info["id"] != b.info["id"]


def test_batch_size_does_not(tiny_llama, tmp_path, whole):
    table = quick(tiny_llama, tmp_path, limit=6, batch_size=5)
    assert model_run(table).info["id"] == whole.info["id"]
    got = answers(model_run(table))
    for key, value in answers(whole).items():
        assert got[key]["output"] == value["output"]
        assert got[key]["bits_per_byte"] == pytest.approx(value["bits_per_byte"], rel=1e-4)


def command(model, out):
    return [
        *(sys.executable, "-m", "mom_eval", "run", "--tasks", "nq,drop", "--data", "sample"),
        *("--model", str(model), "--limit", "6", "--batch-size", "2", "--out", str(out)),
    ]


def lines_in(out):
    return sum(path.read_bytes().count(b"\n") for path in out.glob("*/*.jsonl"))


def test_killed_three_times_and_once_in_the_middle_of_a_line(tiny_llama, tmp_path, whole):
    reference_lines = 2 * 12  # head and echo answer both tasks before the model is asked
    for kill_after in (1, 3, 7):
        process = subprocess.Popen(
            command(tiny_llama, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + 120
        while lines_in(tmp_path) < reference_lines + kill_after and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
        process.communicate()
    (folder,) = [run.folder for run in read_runs([tmp_path]) if run.info["kind"] == "model"]
    before = lines_in(tmp_path)
    with (folder / "nq.jsonl").open("ab") as file:
        file.write(b'{"task": "nq", "id": "half')
    done = subprocess.run(
        command(tiny_llama, tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert reference_lines < before < reference_lines + 12
    run = read_run(folder)
    assert run.info["finished"]
    ids = [line["id"] for lines in run.questions.values() for line in lines]
    assert len(ids) == len(set(ids)) == 12
    assert answers(run) == answers(whole)


def test_the_second_of_two_runs_on_a_folder_is_told(tiny_llama, tmp_path, whole):
    held = RunWriter(tmp_path, dict(whole.info))
    with held, pytest.raises(RunError, match="is being written by process"):
        quick(tiny_llama, tmp_path, limit=6, force=True)


class Small:
    """An answerer that runs out of memory above two questions at once."""

    count = None

    def __init__(self, room=2):
        self.room, self.asked, self.largest_batch = room, [], 0

    def answers(self, questions, rows):
        for batch in sized_batches(questions, rows or 8, None):
            self.asked.append(len(batch))
            with at_once(len(batch)):
                if len(batch) > self.room:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            self.largest_batch = max(self.largest_batch, len(batch))
            yield [(question, self.answer(question)) for question in batch]

    def answer(self, question):
        return Answer("Ada", [-1.0] * len(question.answers))


class Silent:
    def __init__(self):
        self.said = []

    def start(self, *_):
        pass

    def advance(self, _):
        pass

    def say(self, text):
        self.said.append(text)


@pytest.fixture
def questions(tokens):
    rows = [
        {"context": f"It is Ada{i}.", "question": f"who {i}", "answers": [f"Ada{i}"]}
        for i in range(11)
    ]
    return prepare("nq", rows, tokens, Setting()).questions


def session(tmp_path, answerer):
    info = {"schema": 1, "id": "x", "tasks": ["nq"], "finished": None}
    info |= {"seconds": 100.0, "peak_memory_bytes": 1 << 50, "largest_batch": 3, "tokens": {}}
    writer = RunWriter(tmp_path, info)
    return writer, Session(writer, answerer, Silent())


def test_out_of_memory_halves_the_batch_says_so_and_goes_on(tmp_path, questions):
    small = Small()
    writer, asking = session(tmp_path, small)
    with writer:
        got = asking.ask(questions)
    assert sorted(got) == sorted(question.id for question in questions)
    assert small.asked == [8, 4, 2, 2, 2, 2, 2, 1]
    assert asking.shown.said == [
        "out of memory with 8 questions at once; going on with 4",
        "out of memory with 4 questions at once; going on with 2",
    ]


def test_what_a_run_costs_is_written_down_as_it_goes_and_added_up(tmp_path, questions):
    class Killed(Small):
        def answer(self, question):
            if len(self.asked) == 3:
                raise KeyboardInterrupt
            return super().answer(question)

    writer, asking = session(tmp_path, Killed(room=4))
    with writer, pytest.raises(KeyboardInterrupt):
        asking.ask(questions)
    info = read_run(tmp_path / "x").info  # nobody had time to save anything at the end
    assert info["seconds"] >= 100
    assert info["peak_memory_bytes"] == 1 << 50
    assert info["largest_batch"] == 4
    assert info["prompt_tokens"] > 0


def test_a_run_that_goes_on_keeps_what_its_first_part_cost(tiny_llama, tmp_path):
    run = model_run(quick(tiny_llama, tmp_path, limit=3, batch_size=2))
    assert (run.info["batch_size"], run.info["largest_batch"]) == (2, 2)
    first = run.info | {"finished": None, "seconds": 500.0, "peak_memory_bytes": 1 << 50}
    (run.folder / "run.json").write_text(json.dumps(first | {"largest_batch": 7}))
    again = model_run(quick(tiny_llama, tmp_path, limit=3, batch_size=1)).info
    assert again["seconds"] >= 500
    assert (again["peak_memory_bytes"], again["largest_batch"]) == (1 << 50, 7)
    assert again["started"] == run.info["started"]


def test_tokens_are_counted_and_added_up_over_the_parts_of_a_run(tiny_mom, tiny_llama, tmp_path):
    def counted(limit):
        return model_run(quick(tiny_mom, tmp_path / str(limit), limit=limit, tasks="nq"))

    run = counted(4)
    whole = run.info["tokens"]
    prompts = sum(line["prompt_tokens"] for line in run.questions["nq"])
    assert whole["read"] <= whole["unshared"] == prompts
    assert min(whole["written"], whole["scored"]) >= 4
    lines = (run.folder / "nq.jsonl").read_text().splitlines(keepends=True)
    (run.folder / "nq.jsonl").write_text("".join(lines[:3]))
    (run.folder / "run.json").write_text(json.dumps(run.info | {"finished": None}))
    again = counted(4).info["tokens"]
    last = json.loads(lines[3])["prompt_tokens"]
    assert (again["read"], again["unshared"]) == (whole["read"] + last, whole["unshared"] + last)
    assert model_run(quick(tiny_llama, tmp_path, limit=1)).info["tokens"] is None


def test_a_run_from_before_tokens_were_counted_is_read_and_goes_on(tiny_mom, tmp_path):
    run = model_run(quick(tiny_mom, tmp_path, limit=2, tasks="nq"))
    old = {key: value for key, value in run.info.items() if key != "tokens"}
    (run.folder / "run.json").write_text(json.dumps(old | {"finished": None}))
    assert read_runs([tmp_path])
    again = model_run(quick(tiny_mom, tmp_path, limit=2, tasks="nq")).info
    assert again["finished"]
    assert again["tokens"] is None


def test_a_protocol_that_changes_makes_other_runs(tiny_llama, tmp_path, monkeypatch):
    a = model_run(quick(tiny_llama, tmp_path, limit=1))
    monkeypatch.setattr(run_module, "PROTOCOL_VERSION", 99)
    b = model_run(quick(tiny_llama, tmp_path, limit=1))
    assert a.info["id"] != b.info["id"]


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("cuda:2", "torch sees 2 GPUs here, the last is cuda:1"),
        ("cuda:x", "do not run on a device 'cuda:x'"),
        ("cuda:", "do not run on a device 'cuda:'"),
        ("mps", "torch sees no Apple GPU here"),
        ("cpu:0", "do not run on a device 'cpu:0'"),
    ],
)
def test_a_device_is_there_or_refused(monkeypatch, device, sentence):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(SettingError, match=sentence):
        pick_device(device)
    assert [pick_device(known) for known in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda", "cuda:1"]


def test_out_of_memory_on_one_question_ends_and_keeps_the_rest(tmp_path, questions):
    writer, asking = session(tmp_path, Small(room=0))
    with writer, pytest.raises(RunError, match="out of memory on a single prompt of up to"):
        asking.ask(questions)


def test_other_errors_are_not_taken_for_memory():
    assert not out_of_memory(RuntimeError("shapes do not match"))
    assert out_of_memory(RuntimeError("DefaultCPUAllocator: not enough memory: you tried"))
    assert out_of_memory(MemoryError())


def test_prompts_that_changed_are_not_mixed_up(tmp_path, questions):
    writer, asking = session(tmp_path, Small())
    with writer:
        asking.ask(questions)
    lines = tmp_path / "x" / "nq.jsonl"
    lines.write_text(lines.read_text().replace(questions[0].prompt_hash, "0" * 16))
    writer, asking = session(tmp_path, Small())
    with writer, pytest.raises(RunError, match="another prompt"):
        asking.ask(questions)


def test_lines_that_disagree_with_lm_eval_end_the_run(tmp_path, questions):
    writer, asking = session(tmp_path, Small())
    with writer:
        asking.ask(questions)
    asking.check({"mom_nq": {"contains,none": 0.0}})
    with pytest.raises(RunError, match="please report this"):
        asking.check({"mom_nq": {"contains,none": 0.5}})


def test_a_model_shorter_than_the_context_is_refused(tiny_llama, tmp_path):
    with pytest.raises(SettingError, match="was made for 4096 tokens and 8192 are asked for"):
        quick(tiny_llama, tmp_path, limit=2, context_length=8192)
    with pytest.raises(SettingError, match="was made for 4096 tokens and"):
        quick(tiny_llama, tmp_path, limit=2, repeat=40)


def test_a_damaged_checkpoint_is_one_sentence(tiny_llama, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_llama, broken)
    (broken / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="broken cannot be loaded"):
        quick(broken, tmp_path / "runs", limit=2)


def test_a_checkpoint_without_tokenizer_is_one_sentence(tiny_llama, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(tiny_llama, bare, ignore=shutil.ignore_patterns("tokenizer*", "special*"))
    with pytest.raises(ModelError, match="give one with --tokenizer"):
        quick(bare, tmp_path / "runs", limit=2)
    assert len(quick(bare, tmp_path / "runs", limit=2, tokenizer=str(tiny_llama)))


def test_a_model_that_needs_its_own_code(tiny_llama, tmp_path):
    remote = tmp_path / "remote"
    shutil.copytree(tiny_llama, remote)
    config = json.loads((remote / "config.json").read_text())
    config |= {
        "model_type": "odd",
        "auto_map": {"AutoConfig": "odd.C", "AutoModelForCausalLM": "odd.M"},
    }
    (remote / "config.json").write_text(json.dumps(config))
    (remote / "odd.py").write_text("raise SystemExit('must not run')")
    with pytest.raises(ModelError, match="--trust-remote-code"):
        quick(remote, tmp_path / "runs", limit=2)


def test_versions_and_commit_are_plain_text():
    assert set(run_module.versions()) >= {"mom-eval", "torch", "lm-eval"}
    commit = run_module.git_commit()
    assert commit is None or len(commit) == 40
