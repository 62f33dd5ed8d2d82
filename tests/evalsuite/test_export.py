"""What is exported is what lm-eval itself writes of the same answers, and what it reads."""

import json
from pathlib import Path

import datasets
import pytest
from click.testing import CliRunner
from lm_eval import utils
from lm_eval.evaluator import evaluate
from lm_eval.loggers import EvaluationTracker
from lm_eval.result_schema import EvalResults, SampleResult
from lm_eval.tasks import TaskManager

from mom_eval.cli import main
from mom_eval.errors import RunError
from mom_eval.evalsuite.answerers import Answer
from mom_eval.evalsuite.evaluate import Suite
from mom_eval.evalsuite.export import export
from mom_eval.evalsuite.lm_eval_model.recording import RecordingLM
from mom_eval.evalsuite.run import Job, Subject, execute
from mom_eval.evalsuite.subjects import Options
from mom_eval.results.leaderboard import build
from mom_eval.results.store import read_runs
from mom_eval.tasks.data import Source
from mom_eval.tasks.lm_eval_tasks import Recall
from mom_eval.tasks.setting import Setting
from mom_eval.tasks.tokens import PieceTokens

TASKS = ["fda", "nq"]
SETTING = Setting(limit=6, context_length=512)


class Parrot:
    """Every second answer is right; each costs something else."""

    largest_batch, count = 1, None

    def answers(self, questions, rows):
        yield [(one, answer(one)) for one in reversed(questions)]


def answer(question):
    right = int(question.id[0], 16) % 2
    text = f" It is {question.answers[0]}." if right else " \U0001f9ea none"
    return Answer(text, [-1.5 - place - right for place, _ in enumerate(question.answers)])


@pytest.fixture(scope="module")
def suite(tmp_path_factory) -> Suite:
    """Twelve questions of the sample."""
    out = tmp_path_factory.mktemp("runs")
    return Suite(tasks=TASKS, settings=[SETTING], source=Source(kind="sample"), options=Options(),
                 out=out, say=print, command="mom-eval run")  # fmt: skip


@pytest.fixture(scope="module")
def run(suite) -> Path:
    """Their run folder, answered in another order than that of the questions."""
    tokens = PieceTokens()
    subject = Subject(kind="model", label="parrot", model={"id": "owner/parrot", "backend": "own"},
                      tokenizer={"id": tokens.name, "sha256": tokens.sha256})  # fmt: skip
    job = Job(subject=subject, setting=SETTING, tasks=TASKS, data=suite._record(SETTING),
              command="mom-eval run")  # fmt: skip
    return execute(job, suite.out, suite._prepared(tokens, SETTING, TASKS), Parrot())


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory) -> dict[str, Path]:
    """The files by the beginnings of their names."""
    paths = export(run, tmp_path_factory.mktemp("out"), say=print)
    return {path.name.rpartition("_")[0]: path for path in paths}


@pytest.fixture(scope="module")
def theirs(suite, tmp_path_factory) -> dict[str, Path]:
    """What lm-eval's own tracker writes of the same questions and answers."""
    prepared = suite._prepared(PieceTokens(), SETTING, TASKS)
    tasks = [Recall({"task": f"mom_{task}"}, prepared=one) for task, one in prepared.items()]
    out = evaluate(RecordingLM(lambda questions: {one.id: answer(one) for one in questions}),
                   TaskManager(include_defaults=False).load(tasks), log_samples=True,
                   bootstrap_iters=0)  # fmt: skip
    folder = tmp_path_factory.mktemp("theirs")
    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.log_experiment_args(
        "own", "pretrained=owner/parrot", "", "", False
    )
    samples = out.pop("samples")
    tracker.save_results_aggregated(results=out, samples=samples)
    for task, some in samples.items():
        tracker.save_results_samples(task_name=task, samples=some)
    return {path.name.rpartition("_")[0]: path for path in folder.rglob("*.json*")}


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_samples_are_those_that_lm_eval_writes(exported, theirs):
    assert set(exported) == set(theirs) == {"results", "samples_mom_fda", "samples_mom_nq"}
    assert exported["results"].parent.name == theirs["results"].parent.name == "owner__parrot"
    for name in ("samples_mom_fda", "samples_mom_nq"):
        assert lines(exported[name]) == lines(theirs[name])


