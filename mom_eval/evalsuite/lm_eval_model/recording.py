"""What lm-eval sees of a run: an object that answers a question whole and looks the rest up.

lm-eval returns only at the end of everything, and asks for all outputs before the first
probability. So the object it is given answers a question whole when its output is asked for, hands
it on to be written down, and later only looks its probabilities up.
"""

import math
from collections.abc import Callable
from pathlib import Path
from textwrap import shorten
from typing import Any

import jinja2
import yaml
from lm_eval import evaluator
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from mom_eval.errors import ModelError, SettingError
from mom_eval.evalsuite.answerers import Answer
from mom_eval.tasks.lm_eval_tasks import Recall, question_of
from mom_eval.tasks.questions import Prepared, Question

# Decorators hide the types of these from checkers.
evaluate: Any = evaluator.evaluate
simple_evaluate: Any = evaluator.simple_evaluate

Ask = Callable[[list[Question]], dict[str, Answer]]


class RecordingLM(LM):
    """Answers recall questions through `ask`, task by task."""

    def __init__(self, ask: Ask) -> None:
        """`ask(questions of one task)` returns their answers by question id."""
        super().__init__()
        self._ask = ask
        self._answers: dict[tuple[str, str], Answer] = {}

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Outputs, in the requests' order; everything else about them is recorded on the way."""
        tasks: dict[str, list[Question]] = {}
        for request in requests:
            question = question_of(request.doc)
            tasks.setdefault(question.task, []).append(question)
        for task, questions in tasks.items():
            for question_id, answer in self._ask(questions).items():
                self._answers[task, question_id] = answer
        return [self._answer(request).output for request in requests]

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Probabilities that were asked for together with the outputs; NaN where none exist."""
        out = []
        for request in requests:
            nats = self._answer(request).log_probabilities
            out.append((math.nan if nats is None else nats[request.idx - 1], False))
        return out

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """No recall task asks for it."""
        raise NotImplementedError

    def _answer(self, request: Instance) -> Answer:
        return self._answers[request.doc["task"], request.doc["id"]]


def ask_through_lm_eval(
    prepared: dict[str, Prepared], metadata: dict[str, Any], ask: Ask
) -> dict[str, Any]:
    """Run the recall tasks in lm-eval over questions that are built already.

    Returns:
        lm-eval's results: task name in lm-eval -> its metrics.
    """
    tasks = [
        Recall(config={"task": name, "metadata": metadata}, prepared=questions)
        for name, questions in prepared.items()
    ]
    # `simple_evaluate` would first spend seconds on probing the machine for a report of its own.
    out = evaluate(
        RecordingLM(ask),
        TaskManager(include_defaults=False).load(list(tasks)),
        bootstrap_iters=0,
        log_samples=False,
    )
    return out["results"]


class _KeepingManager(TaskManager):
    """Keeps the tasks that it loads: lm-eval's results do not say how they were aggregated."""

    loaded: Any = None

    def load(self, *args: Any, **kwargs: Any) -> Any:
        """See `TaskManager.load`."""
        try:
            self.loaded = super().load(*args, **kwargs)
        except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise SettingError(
                f"lm-eval cannot make a task of what it is given ({_one_line(error)});"
                " mend the YAML file"
            ) from error
        return self.loaded

    def means(self) -> dict[str, list[str]]:
        """Task -> its metrics that are plain means over questions, and so have an interval."""
        return {
            name: [metric for metric, how in task.aggregation().items() if how is mean]
            for name, task in self.loaded["tasks"].items()
        }


def _one_line(error: Exception) -> str:
    return shorten(str(error) or type(error).__name__, 200)


def run_lm_eval_tasks(hflm: Any, names: list[str], limit: int | None) -> dict[str, Any]:
    """lm-eval's own tasks on a model, nothing changed.

    Returns:
        Its `samples`, `results` and `versions`, and as `means` which metrics are plain means.

    Raises:
        SettingError: lm-eval knows no task of that name, or cannot use its file.
        ModelError: its data cannot be loaded here.
    """
    files = [name for name in names if Path(name).is_file()]
    # Reading lm-eval's own registry takes ten seconds: only where a name has to be looked up.
    manager = _KeepingManager(include_defaults=len(files) < len(names))
    for name in names:
        if name not in files and name not in manager.all_tasks:
            raise SettingError(
                f"lm-eval has no task {name!r} and there is no such YAML file; `lm-eval ls tasks`"
                " lists them"
            )
    try:
        out = simple_evaluate(
            model=hflm, tasks=list(names), task_manager=manager, limit=limit, bootstrap_iters=0
        )
    except (ConnectionError, FileNotFoundError) as error:
        raise ModelError(
            f"lm-eval could not load the data of {', '.join(names)} ({_one_line(error)});"
            " fetch them where there is a network"
        ) from error
    except jinja2.TemplateError as error:
        raise SettingError(
            f"a template of {', '.join(names)} does not work ({_one_line(error)});"
            " mend the YAML file"
        ) from error
    return {key: out[key] for key in ("samples", "results", "versions")} | {
        "means": manager.means()
    }
