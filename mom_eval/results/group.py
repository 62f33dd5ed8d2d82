"""Which runs may share a leaderboard: the same questions, asked the same way."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from mom_eval.results.store import Run

RECALL, LM_EVAL = "recall", "lm-eval"
CONTROL_WORDS = {"blind": "without the document", "shuffled": "with another question's document"}
SOURCE_WORDS = {"local": "local data", "hub": "hub data", "sample": "synthetic sample"}


@dataclass(frozen=True)
class Group:
    """What must be equal for two scores to stand in one column; the data files come on top."""

    tasks: str
    """`recall`: the tasks of this package; `lm-eval`: lm-eval's own."""
    protocol: str
    context_length: int
    answer_length: int
    repeat: int
    haystack: int | None
    depth: float | None
    control: str | None
    keep_dropped: bool
    bos: bool
    source: str
    seed: int | None
    """None where nothing is drawn: real documents, no haystack, not shuffled."""

    @property
    def synthetic(self) -> bool:
        """Whether the documents are made up, so that no score here is one of the real task."""
        return self.source == "sample"

    def title(self) -> str:
        """The group in words, for the heading of a table or plot."""
        if self.tasks == LM_EVAL:
            return f"lm-eval's own tasks{self._bos_words()}"
        words = ["Recall on a synthetic sample, not the real tasks" if self.synthetic else "Recall"]
        words += [f"protocol {self.protocol}", f"context length {self.context_length:,}"]
        if not self.synthetic:
            words.append(SOURCE_WORDS.get(self.source, self.source))
        if self.repeat > 1:
            words.append(f"question first and document {self.repeat} times")
        if self.haystack is not None:
            words.append(f"haystack of {self.haystack:,} tokens, passage at depth {self.depth:g}")
        if self.control:
            words.append(f"control {self.control} ({CONTROL_WORDS[self.control]})")
        if self.keep_dropped:
            words.append("dropped questions kept")
        if self.answer_length != 48:
            words.append(f"answers of {self.answer_length} tokens")
        if self.seed:
            words.append(f"seed {self.seed}")
        return ", ".join(words) + self._bos_words()

    def _bos_words(self) -> str:
        return ", with BOS" if self.bos else ""

    def record(self) -> dict[str, Any]:
        """The group as a plain dict."""
        return asdict(self)


class Gathered(NamedTuple):
    """The runs of one board."""

    group: Group
    runs: list[Run]
    files: dict[str, str]
    """Task -> sha256 of its data file."""


def group_of(run: Run, *, without_control: bool = False) -> Group:
    """The group of a run; `without_control`, the group of the runs that its control is for."""
    setting, source = run.info["setting"], run.info["data"]["source"]
    control = None if without_control else setting["control"]
    drawn = source == "sample" or setting["haystack"] is not None or control == "shuffled"
    return Group(
        tasks=LM_EVAL if run.info["kind"] == "lm-eval" else RECALL,
        protocol=setting["protocol"],
        context_length=setting["context_length"],
        answer_length=setting["answer_length"],
        repeat=setting["repeat"],
        haystack=setting["haystack"],
        depth=setting["depth"],
        control=control,
        keep_dropped=setting["keep_dropped"],
        bos=setting["bos"],
        source=source,
        seed=setting["seed"] if drawn else None,
    )


def gather(runs: list[Run]) -> list[Gathered]:
    """Split runs into boards, in the order in which they are shown.

    Reference rows take no BOS, so they join the boards with and without it. Within a group, runs
    whose data files of one task differ are kept apart.
    """
    groups: dict[Group, list[Run]] = {}
    references: list[Run] = []
    for run in runs:
        if run.info["kind"] == "reference":
            references.append(run)
        else:
            groups.setdefault(group_of(run), []).append(run)
    for run in references:
        own = group_of(run)
        homes = [group for group in groups if _same_but_bos(group, own)] or [own]
        for group in homes:
            groups.setdefault(group, []).append(run)
    found = [Gathered(group, *part) for group in groups for part in _by_files(groups[group])]
    return sorted(found, key=lambda item: (_order(item.group), sorted(item.files.items())))


def agrees(run: Run, files: dict[str, str]) -> bool:
    """Whether no task of the run was asked from another data file than the one in `files`."""
    return all(files.get(task, sha) == sha for task, sha in _files(run).items())


def short_hash(files: Mapping[str, str]) -> str:
    """Eight digits that tell two sets of data files apart."""
    return sha256(repr(sorted(files.items())).encode()).hexdigest()[:8]


def told_apart(titles: Sequence[str], files: Sequence[Mapping[str, str]]) -> list[str]:
    """Titles of boards; those that are the same name their data files, by which alone they differ.

    Args:
        titles: of all of them.
        files: of each, task -> sha256.
    """
    return [
        f"{title}, data files {short_hash(own)}" if titles.count(title) > 1 else title
        for title, own in zip(titles, files, strict=True)
    ]


def _files(run: Run) -> dict[str, str]:
    return {task: file["sha256"] for task, file in run.info["data"]["files"].items()}


def _by_files(runs: list[Run]) -> list[tuple[list[Run], dict[str, str]]]:
    """Runs with most tasks first, each to the first part that its data files do not contradict."""
    parts: list[tuple[list[Run], dict[str, str]]] = []
    for run in sorted(runs, key=lambda run: (-len(_files(run)), sorted(_files(run).items()))):
        for members, files in parts:
            if agrees(run, files):
                members.append(run)
                files.update(_files(run))
                break
        else:
            parts.append(([run], _files(run)))
    return parts


def _same_but_bos(one: Group, other: Group) -> bool:
    return one.record() | {"bos": None} == other.record() | {"bos": None}


def _order(group: Group) -> tuple[Any, ...]:
    return (
        group.tasks == LM_EVAL,
        group.control or "",
        group.haystack or 0,
        group.depth or 0.0,
        group.source,
        group.repeat,
        group.protocol != "paper",
        group.context_length,
        group.keep_dropped,
        group.bos,
        group.answer_length,
        group.seed or 0,
    )
