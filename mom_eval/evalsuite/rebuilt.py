"""Prompts of finished runs: run folders keep no document, so they are built anew from the data.

What is built counts as the run's prompt only where its hash is the one that the run wrote down.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mom_eval.errors import DataError, ModelError
from mom_eval.evalsuite.named_tokenizer import named_tokenizer
from mom_eval.models.zoo import shipped
from mom_eval.results.report import Text
from mom_eval.results.store import Run
from mom_eval.tasks.data import Source, TaskData, load, resolve
from mom_eval.tasks.questions import Question, Single, prepare
from mom_eval.tasks.setting import Setting
from mom_eval.tasks.tokens import PieceTokens, Tokens, load_tokens


class Rebuilt:
    """The questions of runs, from data and tokenizers that are at hand."""

    def __init__(
        self,
        data: str | None,
        data_dir: Path | None,
        tokenizers: Sequence[str],
        say: Callable[[str], None],
    ) -> None:
        """Hold what is named; nothing is built yet.

        Args:
            data, data_dir: where the questions came from, as `evaluate` takes them.
            tokenizers: folders, hub ids or `.gguf` files: prompts are cut in a model's own tokens.
            say: gets each sentence of progress, and on what is not at hand.

        Raises:
            DataError: a folder of data that was named is not there.
            ModelError: a tokenizer that was named cannot be loaded.
        """
        self.missing: list[str] = []
        self._source, self._say = resolve(data, data_dir), say
        loaded = [PieceTokens(), *map(named_tokenizer, tokenizers)]
        self._tokens: dict[str, Tokens | None] = {one.sha256: one for one in loaded}
        self._data: dict[tuple[Any, ...], TaskData | None] = {}
        self._single: dict[tuple[Any, ...], Single] = {}
        self._hashes: dict[tuple[str, str], dict[str, str | None]] = {}
        self._settings: dict[str, Setting] = {}

    def of(self, run: Run, task: str, question: str) -> Text | None:
        """See `Texts`."""
        setting, hashes = self._setting(run), self._hashes_of(run, task)
        held = self._held(run, task, setting)
        if held is None:
            return None
        tokens = self._tokens_of(run)
        if tokens is not None:
            found = self._one(task, held, tokens, setting).get(question)
            if found is not None and found.prompt_hash == hashes[question]:
                return Text(found.prompt, found.document)
            self._miss_changed(run, task)
        # Ids hang on no tokenizer, and a whole document needs none.
        plain = Setting(protocol="full", context_length=10**9)
        whole = self._one(task, held, PieceTokens(), plain).get(question)
        return None if whole is None else Text(None, whole.document)

    def questions(self, run: Run, task: str) -> dict[str, Question]:
        """The run's questions by id, in the order in which they were built, as they were asked."""
        setting, hashes = self._setting(run), self._hashes_of(run, task)
        held = self._held(run, task, setting)
        tokens = None if held is None else self._tokens_of(run)
        if held is None or tokens is None:
            return {}
        self._say(f"building the prompts of {task} in tokens of {tokens.name}")
        built = prepare(task, held.rows, tokens, setting).questions
        same = {one.id: one for one in built if hashes.get(one.id) == one.prompt_hash}
        if len(same) < len(hashes):
            self._miss_changed(run, task)
        return same

    def _one(self, task: str, held: TaskData, tokens: Tokens, setting: Setting) -> Single:
        """A task's questions; those that are built serve all models of one tokenizer."""
        key = task, held.sha256, tokens.sha256, setting
        if key not in self._single:
            self._single[key] = Single(task, held.rows, tokens, setting)
        return self._single[key]

    def _setting(self, run: Run) -> Setting:
        key = run.info["id"]
        if key not in self._settings:
            self._settings[key] = Setting.from_metadata(run.info["setting"])
        return self._settings[key]

    def _hashes_of(self, run: Run, task: str) -> dict[str, str | None]:
        """The hashes of the prompts that the run read, by question; old runs have none."""
        key = run.info["id"], task
        if key not in self._hashes:
            lines = run.questions[task]
            self._hashes[key] = {line["id"]: line.get("prompt_hash") for line in lines}
        return self._hashes[key]

    def _held(self, run: Run, task: str, setting: Setting) -> TaskData | None:
        """The rows that the run was asked, if they are at hand."""
        known = run.info["data"]
        file = known["files"][task]
        key = task, known["source"], file["rows"], setting.seed, setting.file_length
        if key not in self._data:
            self._data[key] = self._load(task, known["source"], file["rows"], setting)
        held = self._data[key]
        if held is not None and held.sha256 != file["sha256"]:
            self._miss(
                f"the documents of {task} at hand are not those that {run.info['label']} was asked"
                " about (their hash is another one); name the right ones with --data"
            )
            return None
        return held

    def _load(self, task: str, source: str, rows: int, setting: Setting) -> TaskData | None:
        where = self._source
        if source == "sample":
            # It was made as long as the run's --limit asked for.
            where = Source(kind="sample", seed=setting.seed, questions=rows)
        elif where.kind != source:
            self._miss(
                f"the documents of {task} are {source} data and not at hand; name their folder with"
                " --data"
            )
            return None
        try:
            return load(task, replace(where, seed=setting.seed), context_length=setting.file_length)
        except DataError as error:
            self._miss(f"the documents of {task} are not at hand: {error}")
            return None

    def _tokens_of(self, run: Run) -> Tokens | None:
        """The run's tokenizer: one that was named, or one that its id leads to."""
        known = run.info["tokenizer"] or {}
        name, sha256 = known.get("id") or "", known.get("sha256") or ""
        if sha256 not in self._tokens:
            self._tokens[sha256] = self._found(name, sha256)
        if self._tokens[sha256] is None:
            self._miss(
                f"the tokenizer {name} is not at hand, so prompts in its tokens cannot be built;"
                " name its folder with --tokenizer"
            )
        return self._tokens[sha256]

    def _found(self, name: str, sha256: str) -> Tokens | None:
        """That of a checkpoint that ships, or of the hub."""
        folder = shipped().get(name)
        if folder is None and "/" not in name:
            return None
        try:
            found = load_tokens(str(folder or name))
        except ModelError:
            return None
        return found if found.sha256 == sha256 else None

    def _miss_changed(self, run: Run, task: str) -> None:
        self._miss(
            f"prompts of {task} come out otherwise than {run.info['label']} read them: data or"
            " mom-eval have changed since"
        )

    def _miss(self, sentence: str) -> None:
        if sentence not in self.missing:
            self.missing.append(sentence)
            self._say(sentence)
