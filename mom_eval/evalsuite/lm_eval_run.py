"""`--tasks lm-eval:NAME`: lm-eval's own tasks, passed through, in run folders of their own kind."""

from pathlib import Path
from typing import Any

from mom_eval.evalsuite.plan import command_line
from mom_eval.evalsuite.run import Job, finished, now
from mom_eval.evalsuite.subjects import Loaded
from mom_eval.results.store import RunWriter
from mom_eval.tasks.questions import digest
from mom_eval.tasks.setting import Setting


def run_lm_eval(model: Loaded, names: list[str], limit: int | None, out: Path, force: bool) -> Path:
    """Run lm-eval's tasks on a model and write their samples and metrics.

    Their prompts, scores and data are lm-eval's; nothing here changes them, and they never share a
    table with ours.

    Raises:
        SettingError: the model is a plain module, which lm-eval does not take.
    """
    from mom_eval.evalsuite.lm_eval_model import run_lm_eval_tasks

    setting = Setting(limit=limit, bos=model.uses_bos("auto", "full"))
    subject = model.subject.of_kind("lm-eval")
    data = {"source": "lm-eval", "revision": None, "files": {}}
    job = Job(subject=subject, setting=setting, tasks=names, data=data, command=command_line())
    if finished(job, out) and not force:
        return out / job.id
    held = model.hold(setting.bos).for_lm_eval()
    info = job.record() | {"model": model.subject.model}
    with RunWriter(out, info) as writer:
        writer.clear()
        result = run_lm_eval_tasks(held, names, limit)
        for name, samples in result["samples"].items():
            writer.append(name, [sample_line(name, sample) for sample in samples])
        tasks = list(result["samples"])
        writer.save(info | {"tasks": tasks, "task_versions": result["versions"], "finished": now()})
    return writer.folder


def sample_line(task: str, sample: dict[str, Any]) -> dict[str, Any]:
    """One of lm-eval's samples as a line; each is a document of its own: lm-eval names none."""
    number = str(sample["doc_id"])
    outputs = sample["filtered_resps"]
    return {
        "task": task,
        "id": f"{number}-{sample['filter']}",
        "document": digest(task, number),
        "prompt_hash": sample["prompt_hash"][:16],
        "output": str(outputs[0]) if outputs else "",
        "metrics": {
            name: float(sample[name])
            for name in sample["metrics"]
            if isinstance(sample[name], int | float)
        },
    }
