"""`--tasks lm-eval:NAME`: lm-eval's own tasks, passed through, in run folders of their own kind."""

import math
import time
from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any

from mom_eval.evalsuite.memory import peak_memory
from mom_eval.evalsuite.run import Job, finished, now
from mom_eval.evalsuite.subjects import Loaded
from mom_eval.results.store import RunWriter, read_run
from mom_eval.tasks.files import sha256
from mom_eval.tasks.questions import digest
from mom_eval.tasks.setting import Setting


def run_lm_eval(
    model: Loaded,
    names: list[str],
    limit: int | None,
    out: Path,
    *,
    force: bool,
    command: str,
    say: Callable[[str], None],
) -> Path:
    """Run lm-eval's tasks on a model and write their samples and metrics.

    Their prompts, scores and data are lm-eval's; nothing here changes them, and they never share a
    table with ours. A run that is done anew stays as it was until the new one is through.

    Raises:
        SettingError: the model is a plain module, which lm-eval does not take.
    """
    from mom_eval.evalsuite.lm_eval_model import run_lm_eval_tasks

    job = _job(model, names, limit, command)
    done = finished(job, out)
    if done and not force:
        say(f"{model.subject.label}: this run is there already ({job.id}); --force does it anew")
        return out / job.id
    held = model.hold(job.setting.bos).for_lm_eval()
    info = job.record() | {"model": model.subject.model, "results": {}}
    with RunWriter(out, read_run(out / job.id).info if done else info) as writer:
        start = time.monotonic()
        result = run_lm_eval_tasks(held, names, limit)
        seconds = round(time.monotonic() - start, 1)
        writer.save(info)
        writer.clear()
        for name, samples in result["samples"].items():
            writer.append(name, [sample_line(name, sample) for sample in samples])
        info |= {
            "tasks": list(result["samples"]),
            "task_versions": result["versions"],
            "results": results_record(result["results"], result["means"]),
            "seconds": seconds,
            "peak_memory_bytes": peak_memory(),
            "finished": now(),
        }
        writer.save(info)
    return writer.folder


def _job(model: Loaded, names: list[str], limit: int | None, command: str) -> Job:
    """A YAML file of the user's goes by its name and the hash of its bytes."""
    files = {
        Path(name).name: {"file": Path(name).name, "sha256": sha256(Path(name)), "rows": None}
        for name in names
        if Path(name).is_file()
    }
    return Job(
        subject=model.subject.of_kind("lm-eval"),
        setting=Setting(limit=limit, bos=model.uses_bos("auto", "full")),
        tasks=[Path(name).name if Path(name).is_file() else name for name in names],
        data={"source": "lm-eval", "revision": None, "files": files},
        command=command,
    )


def results_record(
    results: dict[str, dict[str, Any]], means: dict[str, list[str]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """What lm-eval reports: task or group -> `metric,filter` -> `value` and `mean`.

    `mean` says whether it is a plain mean over questions; a value that is no finite number is None.
    """
    return {
        task: {
            key: {"value": _number(value), "mean": key.split(",")[0] in means.get(task, ())}
            for key, value in reported.items()
            if "," in key and not key.split(",")[0].endswith("_stderr")
        }
        for task, reported in results.items()
    }


def sample_line(task: str, sample: dict[str, Any]) -> dict[str, Any]:
    """One of lm-eval's samples as a line; each is a document of its own: lm-eval names none.

    Metrics of which a single question says no number (pairs to be aggregated) are left out.
    """
    number = str(sample["doc_id"])
    outputs = sample["filtered_resps"]
    return {
        "task": task,
        "id": f"{number}-{sample['filter']}",
        "filter": sample["filter"],
        "document": digest(task, number),
        "prompt_hash": sample["prompt_hash"][:16],
        "output": str(outputs[0]) if outputs else "",
        "metrics": {
            name: _number(sample[name])
            for name in sample["metrics"]
            if isinstance(sample[name], Real)
        },
    }


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, Real) and math.isfinite(value) else None
