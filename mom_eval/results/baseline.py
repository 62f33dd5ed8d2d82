"""Baselines of the regression gate: what each question of the sample scored, and nothing of it.

A baseline is a folder: `baseline.json` says which questions were asked and of which models, and
`<model>.csv` holds one line a question: ids, a hash of the prompt, scores. No text, so that it can
be kept with any code; sorted and rounded, so that the same scores are the same bytes and a change
shows as the lines that changed.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from csv import DictReader, DictWriter
from csv import Error as CsvError
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final, NamedTuple

from mom_eval.errors import BaselineError, nearest
from mom_eval.results import TASK_NAMES
from mom_eval.results.store import disk_errors, write_whole

SCHEMA: Final = 1
INDEX: Final = "baseline.json"
DECIMALS: Final = 5
"""Of bits per byte: far below any tolerance, and a short file."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ANEW = "write a new baseline with `mom-eval regress --write`"


class Key(NamedTuple):
    """What identifies a question."""

    task: str
    id: str


class Score(NamedTuple):
    """What a model scored on a question."""

    prompt: str
    """The prompt's hash."""
    contains: int
    bits_per_byte: float


Scores = Mapping[Key, Score]
FIELDS: Final = (*Key._fields, *Score._fields)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which questions of the embedded sample: equal here, equal there."""

    seed: int
    questions: int
    """A task."""
    tokens: int
    """A document, in the sample's pieces."""
    protocol_version: int


@dataclass(frozen=True)
class Baseline:
    """A folder's `baseline.json`."""

    folder: Path
    asked: Asked
    models: Mapping[str, Mapping[str, Any]]
    """Label -> what is known of the model that was asked: weights' hash, dtype, versions."""

    def scores(self, label: str) -> dict[Key, Score]:
        """What a model scored.

        Raises:
            BaselineError: it is not in the baseline, or its file cannot be read.
        """
        if label not in self.models:
            raise BaselineError(
                f"the baseline in {self.folder} holds no {label}"
                f" ({nearest(label, [*self.models])}); call the model by its name there with"
                f" NAME=MODEL, or add it with `mom-eval regress --write {self.folder} --model ...`"
            )
        return _read_scores(self.folder / f"{label}.csv")


def read(folder: Path) -> Baseline:
    """Read a baseline's index; its scores are read model by model.

    Raises:
        BaselineError: there is none, or it is not what `write` writes.
    """
    path = folder / INDEX
    try:
        found = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise BaselineError(
            f"{folder} holds no {INDEX}, so it is no baseline; `mom-eval regress --write {folder}`"
            " makes one"
        ) from None
    except OSError as error:
        raise BaselineError(f"{path} cannot be read ({error.strerror}); mend that first") from None
    except ValueError as error:
        raise BaselineError(f"{path} is no JSON ({error}); {_ANEW}") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        schema = found.get("schema") if isinstance(found, dict) else None
        raise BaselineError(
            f"{path} has schema {schema!r}, this mom-eval reads {SCHEMA}; {_ANEW}, or use the"
            " version that wrote it"
        )
    asked: dict[str, Any] = {name: found.get(name) for name in Asked.__dataclass_fields__}
    for name, value in asked.items():
        if type(value) is not int:
            raise BaselineError(f"{path} has a {name!r} that is {value!r:.40}; {_ANEW}")
    models = found.get("models")
    if not isinstance(models, dict) or not all(isinstance(one, dict) for one in models.values()):
        raise BaselineError(f"{path} has no objects under 'models'; {_ANEW}")
    for label in models:
        check_label(label)
    return Baseline(folder, Asked(**asked), models)


def write(
    folder: Path, asked: Asked, found: Mapping[str, tuple[Mapping[str, Any], Scores]]
) -> list[Path]:
    """Write models into a baseline, new or of the same questions, beside those it holds.

    Args:
        folder: of the baseline.
        asked: the questions.
        found: label -> what is known of the model, and what it scored.

    Returns the files.

    Raises:
        BaselineError: the folder holds a baseline of other questions.
        RunError: it cannot be written.
    """
    models: dict[str, Mapping[str, Any]] = {}
    if (folder / INDEX).exists():
        old = read(folder)
        check_asked(old, asked)
        models |= old.models
    models |= {label: about for label, (about, _) in found.items()}
    written = []
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for label, (_, scores) in found.items():
            check_label(label)
            written.append(folder / f"{label}.csv")
            write_whole(written[-1], _csv(scores))
        # Last, so that an index names no file that is not there.
        written.append(folder / INDEX)
        index = {"schema": SCHEMA, **asdict(asked), "models": dict(sorted(models.items()))}
        write_whole(written[-1], json.dumps(index, indent=1) + "\n")
    return written


