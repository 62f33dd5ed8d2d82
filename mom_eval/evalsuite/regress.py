"""`mom-eval regress`: ask models the questions of a baseline again, or write one.

The embedded sample is asked, of a seed and a size that the baseline records. Models are asked anew
every time and nothing is kept of a run: the same weights may score otherwise with other code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mom_eval.errors import BaselineError, ModelError
from mom_eval.evalsuite import checkpoints
from mom_eval.evalsuite.evaluate import Say, room_for
from mom_eval.evalsuite.memory import Halving
from mom_eval.evalsuite.progress import bars
from mom_eval.evalsuite.quiet import quiet_libraries
from mom_eval.evalsuite.run import alone, question_line, versions
from mom_eval.evalsuite.subjects import Loaded, Options, from_checkpoint, pick_device
from mom_eval.models.zoo import shipped
from mom_eval.results import baseline as baselines
from mom_eval.results.baseline import Asked, Baseline, Key
from mom_eval.results.gate import Gate, Retest, judge, retests_of
from mom_eval.tasks import TASKS
from mom_eval.tasks.data import Source, load
from mom_eval.tasks.questions import Prepared, prepare
from mom_eval.tasks.recall import PROTOCOL_VERSION
from mom_eval.tasks.sample import FEWEST_TOKENS
from mom_eval.tasks.schema import Row
from mom_eval.tasks.setting import Setting

QUESTIONS = 100
"""A task, of a new baseline."""
_HASHES = {"weights_sha256": "other weights", "tokenizer_sha256": "another tokenizer"}
_KNOWN = ("weights_sha256", "backend", "device", "asked_dtype")
_VERSIONS = ("mom-eval", "torch")
Lines = list[dict[str, Any]]


def regress(against: Path, models: Sequence[str], options: Options, say: Say) -> Gate:
    """Ask models the questions of a baseline again, and compare.

    Args:
        against: the baseline's folder.
        models: what `--model` takes, called as in the baseline; none: all that ship.
        options: how they are run.
        say: gets each sentence of progress.

    Raises:
        BaselineError: a model is not in the baseline, or the questions are not the same.
        MomEvalError: anything else that the user can mend.
    """
    quiet_libraries()
    baseline = baselines.read(against)
    found = _loaded(models, options)
    if not models:
        _check_ship(baseline, [model.subject.label for model in found])
    exam = Exam(baseline.asked)
    scores = {model.subject.label: baseline.scores(model.subject.label) for model in found}
    for model in found:
        baselines.check_questions(
            scores[model.subject.label], exam.prompts(model), model.subject.label
        )
    retests: list[Retest] = []
    remarks: list[str] = []
    for model in found:
        label = model.subject.label
        lines = exam.ask(model, options.batch_size, say)
        retests += retests_of(label, scores[label], lines)
        remarks += _changes(label, baseline.models[label], _about(model))
        model.forget()
    return judge(retests, remarks)


def write_baseline(
    folder: Path,
    models: Sequence[str],
    options: Options,
    say: Say,
    *,
    questions: int | None = None,
    seed: int | None = None,
) -> list[Path]:
    """Ask models and write what they score into a baseline, beside the models it holds.

    Args:
        folder: of the baseline.
        models: what `--model` takes; none: all that ship.
        options: how they are run.
        say: gets each sentence of progress.
        questions: a task; None: as many as the baseline has, else `QUESTIONS`.
        seed: of the sample; None: the baseline's, else 0.

    Returns the files.

    Raises:
        BaselineError: the folder holds a baseline of other questions.
        MomEvalError: anything else that the user can mend.
    """
    quiet_libraries()
    old = baselines.read(folder) if (folder / baselines.INDEX).exists() else None
    usual = old.asked if old else asked_of(QUESTIONS, 0)
    asked = asked_of(
        usual.questions if questions is None else questions, usual.seed if seed is None else seed
    )
    if old:
        baselines.check_asked(old, asked)
    found = _loaded(models, options)
    for model in found:
        baselines.check_label(model.subject.label)
    exam = Exam(asked)
    scored = {}
    for model in found:
        lines = exam.ask(model, options.batch_size, say)
        scored[model.subject.label] = (_about(model), baselines.scores_of(lines))
        model.forget()
    return baselines.write(folder, asked, scored)


def asked_of(questions: int, seed: int) -> Asked:
    """The sample's questions of a seed, documents of its usual length."""
    return Asked(
        seed=seed,
        questions=questions,
        tokens=Source(kind="sample").tokens,
        protocol_version=PROTOCOL_VERSION,
    )


