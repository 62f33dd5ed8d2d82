"""Which code runs a model: chosen, recorded, and the same answers where both could."""

import json
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

from mom_eval import evaluate
from mom_eval.cli import main
from mom_eval.errors import CheckpointError, ModelError, SettingError
from mom_eval.models.lm import LM
from mom_eval.models.memory import Memories
from mom_eval.models.save import save
from mom_eval.results.store import read_run, read_runs
from mom_eval.tasks import TASKS, lm_eval_path
from mom_eval.tasks.recall import ANSWER_LENGTH


def quick(model, out, tokenizer=None, **more):
    """The run of a model on two questions in windows of 200 tokens."""
    options = {"tasks": "nq", "data": "sample", "limit": 2, "context_length": 200} | more
    model = model if isinstance(model, torch.nn.Module) else str(model)
    table = evaluate(model, tokenizer, out=out, **options)
    (run,) = [r for r in map(read_run, table.attrs["runs"]) if r.info["kind"] != "reference"]
    return run


def same(a, b):
    # Lines stand in the order in which answers came.
    lines = (sorted(run.questions["nq"], key=lambda line: line["id"]) for run in (a, b))
    for one, other in zip(*lines, strict=True):
        assert one["id"] == other["id"]
        assert one["output"] == other["output"]
        assert one["log_probabilities"] == pytest.approx(other["log_probabilities"], abs=1e-2)


def test_the_command_line_runs_a_saved_mom_on_every_task(tiny_mom, tmp_path):
    words = ["run", "--model", str(tiny_mom), "--data", "sample", "--limit", "2"]
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "tiny-mom" in result.stdout
    (run,) = [run for run in read_runs([tmp_path]) if run.info["kind"] == "model"]
    assert {task: len(lines) for task, lines in run.questions.items()} == dict.fromkeys(TASKS, 2)
    model = run.info["model"]
    assert (model["backend"], model["dtype"]) == ("own", "float32")
    assert model["parameters"] > model["activated"] > 10_000
    assert model["decode_bytes"] > model["state_bytes"] > 0
    assert model["state_bytes_per_token"] == 0
    assert all("position" in line for line in run.questions["fda"])


class Plain(torch.nn.Module):
    """ids [1, T] -> logits [1, T, V], nothing else."""

    def __init__(self, lm):
        super().__init__()
        self.lm = lm

    def forward(self, ids):
        return self.lm(ids[0], at=torch.arange(ids.shape[1])).logits[None]


def test_a_folder_a_model_in_memory_and_a_plain_module_answer_alike(
    tiny_mom, mom, tokenizer, tmp_path
):
    folder = quick(tiny_mom, tmp_path)
    memory = quick(mom, tmp_path, tokenizer)
    plain = quick(Plain(mom), tmp_path, tokenizer)
    assert [run.info["model"]["backend"] for run in (folder, memory, plain)] == [
        "own",
        "own",
        "module",
    ]
    assert memory.info["label"] == "mom-gated_deltanet"
    same(folder, memory)
    same(folder, plain)


@pytest.fixture(scope="module")
def mamba(tmp_path_factory, tokenizer):
    """A checkpoint that both transformers and our loader know."""
    from transformers import Mamba2Config, Mamba2ForCausalLM

    torch.manual_seed(0)
    config = Mamba2Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_heads=4,
        head_dim=8,
        state_size=8,
        n_groups=1,
        num_hidden_layers=2,
        chunk_size=32,
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    folder = tmp_path_factory.mktemp("both") / "mamba"
    Mamba2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_both_backends_are_runs_of_their_own_with_the_same_answers(mamba, tmp_path):
    auto = quick(mamba, tmp_path)
    own, hf = (quick(mamba, tmp_path, backend=name, batch_size=1) for name in ("own", "hf"))
    assert auto.info["id"] == own.info["id"] != hf.info["id"]
    assert (own.info["model"]["backend"], hf.info["model"]["backend"]) == ("own", "hf")
    same(own, hf)


def test_transformers_says_nothing_of_a_model_that_it_does_not_run(tiny_mom):
    program = (
        "from mom_eval.evalsuite.quiet import quiet_libraries\n"
        "from mom_eval.tasks.tokens import load_tokens\n"
        f"quiet_libraries(); load_tokens({str(tiny_mom)!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_a_backend_that_does_not_fit_is_one_sentence(tiny_mom, tiny_llama, tmp_path):
    with pytest.raises(ModelError, match="no layout that mom-eval's own models know"):
        quick(tiny_llama, tmp_path, backend="own")
    with pytest.raises(ModelError, match="tiny-mom cannot be loaded"):
        quick(tiny_mom, tmp_path, backend="hf")
    assert quick(tiny_llama, tmp_path).info["model"]["backend"] == "hf"


def test_a_config_that_does_not_fit_the_weights_lists_what_is_missing(tiny_mom, tmp_path):
    broken = shutil.copytree(tiny_mom, tmp_path / "broken")
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(CheckpointError, match=r"missing: model\.layers\.2"):
        quick(broken, tmp_path / "runs")


def test_a_pickle_is_read_only_where_that_is_allowed(tiny_mom, tmp_path):
    from safetensors.torch import load_file

    pickled = tmp_path / "pickled"
    shutil.copytree(tiny_mom, pickled)
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="as a pickle, which can carry code; --allow-pickle"):
        quick(pickled, tmp_path / "runs")
    allowed = quick(pickled, tmp_path / "runs", allow_pickle=True)
    same(allowed, quick(tiny_mom, tmp_path / "runs"))


