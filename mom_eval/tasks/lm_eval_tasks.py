r"""The six tasks as lm-eval knows them.

They run under `mom-eval run` and in plain lm-eval alike:

    lm_eval --include_path "$(mom-eval tasks --path)" --tasks mom_recall \
        --model hf --model_args pretrained=FOLDER,add_bos_token=False \
        --metadata '{"data": "FOLDER"}'

Metadata keys: `data` (a folder, `hub` or `sample`; else `MOM_EVAL_DATA`), `tokenizer` (else the
model's: `pretrained`, with `gguf_file`), and the fields of `Setting`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import datasets
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean
from lm_eval.api.task import ConfigurableTask

from mom_eval.errors import ModelError, MomEvalError, SettingError, nearest
from mom_eval.tasks import LM_EVAL_PREFIX, TASKS
from mom_eval.tasks.data import load, resolve
from mom_eval.tasks.questions import Prepared, Question, prepare
from mom_eval.tasks.recall import ANSWER_LENGTH, PROTOCOL_VERSION, STOP
from mom_eval.tasks.score import score
from mom_eval.tasks.setting import Setting
from mom_eval.tasks.tokens import HFTokens, Tokens, load_tokens

HIGHER_IS_BETTER = {"contains": True, "exact": True, "f1": True, "bits_per_byte": False}
GENERATION = {"until": [STOP], "max_gen_toks": ANSWER_LENGTH, "do_sample": False}


class Recall(ConfigurableTask):
    """One recall task: lm-eval asks it for documents, requests and scores."""

    VERSION = PROTOCOL_VERSION

    def __init__(
        self, config: dict[str, Any] | None = None, prepared: Prepared | None = None
    ) -> None:
        """Build the task's questions.

        Args:
            config: lm-eval's: `task` (`mom_fda`, ...) and `metadata`. The parameter must be called
                `config`: lm-eval looks for that name.
            prepared: the questions, where the caller has built them already.

        Raises:
            MomEvalError: unknown task, no tokenizer, or data that cannot be read.
        """
        config = config or {}
        self.metadata: dict[str, Any] = dict(config.get("metadata") or {})
        self.name = str(config.get("task", "")).removeprefix(LM_EVAL_PREFIX)
        if self.name not in TASKS:
            raise MomEvalError(
                f"there is no recall task {self.name!r}; {nearest(self.name, list(TASKS))}"
            )
        self._prepared = prepared
        super().__init__(
            config={
                "task": LM_EVAL_PREFIX + self.name,
                "task_alias": TASKS[self.name],
                "output_type": "generate_until",
                "validation_split": "validation",
                "num_fewshot": 0,
                "generation_kwargs": dict(GENERATION),
                "metadata": self.metadata | {"version": self.VERSION},
            }
        )

    def download(self, *_: Any, **__: Any) -> None:
        """Read the data and build every prompt; lm-eval calls this once."""
        if self._prepared is None:
            setting = Setting.from_metadata(self.metadata)
            source = replace(resolve(_text(self.metadata, "data")), seed=setting.seed)
            rows = load(self.name, source, context_length=setting.file_length).rows
            self._prepared = prepare(self.name, rows, _tokens(self.metadata), setting)
        rows = [question.as_dict() for question in self._prepared.questions]
        self.dataset = {"validation": datasets.Dataset.from_list(rows)}

    def doc_to_text(self, doc: Mapping[str, Any], doc_to_text: Any = None) -> str:
        """The prompt, as it was built."""
        return doc["prompt"]

    def doc_to_target(self, doc: Mapping[str, Any], doc_to_target: Any = None) -> str:
        """The reference answer."""
        return " " + doc["answers"][0]

    def construct_requests(
        self, doc: dict[str, Any], ctx: str | list[str], **kwargs: Any
    ) -> list[Instance]:
        """One answer to generate, and one probability an alias."""
        kwargs = {key: kwargs[key] for key in ("metadata",) if key in kwargs}
        generate = Instance("generate_until", doc, (ctx, dict(GENERATION)), 0, **kwargs)
        aliases = [
            Instance("loglikelihood", doc, (ctx, " " + answer), index, **kwargs)
            for index, answer in enumerate(doc["answers"], 1)
        ]
        return [generate, *aliases]

    def process_results(self, doc: dict[str, Any], results: list[Any]) -> dict[str, float]:
        """Scores of one question from the output and the aliases' log probabilities."""
        output, *probabilities = results
        scores = score(output, doc["answers"], [nats for nats, _ in probabilities])
        return {key: float(value) for key, value in scores._asdict().items() if value is not None}

    def aggregation(self) -> dict[str, Any]:
        """lm-eval's own mean: it gives a standard error only for functions it knows."""
        return dict.fromkeys(HIGHER_IS_BETTER, mean)

    def higher_is_better(self) -> dict[str, bool]:
        """Which way each score is read."""
        return dict(HIGHER_IS_BETTER)


def question_of(doc: dict[str, Any]) -> Question:
    """The question behind a document that lm-eval hands out."""
    return Question.from_dict(doc)


def _text(metadata: Mapping[str, Any], key: str) -> str | None:
    """A text out of the metadata.

    Raises:
        SettingError: something else stands there.
    """
    value = metadata.get(key)
    if value is not None and not isinstance(value, str):
        raise SettingError(f"metadata: {key} must be a text, not {value!r}")
    return value


def _tokens(metadata: dict[str, Any]) -> Tokens:
    """The tokenizer that the metadata name: never a default one, since windows depend on it."""
    name = metadata.get("tokenizer") or metadata.get("pretrained")
    if name is None:
        raise ModelError(
            "windows are measured in a model's tokens and no tokenizer is named; give"
            """ --metadata '{"tokenizer": "FOLDER or hub id"}' or --model_args pretrained=..."""
        )
    if not isinstance(name, str):
        return HFTokens(name, type(name).__name__)
    gguf_file = None if metadata.get("tokenizer") else _text(metadata, "gguf_file")
    return load_tokens(
        name,
        gguf_file=gguf_file,
        revision=None if metadata.get("tokenizer") else _text(metadata, "revision"),
        trust_remote_code=bool(metadata.get("trust_remote_code", False)),
    )
