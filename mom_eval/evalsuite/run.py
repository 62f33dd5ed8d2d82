"""One run: prepared questions, an answerer, a run folder.

Lines are written as answers come; a run that was stopped is continued from them. The same run is
not done twice, and no answer is ever shared between models: a folder's name is a hash over model,
tokenizer, data, setting, dtype and device.
"""

import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mom_eval import __version__
from mom_eval.errors import RunError
from mom_eval.evalsuite.answerers import Answer, Answerer
from mom_eval.evalsuite.memory import Halving, peak_memory
from mom_eval.evalsuite.plan import run_id, setting_record
from mom_eval.evalsuite.progress import Bars, bars
from mom_eval.results.store import SCHEMA, RunWriter, disk_errors, read_run
from mom_eval.tasks.questions import Prepared, Question
from mom_eval.tasks.recall import ANSWER_LENGTH, PROTOCOL_VERSION
from mom_eval.tasks.score import score
from mom_eval.tasks.setting import Setting

_DECIDE = ("weights_sha256", "train_sha256", "backend", "device", "asked_dtype")
_ADDED_UP = ("seconds", "peak_memory_bytes", "largest_batch", "tokens")
"""What the parts of a run that was stopped share in `run.json`."""
_PACKAGES = ("torch", "transformers", "lm-eval", "datasets", "tokenizers", "numpy")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Who is asked."""

    kind: str
    """`model`, `reference` or `lm-eval`."""
    label: str
    model: dict[str, Any]
    """What `run.json` says of it; `_DECIDE` names what decides the run."""
    tokenizer: dict[str, Any]
    """`id` and `sha256`."""

    def of_kind(self, kind: str) -> "Subject":
        """The same model asked by other rules."""
        return replace(self, kind=kind)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run to be done."""

    subject: Subject
    setting: Setting
    tasks: list[str]
    data: dict[str, Any]
    """`source`, `revision` and `files`, as `run.json` holds them."""
    command: str

    @property
    def id(self) -> str:
        """Hash of everything that decides the scores."""
        model = self.subject.model
        decides = {
            "schema": SCHEMA,
            "protocol_version": PROTOCOL_VERSION,
            "lm-eval": version("lm-eval") if self.subject.kind == "lm-eval" else None,
            "kind": self.subject.kind,
            "reference": self.subject.label if self.subject.kind == "reference" else None,
            "model": [model.get(key) for key in _DECIDE],
            "tokenizer": self.subject.tokenizer["sha256"],
            "setting": setting_record(self.setting, ANSWER_LENGTH),
            "tasks": self.tasks,
            "data": {task: file["sha256"] for task, file in self.data["files"].items()},
            "source": self.data["source"],
        }
        return run_id(decides)

    def record(self) -> dict[str, Any]:
        """`run.json` at the start."""
        return {
            "schema": SCHEMA,
            "protocol_version": PROTOCOL_VERSION,
            "id": self.id,
            "label": self.subject.label,
            "kind": self.subject.kind,
            "model": self.subject.model,
            "tokenizer": self.subject.tokenizer,
            "tasks": self.tasks,
            "setting": setting_record(self.setting, ANSWER_LENGTH),
            "data": self.data,
            "dropped": {},
            "missing_answer": {},
            "hidden_answer": {},
            "no_score": {},
            "versions": versions(),
            "git_commit": git_commit(),
            "command": self.command,
            "started": now(),
            "finished": None,
            "seconds": 0.0,
            "prompt_tokens": 0,
            "tokens": {},
            "peak_memory_bytes": 0,
            "batch_size": None,
            "largest_batch": 0,
        }


def finished(job: Job, out: Path) -> bool:
    """Whether the run's folder holds it whole."""
    folder = out / job.id
    with disk_errors(folder):
        return (folder / "run.json").exists() and read_run(folder).info["finished"] is not None


def execute(
    job: Job,
    out: Path,
    prepared: dict[str, Prepared],
    answerer: Answerer,
    *,
    no_score: dict[str, str] | None = None,
    batch_size: int | None = None,
    force: bool = False,
) -> Path:
    """Do a run, or what is left of it, and return its folder.

    Args:
        job: what to do.
        out: the folder of all runs.
        prepared: questions of each task that the answerer can answer.
        answerer: who answers.
        no_score: tasks it cannot answer, with the reason.
        batch_size: what was asked for, to be recorded.
        force: forget what the folder holds and begin anew.
    """
    from mom_eval.evalsuite.lm_eval_model import ask_through_lm_eval

    info = job.record() | {
        "dropped": {task: questions.dropped for task, questions in prepared.items()},
        "missing_answer": {task: questions.missing_answer for task, questions in prepared.items()},
        "hidden_answer": {task: questions.hidden_answer for task, questions in prepared.items()},
        "no_score": no_score or {},
        "batch_size": batch_size,
    }
    if (out / job.id / "run.json").exists() and not force:
        old = read_run(out / job.id).info
        # A run that was begun before tokens were counted cannot say how many it took.
        info |= {key: old.get(key) for key in ("started", *_ADDED_UP)}
    with RunWriter(out, info) as writer, bars(job.subject.label) as shown:
        if force:
            writer.clear()
        session = Session(writer, answerer, shown)
        try:
            if prepared:
                reported = ask_through_lm_eval(prepared, {}, session.ask)
                session.check(reported)
        finally:
            session.account()
        writer.save(writer.info | {"finished": now()})
    return writer.folder


