"""`mom-eval export`: a run as lm-eval writes its own, a results JSON and a samples JSONL a task.

The form is that of lm-eval 0.4.13 (`result_schema.py`, `loggers/evaluation_tracker.py`): what its
table, its loggers and the hub's viewers read. Standard errors are ours, clustered by document;
lm-eval would take every question for one of its own.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from mom_eval.errors import RunError
from mom_eval.evalsuite.quiet import quiet_libraries
from mom_eval.evalsuite.rebuilt import Rebuilt
from mom_eval.results.board import METRICS
from mom_eval.results.rows import entries, score_cells
from mom_eval.results.store import Run, disk_errors, read_runs
from mom_eval.tasks import LM_EVAL_PREFIX, TASKS
from mom_eval.tasks.questions import Question
from mom_eval.tasks.recall import STOP

_FILTER: Final = "none"


def export(
    run: Path,
    out: Path,
    *,
    no_samples: bool = False,
    data: str | None = None,
    data_dir: Path | None = None,
    tokenizers: Sequence[str] = (),
    say: Callable[[str], None],
) -> list[Path]:
    """Write one run in lm-eval's form, and return the files.

    Args:
        run: a run folder.
        out: a folder; the files lie in one of the model's name in it, as lm-eval has it.
        no_samples: the results alone, which need no documents.
        data, data_dir, tokenizers: as `Rebuilt` takes them; samples hold the prompts.
        say: gets each sentence of progress.

    Raises:
        RunError: not one finished run of the recall tasks, or its prompts are not at hand.
    """
    quiet_libraries()
    found = _one(run)
    samples: dict[str, list[dict[str, Any]]] = {}
    if not no_samples:
        rebuilt = Rebuilt(data, data_dir, tokenizers, say)
        samples = {task: _samples(found, task, rebuilt) for task in found.questions}
    record = _results(found)
    record["task_hashes"] = {
        LM_EVAL_PREFIX + task: _task_hash(some) for task, some in samples.items()
    }
    stamp = found.info["finished"].partition("+")[0].replace(":", "-")
    folder = out / record["model_name_sanitized"]
    texts = {f"results_{stamp}.json": json.dumps(record, indent=2, ensure_ascii=False)}
    for task, some in samples.items():
        lines = (json.dumps(one, ensure_ascii=False) + "\n" for one in some)
        texts[f"samples_{LM_EVAL_PREFIX}{task}_{stamp}.jsonl"] = "".join(lines)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", errors="surrogatepass")
    return [folder / name for name in texts]


def _one(path: Path) -> Run:
    """The run of a folder, if lm-eval has words for it."""
    runs = read_runs([path])
    if len(runs) > 1:
        raise RunError(
            f"{path} holds {len(runs)} runs, and lm-eval's form holds one; name one, as"
            f" {runs[0].folder}"
        )
    run = runs[0]
    if run.info["kind"] == "lm-eval":
        raise RunError(
            f"{run.folder} is of lm-eval's own tasks, whose samples are not kept; run lm_eval with"
            " --log_samples"
        )
    if run.info["finished"] is None:
        raise RunError(f"{run.folder} is not finished; give its `mom-eval run` again, it goes on")
    return run


def _results(run: Run) -> dict[str, Any]:
    """The results file; see `lm_eval.result_schema.EvalResults`."""
    info, model = run.info, run.info["model"] or {}
    tasks = {LM_EVAL_PREFIX + task: task for task in run.questions}
    # A folder's name may be any training's step-001000; what the user calls it is not.
    id_ = str(model.get("id") or "")
    name = id_ if "/" in id_ else info["label"]
    higher_is_better = {key: not metric.lower_is_better for key, metric in METRICS.items()}
    return {
        "results": {key: _metrics(run, task) for key, task in tasks.items()},
        "group_subtasks": {},
        "configs": {key: _config(info, key, task) for key, task in tasks.items()},
        "versions": {key: info.get("protocol_version") for key in tasks},
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": dict.fromkeys(tasks, higher_is_better),
        "n-samples": {
            key: {
                "original": info["data"]["files"][task]["rows"],
                "effective": len(run.questions[task]),
            }
            for key, task in tasks.items()
        },
        "config": {
            "model": model.get("backend") or info["kind"],
            "model_args": f"pretrained={id_ or name}",
            "model_num_parameters": model.get("parameters"),
            "model_dtype": model.get("dtype"),
            "model_revision": model.get("revision"),
            "model_sha": model.get("weights_sha256"),
            "batch_size": str(info.get("batch_size") or "auto"),
            "device": model.get("device"),
            "limit": info["setting"]["limit"],
            "bootstrap_iters": 0,
            "random_seed": info["setting"]["seed"],
        },
        "git_hash": info.get("git_commit"),
        "lm_eval_version": version("lm-eval"),
        "transformers_version": (info.get("versions") or {}).get("transformers"),
        "max_length": info["setting"]["context_length"],
        "model_source": model.get("backend") or info["kind"],
        "model_name": name,
        # As `lm_eval.utils.sanitize_model_name`, so that its readers find the folder.
        "model_name_sanitized": re.sub(r"[\"<>:/|\\?*\[\]]+", "__", name),
        "total_evaluation_time_seconds": str(info.get("seconds")),
        "mom_eval": {
            key: info.get(key) for key in ("id", "setting", "data", "versions", "command")
        },
    }


def _metrics(run: Run, task: str) -> dict[str, Any]:
    (entry,) = entries([run])
    cell = score_cells(entry)[task]
    found: dict[str, Any] = {"alias": TASKS[task], "sample_len": len(run.questions[task])}
    for metric, score in cell.scores.items():
        error = "N/A" if score.variance is None else score.variance**0.5
        found[f"{metric},{_FILTER}"] = score.value
        found[f"{metric}_stderr,{_FILTER}"] = error
    return found


def _config(info: Mapping[str, Any], key: str, task: str) -> dict[str, Any]:
    return {
        "task": key,
        "task_alias": TASKS[task],
        "dataset_path": info["data"]["files"][task]["file"],
        "output_type": "generate_until",
        "num_fewshot": 0,
        "generation_kwargs": _generation(info),
        "metadata": {**info["setting"], "version": info.get("protocol_version")},
    }


def _generation(info: Mapping[str, Any]) -> dict[str, Any]:
    return {"until": [STOP], "max_gen_toks": info["setting"]["answer_length"], "do_sample": False}


def _samples(run: Run, task: str, rebuilt: Rebuilt) -> list[dict[str, Any]]:
    """The samples of a task in lm-eval's order, that of the questions as they are built."""
    questions = rebuilt.questions(run, task)
    lines = {line["id"]: line for line in run.questions[task]}
    if lacking := len(lines) - len(questions):
        raise RunError(
            f"{run.folder}: lm-eval's samples hold the prompts, and {lacking} of {task} are not at"
            f" hand ({'; '.join(rebuilt.missing)}); --no-samples writes the"
            " results alone"
        )
    return [
        _sample(number, question, lines[key], _generation(run.info))
        for number, (key, question) in enumerate(questions.items())
    ]