def test_dtype(tiny_mom, tmp_path):
    run = quick(tiny_mom, tmp_path, dtype="bfloat16")
    assert run.info["model"]["dtype"] == "bfloat16"
    with pytest.raises(SettingError, match="torch knows no dtype 'float23'"):
        quick(tiny_mom, tmp_path, dtype="float23")


def test_a_recurrence_is_asked_beyond_its_training_length_and_attention_is_not(
    tiny_mom, transformer, tokenizer, tmp_path
):
    assert quick(tiny_mom, tmp_path, context_length=256).info["finished"]
    folder = save(transformer, tmp_path / "attention")
    tokenizer.save_pretrained(folder)
    with pytest.raises(SettingError, match="attention was made for 4096 tokens"):
        quick(folder, tmp_path / "runs", context_length=4097)


def test_a_context_as_long_as_the_model_is_not_too_long(transformer, tokenizer, tmp_path):
    short = LM(replace(transformer.config, max_positions=200))
    short.load_state_dict(transformer.state_dict())
    run = quick(short, tmp_path, tokenizer)
    assert max(line["prompt_tokens"] for line in run.questions["nq"]) == 200 - ANSWER_LENGTH


def test_the_same_weights_in_another_model_are_another_run(mom, tokenizer, tmp_path):
    other = LM(replace(mom.config, memories=Memories(num_memories=4, top_k=1, shared=True)))
    other.load_state_dict(mom.state_dict())
    a, b = quick(mom, tmp_path, tokenizer), quick(other, tmp_path, tokenizer)
    assert a.info["id"] != b.info["id"]


def test_lm_evals_own_tasks(mom, tokenizer, tmp_path):
    rows = [{"q": f"It was founded in 18{i}. When?", "a": f" 18{i}", "b": " 24"} for i in range(6)]
    (tmp_path / "rows.json").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "own.yaml").write_text(
        f"task: tiny_choice\ndataset_path: json\ndataset_kwargs: {{data_files: "
        f"{{validation: {tmp_path}/rows.json}}}}\nvalidation_split: validation\n"
        "output_type: multiple_choice\ndoc_to_text: '{{q}}'\ndoc_to_choice: ['{{a}}', '{{b}}']\n"
        "doc_to_target: 0\nmetadata: {version: 1}\n"
    )
    run = quick(mom, tmp_path / "runs", tokenizer, tasks=f"lm-eval:{tmp_path}/own.yaml", limit=None)
    assert run.info["kind"] == "lm-eval"
    assert [line["metrics"]["acc"] in (0, 1) for line in run.questions["tiny_choice"]] == [True] * 6


def test_lm_evals_command_line_gives_the_same_scores_without_a_device(tiny_mom, tmp_path):
    command = [
        *(sys.executable, "-m", "mom_eval.evalsuite.lm_eval_model", "run", "--model", "mom-eval"),
        *("--model_args", f"pretrained={tiny_mom},add_bos_token=False", "--limit", "2"),
        *("--include_path", str(lm_eval_path()), "--tasks", "mom_nq", "--log_samples"),
        *("--batch_size", "auto", "--output_path", str(tmp_path / "plain")),
        *("--metadata", json.dumps({"data": "sample", "context_length": 200})),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (file,) = (tmp_path / "plain").rglob("samples_mom_nq_*.jsonl")
    samples = [json.loads(line) for line in file.read_text().splitlines()]
    theirs = {sample["doc"]["id"]: sample for sample in samples}
    run = quick(tiny_mom, tmp_path / "runs")
    assert {line["id"] for line in run.questions["nq"]} == set(theirs)
    for line in run.questions["nq"]:
        sample = theirs[line["id"]]
        assert line["output"] == sample["filtered_resps"][0]
        assert line["bits_per_byte"] == pytest.approx(sample["bits_per_byte"], rel=1e-4)


def test_lm_evals_command_line_ends_with_one_sentence(monkeypatch):
    def fail():
        raise ModelError("there is no model")

    monkeypatch.setattr("lm_eval.__main__.cli_evaluate", fail)
    with pytest.raises(SystemExit, match="mom-eval: there is no model"):
        runpy.run_module("mom_eval.evalsuite.lm_eval_model", run_name="__main__")
