"""Single questions of runs as text: what was asked, what is right, what each model wrote."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mom_eval.errors import RunError, SettingError
from mom_eval.results.markdown import one_line
from mom_eval.results.select import check_asked
from mom_eval.results.sound import check_sample
from mom_eval.results.store import Run


class Said(NamedTuple):
    """What a run wrote to a question."""

    text: str
    right: bool
    """Does an answer stand in it?"""
    model: bool
    """Was it a model, and no row made by code?"""


@dataclass(frozen=True)
class Sample:
    """One question, and what the runs that asked it got."""

    task: str
    id: str
    document: str
    question: str
    answers: tuple[str, ...]
    said: dict[str, Said] = field(default_factory=dict)
    """By the name of the run."""

    def fits(self, right: bool | None, pattern: re.Pattern[str] | None) -> bool:
        """Is it asked for; `right`: every model is, or some model is not.

        Rows made by code count where no model was asked.
        """
        said = self.said.values()
        judged = [one.right for one in said if one.model] or [one.right for one in said]
        if right is not None and all(judged) != right:
            return False
        texts = (self.id, self.question, *self.answers, *(one.text for one in said))
        return pattern is None or any(map(pattern.search, texts))


def samples(
    runs: Sequence[Run],
    *,
    tasks: Sequence[str] = (),
    right: bool | None = None,
    grep: str | None = None,
) -> list[Sample]:
    """The questions of runs of ours, in the order in which they were answered.

    Args:
        runs: a question that several of them asked stands once.
        tasks: names; none: all.
        right: only those that every model got right (True), or some model got wrong (False).
        grep: a regular expression, without regard to case, that stands in the question, an answer,
            what was written, or the id.

    Raises:
        SettingError: `grep` is no regular expression, or no run asked a task.
        RunError: a run is one of lm-eval's own tasks, or its lines do not hold what is shown.
    """
    try:
        pattern = None if grep is None else re.compile(grep, re.IGNORECASE)
    except re.error as error:
        raise SettingError(f"--grep {grep!r} is no regular expression: {error}") from None
    asked = list(dict.fromkeys(task for run in runs for task in run.questions))
    check_asked(tasks, asked)
    found: dict[tuple[str, str], Sample] = {}
    # Models before what they are measured against.
    runs = sorted(runs, key=lambda run: run.info["kind"] == "reference")
    for name, run in zip(_names(runs), runs, strict=True):
        if run.info["kind"] == "lm-eval":
            raise RunError(
                f"{run.folder.name} is of lm-eval's own tasks, whose questions are not kept; name"
                " runs of the recall tasks"
            )
        for task in tasks or run.questions:
            for number, line in enumerate(run.questions.get(task, ()), 1):
                check_sample(line, f"{run.folder.name}/{task}.jsonl, line {number}")
                sample = found.setdefault((task, line["id"]), sample_of(task, line))
                model = run.info["kind"] != "reference"
                sample.said[name] = Said(line["output"], line["contains"] == 1, model)
    return [sample for sample in found.values() if sample.fits(right, pattern)]


def sample_of(task: str, line: Mapping[str, Any]) -> Sample:
    """A line's question, with nothing written to it yet."""
    return Sample(task, line["id"], line["document"], line["question"], tuple(line["answers"]))


def _names(runs: Sequence[Run]) -> list[str]:
    """Labels; where several runs have one, with the folder."""
    count = Counter(run.info["label"] for run in runs)
    return [
        run.info["label"]
        if count[run.info["label"]] == 1
        else f"{run.info['label']} ({run.folder.name})"
        for run in runs
    ]


def text(found: Sequence[Sample], most: int) -> str:
    """The first `most` of them, and how many there are."""
    parts = [shown(sample) for sample in found[:most]]
    count = f"{len(found):,} question{'' if len(found) == 1 else 's'}"
    if len(found) > most:
        count = f"{most:,} of {count}; --limit shows more"
    return "\n\n".join([*parts, count])


def shown(sample: Sample) -> str:
    """A question over what each run wrote to it, a line each."""
    width = max(len("question"), *map(len, sample.said))
    answers = " | ".join(map(one_line, sample.answers))
    lines = [f"{sample.task}  {one_line(sample.id)}  (document {one_line(sample.document)})"]
    lines += [f"  {'question':{width}}         {one_line(sample.question)}"]
    lines += [f"  {'answer':{width}}         {answers}"]
    for name, one in sample.said.items():
        hit = "right" if one.right else "wrong"
        lines.append(f"  {name:{width}}  {hit}  {one_line(one.text) or '-'}")
    return "\n".join(lines)