def _sample(
    number: int, question: Question, line: Mapping[str, Any], generation: dict[str, Any]
) -> dict[str, Any]:
    """One sample: the answer that was generated, then a probability an alias."""
    doc, target = question.as_dict(), " " + question.answers[0]
    arguments = [(question.prompt, generation)]
    arguments += [(question.prompt, " " + answer) for answer in question.answers]
    nats = line["log_probabilities"]
    scored = [["nan" if nats is None else str(one), "False"] for one in nats or question.answers]
    scores = {key: float(line[key]) for key in METRICS if line[key] is not None}
    return {
        "doc_id": number,
        "doc": doc,
        "target": target,
        "arguments": {
            f"gen_args_{place}": {"arg_0": prompt, "arg_1": what}
            for place, (prompt, what) in enumerate(arguments)
        },
        "resps": [[line["output"]], *([one] for one in scored)],
        "filtered_resps": [line["output"], *scored],
        "filter": _FILTER,
        "metrics": list(scores),
        "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": _hash(question.prompt),
        "target_hash": _hash(target),
        **scores,
    }


def _task_hash(samples: Sequence[Mapping[str, Any]]) -> str:
    keys = ("doc_hash", "prompt_hash", "target_hash")
    return _hash("".join(sample[key] for sample in samples for key in keys))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