def check_asked(baseline: Baseline, asked: Asked) -> None:
    """Refuse to mix baselines of different questions.

    Raises:
        BaselineError: the folder's are others.
    """
    ours, theirs = asdict(asked), asdict(baseline.asked)
    other = [
        f"{name} {theirs[name]}, not {ours[name]}" for name in ours if ours[name] != theirs[name]
    ]
    if other:
        raise BaselineError(
            f"the baseline in {baseline.folder} was made with {', '.join(other)}; give the same,"
            " remove it, or write into another folder"
        )


def check_label(label: str) -> None:
    """Refuse a model's name that cannot be a file's.

    Raises:
        BaselineError: it cannot.
    """
    if not _NAME.fullmatch(label):
        raise BaselineError(
            f"{label!r} cannot name a file of a baseline; call the model by letters, digits, dots,"
            " dashes and underscores with NAME=MODEL"
        )


def check_questions(scores: Scores, prompts: Mapping[Key, str], label: str) -> None:
    """Refuse questions that are not those of the baseline, before a model is asked any.

    Args:
        scores: of the baseline.
        prompts: the questions that would be asked -> the hashes of their prompts.
        label: of the model.

    Raises:
        BaselineError: which question differs, and how.
    """
    gone, new = sorted(scores.keys() - prompts.keys()), sorted(prompts.keys() - scores.keys())
    if gone or new:
        parts = [
            f"{len(some)} of its {len(scores)} questions are {what} ({_named(some[0])})"
            if some is gone
            else f"{len(some)} questions are {what} ({_named(some[0])})"
            for some, what in ((gone, "asked no more"), (new, "not in it"))
            if some
        ]
        raise BaselineError(
            f"{label}: the baseline is of other questions: {' and '.join(parts)}; if the change is"
            f" meant, {_ANEW}"
        )
    for key, score in scores.items():
        if prompts[key] != score.prompt:
            raise BaselineError(
                f"{label}: {_named(key)} has another prompt than in the baseline ({prompts[key]},"
                f" not {score.prompt}), so its scores cannot be compared; if the change is meant,"
                f" {_ANEW}"
            )


def scores_of(lines: Iterable[Mapping[str, Any]]) -> dict[Key, Score]:
    """What the lines of a run say, as a baseline keeps it."""
    return {
        Key(line["task"], line["id"]): Score(
            line["prompt_hash"], line["contains"], round(line["bits_per_byte"], DECIMALS)
        )
        for line in lines
    }


def _named(key: Key) -> str:
    return f"question {key.id} of {key.task}"


def _csv(scores: Scores) -> str:
    out = StringIO()
    writer = DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_line(key, score) for key, score in sorted(scores.items()))
    return out.getvalue()


def _line(key: Key, score: Score) -> dict[str, Any]:
    bits = f"{score.bits_per_byte:.{DECIMALS}f}"
    return {**key._asdict(), **score._asdict(), "bits_per_byte": bits}


def _read_scores(path: Path) -> dict[Key, Score]:
    scores: dict[Key, Score] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = DictReader(file)
            if tuple(lines.fieldnames or ()) != FIELDS:
                raise BaselineError(
                    f"{path} opens with {','.join(lines.fieldnames or ())!r:.60}, not"
                    f" {','.join(FIELDS)}; {_ANEW}"
                )
            for number, line in enumerate(lines, 2):
                key, score = _parsed(line, f"{path}, line {number}")
                if key in scores:
                    raise BaselineError(f"{path}, line {number}: {_named(key)} again; {_ANEW}")
                scores[key] = score
    except FileNotFoundError:
        raise BaselineError(f"{path} is missing, though {INDEX} names it; {_ANEW}") from None
    except OSError as error:
        raise BaselineError(f"{path} cannot be read ({error.strerror}); mend that first") from None
    except (UnicodeDecodeError, CsvError) as error:
        raise BaselineError(f"{path} is no CSV ({error}); {_ANEW}") from None
    if not scores:
        raise BaselineError(f"{path} holds no question; {_ANEW}")
    return scores


def _parsed(line: Mapping[Any, Any], where: str) -> tuple[Key, Score]:
    """A line's question and scores; raises BaselineError where a field is not what it must be."""
    if None in line or None in line.values():
        raise BaselineError(f"{where} does not have {len(FIELDS)} fields; {_ANEW}")
    bits = _number(line["bits_per_byte"])
    sound = {
        "task": line["task"] in TASK_NAMES,
        "id": bool(line["id"]),
        "prompt": bool(line["prompt"]),
        "contains": line["contains"] in ("0", "1"),
        "bits_per_byte": bits is not None,
    }
    for name, is_sound in sound.items():
        if not is_sound:
            raise BaselineError(f"{where} has a {name!r} that is {line[name]!r:.40}; {_ANEW}")
    assert bits is not None
    key = Key(line["task"], line["id"])
    return key, Score(line["prompt"], int(line["contains"]), bits)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