class Session:
    """Asks what a run's folder does not hold yet, and writes it there."""

    def __init__(self, writer: RunWriter, answerer: Answerer, shown: Bars) -> None:
        """`writer` is open; `shown` displays progress."""
        self.writer, self.answerer, self.shown = writer, answerer, shown
        self.prompt_tokens = 0
        self._before, self._start = writer.info, time.monotonic()
        self._halving = Halving[Question, Answer]("questions", alone, shown.say)
        self._contains: dict[str, list[int]] = {}

    def ask(self, questions: list[Question]) -> dict[str, Answer]:
        """Answers of one task's questions by id, old ones from the folder."""
        task = questions[0].task
        hashes = {question.id: question.prompt_hash for question in questions}
        answers: dict[str, Answer] = {}
        self._contains[task] = []
        for line in self.writer.answered(task):
            if hashes.get(line["id"]) != line["prompt_hash"]:
                raise RunError(
                    f"{self.writer.folder.name}/{task}.jsonl holds another prompt for {line['id']}"
                    " than this mom-eval builds; --force does the run anew"
                )
            self._keep(answers, line["id"], Answer(line["output"], line["log_probabilities"]), line)
        todo = [question for question in questions if question.id not in answers]
        self.shown.start(task, len(questions), len(answers))
        for some in self._halving.results(todo, self.answerer.answers):
            lines = [question_line(question, answer) for question, answer in some]
            self.writer.append(task, lines)
            for (question, answer), line in zip(some, lines, strict=True):
                self._keep(answers, question.id, answer, line)
            self.account()
            self.shown.advance(len(some))
        return answers

    def account(self) -> None:
        """Write down what the run has cost so far: a kill then loses one batch of that, too."""
        before, count = self._before, self.answerer.count
        tokens: dict[str, int] | None = before["tokens"]
        if tokens is not None:
            tokens = None if count is None else count.on_top_of(tokens)
        spent = before["seconds"] + time.monotonic() - self._start
        cost = {
            "seconds": round(spent, 1),
            "prompt_tokens": self.prompt_tokens,
            "peak_memory_bytes": max(before["peak_memory_bytes"], peak_memory()),
            "largest_batch": max(before["largest_batch"], self.answerer.largest_batch),
            "tokens": tokens,
        }
        self.writer.save(self.writer.info | cost)

    def _keep(
        self, answers: dict[str, Answer], key: str, answer: Answer, line: dict[str, Any]
    ) -> None:
        answers[key] = answer
        self._contains[line["task"]].append(line["contains"])
        self.prompt_tokens += line["prompt_tokens"]

    def check(self, reported: dict[str, Any]) -> None:
        """What lm-eval reports must be what the lines say.

        Raises:
            RunError: it is not: a mistake in mom-eval that no table may hide.
        """
        for task, values in self._contains.items():
            ours = sum(values) / len(values)
            theirs = reported[f"mom_{task}"]["contains,none"]
            if abs(ours - theirs) > 1e-9:
                raise RunError(
                    f"{task}: lm-eval reports contains {theirs}, the run's lines {ours}; please"
                    " report this"
                )


def alone(questions: Sequence[Question]) -> str:
    """What memory ran out on where a question does not fit by itself, and what to do."""
    longest = max(question.prompt_tokens for question in questions)
    return (
        f"a single prompt of up to {longest} tokens; take a smaller model,"
        " --dtype bfloat16 or a shorter --context-length"
    )


def question_line(question: Question, answer: Answer) -> dict[str, Any]:
    """A question and its answer as a line of the run's file."""
    from dataclasses import asdict

    scores = score(answer.output, question.answers, answer.log_probabilities)
    return {
        "task": question.task,
        "id": question.id,
        "document": question.document_id,
        "prompt_hash": question.prompt_hash,
        "prompt_tokens": question.prompt_tokens,
        "cut": asdict(question.cut),
        "position": question.position,
        "question": question.question,
        "answers": list(question.answers),
        "output": answer.output,
        "log_probabilities": answer.log_probabilities,
        **scores._asdict(),
    }


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of what decides results."""
    found = {"mom-eval": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def git_commit() -> str | None:
    """The commit of a checkout that mom-eval runs from; None for an installed package."""
    package = Path(__file__).parents[2]
    if not (package / ".git").exists():
        return None
    run: Callable[..., Any] = subprocess.run
    try:
        out = run(
            ["git", "rev-parse", "HEAD"], cwd=package, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return out.stdout.strip()


def with_model_facts(subject: Subject, facts: dict[str, Any]) -> Subject:
    """The subject with what is known only once its model is loaded; none of it decides the run."""
    return replace(subject, model=subject.model | facts)