class Exam:
    """The questions of a baseline, put to models."""

    def __init__(self, asked: Asked) -> None:
        """Make the sample.

        Raises:
            BaselineError: prompts were built otherwise when it was asked, or there are no such
                questions.
        """
        if asked.questions < 1 or asked.tokens < FEWEST_TOKENS:
            raise BaselineError(
                f"the baseline asks {asked.questions} questions a task on documents of"
                f" {asked.tokens} tokens, and there are none below 1 and {FEWEST_TOKENS}; write a"
                " new baseline with `mom-eval regress --write`"
            )
        if asked.protocol_version != PROTOCOL_VERSION:
            raise BaselineError(
                f"the baseline was made with prompts of version {asked.protocol_version}, this"
                f" mom-eval builds those of {PROTOCOL_VERSION}; write a new baseline with"
                " `mom-eval regress --write`"
            )
        source = Source(
            kind="sample", seed=asked.seed, questions=asked.questions, tokens=asked.tokens
        )
        self.setting = Setting(seed=asked.seed)
        self.rows: dict[str, list[Row]] = {task: load(task, source).rows for task in TASKS}
        self._prepared: dict[str, dict[str, Prepared]] = {}

    def prepared(self, model: Loaded) -> dict[str, Prepared]:
        """Each task's questions as the model reads them: a tokenizer decides what is cut."""
        key = model.tokens.sha256
        if key not in self._prepared:
            self._prepared[key] = {
                task: prepare(task, rows, model.tokens, self.setting)
                for task, rows in self.rows.items()
            }
        return self._prepared[key]

    def prompts(self, model: Loaded) -> dict[Key, str]:
        """Every question -> the hash of its prompt."""
        return {
            Key(task, question.id): question.prompt_hash
            for task, prepared in self.prepared(model).items()
            for question in prepared.questions
        }

    def ask(self, model: Loaded, batch_size: int | None, say: Say) -> Lines:
        """A line a question, as run folders hold them.

        Raises:
            ModelError: prompt and model do not go together.
            RunError: memory runs out on a single question.
        """
        prepared = self.prepared(model)
        bos = model.uses_bos("auto", self.setting.protocol)
        room = bos + room_for(prepared, model.tokens)
        model.check_limit(room, bos)
        answerer = model.answerer(bos, batch_size, room)
        lines: Lines = []
        with bars(model.subject.label) as shown:
            count = sum(len(part.questions) for part in prepared.values())
            say(f"{model.subject.label}: {count:,} questions")
            halving = Halving("questions", alone, shown.say)
            for task, part in prepared.items():
                shown.start(task, len(part.questions), 0)
                for some in halving.results(part.questions, answerer.answers):
                    lines += [question_line(question, answer) for question, answer in some]
                    shown.advance(len(some))
        return lines


def _loaded(models: Sequence[str], options: Options) -> list[Loaded]:
    names = models or list(shipped())
    if not names:
        raise ModelError("no checkpoint ships with this mom-eval; name a model with --model")
    options = replace(options, device=pick_device(options.device))
    found = [
        checkpoint
        for name in names
        for checkpoint in checkpoints.find(name, allow_pickle=options.allow_pickle)
    ]
    checkpoints.check_unique(found)
    return [from_checkpoint(checkpoint, None, options) for checkpoint in found]


def _check_ship(baseline: Baseline, labels: Sequence[str]) -> None:
    """Without --model, every model of the baseline is to be asked again."""
    if gone := [label for label in baseline.models if label not in labels]:
        raise BaselineError(
            f"the baseline in {baseline.folder} holds {', '.join(gone)}, which do not ship with"
            " mom-eval; name the models to compare with --model NAME=MODEL"
        )


def _changes(label: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A sentence on what is not as it was when the baseline was written; none where nothing is."""
    found = [
        _HASHES[name]
        if name in _HASHES
        else f"{name.replace('_', ' ')} {now[name]}, not {then.get(name)}"
        for name in now
        if now[name] != then.get(name)
    ]
    return [f"{label} is not as in the baseline: {', '.join(found)}."] if found else []


def _about(model: Loaded) -> Mapping[str, Any]:
    """What a baseline keeps of a model: whoever reads a drop wants to know what has changed."""
    record, found = model.subject.model, versions()
    return {
        **{name: record[name] for name in _KNOWN},
        "tokenizer_sha256": model.subject.tokenizer["sha256"],
        **{name: found[name] for name in _VERSIONS},
    }