def test_results_are_those_that_lm_eval_writes_but_for_errors_that_know_documents(
    exported, theirs, run
):
    ours, other = (json.loads(one["results"].read_text("utf-8")) for one in (exported, theirs))
    for key in ("group_subtasks", "versions", "n-shot", "higher_is_better", "task_hashes",
                "model_name", "model_name_sanitized"):  # fmt: skip
        assert ours[key] == other[key], key
    for task in other["results"]:
        for key, value in other["results"][task].items():
            if "stderr" not in key and "," in key:
                assert ours["results"][task][key] == pytest.approx(value, abs=1e-12)
    (board,) = build(read_runs([run]))
    score = board.rows[0].cells["fda"].scores["contains"]
    assert ours["results"]["mom_fda"]["contains_stderr,none"] == score.variance**0.5


def test_lm_eval_s_readers_take_the_files(exported, tmp_path):
    record = json.loads(exported["results"].read_text("utf-8"))
    table = utils.make_table(record)
    assert "|contains     |↑" in table.replace("FDA   ", "")
    assert "±" in table
    assert set(record) - {"mom_eval"} <= set(EvalResults.__annotations__)
    names = [str(path) for path in exported.values()]
    assert len(utils.get_results_filenames(names)) == 1
    found = utils.get_sample_results_filenames(names)
    assert {utils.get_file_task_name(Path(name).name) for name in found} == {"mom_fda", "mom_nq"}
    dates = {utils.get_file_datetime(Path(name).name) for name in found}
    assert dates == {utils.get_file_datetime(exported["results"].name).removesuffix(".json")}
    read = datasets.load_dataset("json", data_files=str(exported["samples_mom_fda"]),
                                 split="train", cache_dir=str(tmp_path))  # fmt: skip
    assert len(read) == 6
    assert set(SampleResult.__annotations__) <= set(read.column_names)


def test_results_alone_need_no_documents(run, tmp_path):
    words = ["export", run, "--format", "lm-eval", "--out", tmp_path, "--no-samples"]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    (path,) = tmp_path.rglob("*.*")
    assert f"wrote {path}" in result.stderr
    assert json.loads(path.read_text())["task_hashes"] == {}


def test_a_folder_goes_by_what_its_user_calls_it(run, tmp_path):
    info = json.loads((run / "run.json").read_text())
    info |= {"label": "mine", "model": info["model"] | {"id": "step-000100"}}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps(info))
    (path,) = export(tmp_path / "run", tmp_path / "out", no_samples=True, say=print)
    assert path.parent.name == "mine"
    record = json.loads(path.read_text())
    assert (record["model_name"], record["config"]["model_args"]) == (
        "mine", "pretrained=step-000100"
    )  # fmt: skip


def test_what_cannot_be_exported_is_one_sentence(run, tmp_path):
    info = json.loads((run / "run.json").read_text())

    def changed(name, **values):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(info | values))
        for file in run.glob("*.jsonl"):
            (folder / file.name).write_bytes(file.read_bytes())
        return folder

    def refused(folder, sentence):
        with pytest.raises(RunError, match=sentence):
            export(folder, tmp_path / "out", say=print)

    refused(changed("b/open", finished=None), "is not finished; give its `mom-eval run` again")
    refused(changed("c/other", tokenizer={"id": "other", "sha256": "1"}),
            r"and 6 of fda are not at hand \(the tokenizer other is not at hand")  # fmt: skip
    changed("d/one")
    changed("d/two", id="2")
    refused(tmp_path / "d", r"holds 2 runs, and lm-eval's form holds one; name one, as .*d/one")
    lm_eval = info | {"kind": "lm-eval", "results": {}, "tasks": []}
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "run.json").write_text(json.dumps(lm_eval))
    refused(tmp_path / "e", "whose samples are not kept; run lm_eval with --log_samples")
