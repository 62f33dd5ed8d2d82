"""`mom_eval.evaluate`: models and options in, run folders and a table out. The CLI calls it."""

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mom_eval.errors import SettingError
from mom_eval.evalsuite import checkpoints
from mom_eval.evalsuite.answerers import Answerer, ModuleAnswerer
from mom_eval.evalsuite.plan import Grid, command_line, settings, task_names
from mom_eval.evalsuite.quiet import quiet_libraries
from mom_eval.evalsuite.reference_rows import BY_KEY, REFERENCES, ReferenceAnswerer, why_not
from mom_eval.evalsuite.run import Job, Subject, execute, finished
from mom_eval.evalsuite.subjects import (
    Loaded,
    Options,
    from_checkpoint,
    from_memory,
    pick_device,
)
from mom_eval.results.store import disk_errors, read_run
from mom_eval.tasks.data import Source, TaskData, load, resolve
from mom_eval.tasks.files import find, sha256
from mom_eval.tasks.questions import Prepared, prepare
from mom_eval.tasks.recall import ANSWER_LENGTH
from mom_eval.tasks.setting import Setting
from mom_eval.tasks.tokens import PieceTokens, Tokens

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)
Say = Callable[[str], None]


def evaluate(
    model: Any = None,
    tokenizer: Any = None,
    tasks: str = "recall",
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    protocol: str = "paper",
    context_length: int | Sequence[int] | None = None,
    repeat: int = 1,
    haystack: int | Sequence[int] | None = None,
    depth: float | Sequence[float] | None = None,
    control: str | Sequence[str] | None = None,
    limit: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    dtype: str = "auto",
    kernels: str = "auto",
    backend: str = "auto",
    bos: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    keep_dropped: bool = False,
    seed: int = 0,
    out: str | Path = "runs",
    force: bool = False,
    say: Say | None = None,
) -> "pd.DataFrame":
    """Evaluate recall and return one line a model, task and group.

    Args:
        model: what `--model` takes, or several; what `from_memory` takes; None: no model is asked.
        tokenizer: a name or folder; for a model in memory, its tokenizer.
        tasks: `recall`, or names with commas between them; `lm-eval:NAME` for lm-eval's own.
        data: a folder, `hub` or `sample`; None: prepared data (in `data_dir`), else the sample.
        protocol, ..., seed: fields of `Setting`; several lengths, depths or controls: several runs.
        batch_size, ..., force: the fields of `Options`; `out`: the folder of run folders.
        say: gets each sentence of progress; None logs them.

    Returns a tidy table; `.attrs["runs"]` are the run folders behind it.

    Raises:
        MomEvalError: anything the user can mend.
    """
    quiet_libraries()
    asked = {"protocol": protocol, "repeat": repeat, "limit": limit, "seed": seed}
    base = Setting(**asked, keep_dropped=keep_dropped)
    options = _options(locals())
    ours, theirs = task_names(tasks)
    suite = Suite(
        tasks=ours,
        settings=settings(base, Grid(*map(_several, (context_length, haystack, depth, control)))),
        source=source_of(data, data_dir, seed, limit, say or log.info) if ours else None,
        options=options,
        out=Path(out),
        say=say or log.info,
        command=_command(locals()),
    )
    return tidy(suite.run(_loaded(model, tokenizer, options), theirs, limit))


def _options(given: dict[str, Any]) -> Options:
    """The arguments of `evaluate` that say how models are run."""
    asked = {field.name: given[field.name] for field in fields(Options)}
    asked["device"] = pick_device(given["device"])
    return Options(**asked)


def _command(given: dict[str, Any]) -> str:
    """The call as a command: `given` holds the arguments; `say` is no option of it."""
    known = inspect.signature(evaluate).parameters
    defaults = {name: one.default for name, one in known.items()}
    return command_line({name: given[name] for name in known if name != "say"}, defaults)


def source_of(
    data: str | None, data_dir: str | Path | None, seed: int, limit: int | None, say: Say
) -> Source:
    """What `--data` and `--data-dir` mean; says why where nobody asked for it.

    The sample is made as long as `limit` asks for: it has no end of its own.

    Raises:
        DataError: there is no data.
        SettingError: both are given and disagree.
    """
    if data_dir is not None and data not in (None, "hub"):
        raise SettingError(
            "--data-dir is where prepared data lie, and --data names other data; give one of them"
        )
    source = resolve(data, Path(data_dir) if data_dir else None)
    if source.why:
        say(source.why)
    return replace(source, seed=seed, questions=max(source.questions, limit or 0))


def tidy(folders: list[Path]) -> "pd.DataFrame":
    """The leaderboard of run folders, one line a row, task and group."""
    from mom_eval.results.frames import load_leaderboard

    table = load_leaderboard(*folders)
    table.attrs["runs"] = folders
    return table


def _several(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _loaded(model: Any, tokenizer: Any, options: Options) -> list[Loaded]:
    """Everything that is to be asked; weights are read only when a run needs them."""
    if model is None:
        return []
    if not isinstance(model, str | list | tuple):
        return [from_memory(model, tokenizer, options.device)]
    found = [
        checkpoint
        for text in _several(model)
        for checkpoint in checkpoints.find(
            str(text),
            trust_remote_code=options.trust_remote_code,
            allow_pickle=options.allow_pickle,
        )
    ]
    checkpoints.check_unique(found)
    name = tokenizer if isinstance(tokenizer, str) else None
    return [from_checkpoint(checkpoint, name, options) for checkpoint in found]


@dataclass(kw_only=True)
class Suite:
    """The runs of one command, model by model."""

    tasks: list[str]
    settings: list[Setting]
    source: Source | None
    options: Options
    out: Path
    say: Say
    command: str

    def __post_init__(self) -> None:
        self._data: dict[tuple[str, int | None], TaskData] = {}
        # Models with one tokenizer read the same prompts; two settings' are kept, the rest is room.
        self._questions = lru_cache(maxsize=2)(self._prepare)

    def data(self, task: str, setting: Setting) -> TaskData:
        """A task's rows, read and checked once; of NQ the hub holds one version a length."""
        assert self.source is not None
        key = (task, setting.file_length)
        if key not in self._data:
            self._data[key] = load(task, self.source, context_length=setting.file_length)
        return self._data[key]

    def run(self, models: list[Loaded], lm_eval_tasks: list[str], limit: int | None) -> list[Path]:
        """Reference rows first: they are quick, and every leaderboard carries them."""
        folders: list[Path] = []
        with disk_errors(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
        if self.tasks:
            tokens: Tokens = models[0].tokens if models else PieceTokens()
            for setting in self.settings:
                folders += self._references(tokens, setting)
        for model in models:
            if self.tasks:
                folders += [self._model(model, setting) for setting in self.settings]
            if lm_eval_tasks:
                from mom_eval.evalsuite.lm_eval_run import run_lm_eval

                folders.append(
                    run_lm_eval(
                        model,
                        lm_eval_tasks,
                        limit,
                        self.out,
                        force=self.options.force,
                        command=self.command,
                        say=self.say,
                    )
                )
            model.forget()
        return folders

    def _record(self, setting: Setting) -> dict[str, Any]:
        data = [self.data(task, setting) for task in self._asked(setting)]
        files = {
            item.task: {"file": item.file, "sha256": item.sha256, "rows": len(item.rows)}
            for item in data
        }
        revisions = {item.task: item.revision for item in data if item.revision}
        return {"source": data[0].source, "revision": revisions or None, "files": files}

    def _job(self, subject: Subject, setting: Setting) -> Job:
        return Job(
            subject=subject,
            setting=setting,
            tasks=self._asked(setting),
            data=self._record(setting),
            command=self.command,
        )

    def _asked(self, setting: Setting) -> list[str]:
        """The suite's tasks; of `recall` under a haystack those that have passages to hide."""
        from mom_eval.tasks.recall import RECALL

        if setting.haystack is None or len(self.tasks) < len(RECALL):
            return self.tasks
        return [task for task in self.tasks if RECALL[task].passage]

    def _prepared(
        self, tokens: Tokens, setting: Setting, tasks: Sequence[str]
    ) -> dict[str, Prepared]:
        return self._questions(_SameTokens(tokens), setting, tuple(tasks))

    def _prepare(
        self, same: "_SameTokens", setting: Setting, tasks: tuple[str, ...]
    ) -> dict[str, Prepared]:
        return {
            task: prepare(task, self.data(task, setting).rows, same.tokens, setting)
            for task in tasks
        }

    def _references(self, tokens: Tokens, setting: Setting) -> list[Path]:
        """The four rows made by code; beside controls they mean nothing."""
        if setting.control is not None:
            return []
        folders = []
        prepared: dict[str, Prepared] | None = None
        for reference in REFERENCES:
            subject = Subject(
                kind="reference",
                label=reference,
                model={
                    "id": reference,
                    "weights_sha256": None,
                    "train_sha256": self._train_sha256() if reference == "prior" else None,
                    "device": None,
                    "asked_dtype": None,
                },
                tokenizer={"id": tokens.name, "sha256": tokens.sha256},
            )
            job = self._job(subject, setting)
            folders.append(self.out / job.id)
            if finished(job, self.out) and not self.options.force:
                continue
            prepared = prepared or self._prepared(tokens, setting, job.tasks)
            train = partial(self._train_rows, setting)
            reasons = {task: why_not(reference, task, train) for task in job.tasks}
            able = {task: prepared[task] for task in job.tasks if reasons[task] is None}
            no_score = {task: reason for task, reason in reasons.items() if reason}
            answerer = ReferenceAnswerer(reference, tokens, list(able), train)
            execute(job, self.out, able, answerer, no_score=no_score, force=self.options.force)
        return folders

    def _train_sha256(self) -> dict[str, str]:
        """Training file of each task that *prior* answers; the sample's follows from its seed."""
        folder = self.source.folder if self.source else None
        found = {task: folder and find(folder, f"{task}.train") for task in BY_KEY}
        return {task: sha256(path) for task, path in found.items() if path and task in self.tasks}

    def _train_rows(self, setting: Setting, task: str) -> Sequence[dict[str, Any]]:
        return self.data(task, setting).train_rows() or ()

    def _model(self, model: Loaded, setting: Setting) -> Path:
        setting = replace(setting, bos=model.uses_bos(self.options.bos, setting.protocol))
        job = self._job(model.subject, setting)
        if finished(job, self.out) and not self.options.force:
            label = read_run(self.out / job.id).info["label"]
            as_label = "" if label == model.subject.label else f" under the label {label}"
            self.say(
                f"{model.subject.label}: this run is there already{as_label} ({job.id});"
                " --force does it anew"
            )
            return self.out / job.id
        if setting.prompt_limit is not None:
            model.check_limit(setting.context_length, setting.bos)
        prepared = self._prepared(model.tokens, setting, job.tasks)
        room = setting.bos + room_for(prepared, model.tokens)
        model.check_limit(room, setting.bos)
        answerer: Answerer = model.answerer(setting.bos, self.options.batch_size, room)
        if isinstance(answerer, ModuleAnswerer):
            self.say(answerer.how_slow())
        job = replace(job, subject=model.subject)
        return execute(
            job,
            self.out,
            prepared,
            answerer,
            batch_size=self.options.batch_size,
            force=self.options.force,
        )


class _SameTokens:
    """A tokenizer that is equal to any other which makes the same tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SameTokens) and other.tokens.sha256 == self.tokens.sha256

    def __hash__(self) -> int:
        return hash(self.tokens.sha256)


def room_for(prepared: dict[str, Prepared], tokens: Tokens) -> int:
    """Tokens of the longest prompt with its answer, generated or an alias."""
    return max(
        question.prompt_tokens
        + max(ANSWER_LENGTH, *(len(tokens.encode(" " + answer)) for answer in question.answers))
        for questions in prepared.values()
        for question in questions.questions
    )
