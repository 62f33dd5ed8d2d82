"""The models' side of lm-eval: what lm-eval sees, and Hugging Face models through HFLM.

lm-eval returns only at the end of everything, and asks for all outputs before the first
probability. So the object it is given answers a question whole when its output is asked for, hands
it on to be written down, and later only looks its probabilities up.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lm_eval import evaluator
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.models import huggingface
from lm_eval.tasks import TaskManager
from safetensors import SafetensorError

from mom_eval.errors import ModelError, SettingError
from mom_eval.evalsuite.answerers import Answer, sized_batches
from mom_eval.evalsuite.checkpoints import Checkpoint
from mom_eval.tasks.lm_eval_tasks import GENERATION, Recall, question_of
from mom_eval.tasks.questions import Prepared, Question

# Decorators hide the types of these from checkers.
HFLM: Any = huggingface.HFLM
evaluate: Any = evaluator.evaluate
simple_evaluate: Any = evaluator.simple_evaluate

AUTO_ROWS = 64
AUTO_TOKENS = {"cuda": 131_072, "cpu": 8_192}
"""Prompt tokens of an automatic batch: a CPU gains nothing from more, a GPU halves it at need."""

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


def run_lm_eval_tasks(hflm: Any, names: list[str], limit: int | None) -> dict[str, Any]:
    """lm-eval's own tasks on a model, nothing changed: its samples and metrics.

    Raises:
        SettingError: lm-eval knows no task of that name.
        ModelError: its data cannot be loaded here.
    """
    files = [name for name in names if Path(name).is_file()]
    # Reading lm-eval's own registry takes ten seconds: only where a name has to be looked up.
    manager = TaskManager(include_defaults=len(files) < len(names))
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
        first = str(error).splitlines()[0]
        raise ModelError(
            f"lm-eval could not load the data of {', '.join(names)} ({first})"
        ) from error
    return {"samples": out["samples"], "versions": out["versions"]}


def load_hflm(
    checkpoint: Checkpoint,
    tokenizer: Any,
    *,
    device: str,
    dtype: str,
    bos: bool,
    trust_remote_code: bool,
) -> Any:
    """A Hugging Face causal LM through lm-eval's own class.

    Raises:
        ModelError: the files cannot be loaded, or ask for code of their own.
    """
    extra = {"gguf_file": checkpoint.gguf_file} if checkpoint.gguf_file else {}
    try:
        return HFLM(
            pretrained=str(checkpoint.folder),
            backend="causal",
            tokenizer=tokenizer,
            device=device,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            add_bos_token=bos,
            **extra,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        text = " ".join(str(error).split())
        if "trust_remote_code" in text or "remote code" in text:
            raise ModelError(
                f"{checkpoint.id} brings code of its own; --trust-remote-code runs it, if you trust"
                " it"
            ) from error
        raise ModelError(f"{checkpoint.id} cannot be loaded: {text[:300]}") from error


def wrap_model(model: Any, tokenizer: Any, bos: bool) -> Any:
    """HFLM around a `PreTrainedModel` that is in memory already."""
    return HFLM(pretrained=model, backend="causal", tokenizer=tokenizer, add_bos_token=bos)


def context_limit(hflm: Any) -> int | None:
    """Tokens the model was made for; None where its config names no limit (recurrent models)."""
    for name in ("n_positions", "max_position_embeddings", "n_ctx"):
        limit = getattr(hflm.config, name, None)
        if isinstance(limit, int) and limit > 0:
            return limit
    return None


class HFAnswerer:
    """A Hugging Face model: outputs by HFLM, probabilities of all aliases over one read prompt."""

    def __init__(self, hflm: Any, rows: int | None, room: int) -> None:
        """`rows`: batch size (None: automatic); `room`: tokens of the longest prompt and answer."""
        self.hflm, self.rows = hflm, rows
        # HFLM cuts prompts to max_length by itself; ours are cut already.
        self.hflm._max_length = room
        accepted = inspect.signature(self.hflm.model.forward).parameters
        self._selects = "logits_to_keep" in accepted

    def batches(self, questions: Sequence[Question]) -> Iterator[list[Question]]:
        """Longest first; automatic batches are bounded by their padded tokens."""
        if self.rows is not None:
            return sized_batches(questions, self.rows, None)
        budget = AUTO_TOKENS["cpu" if self.hflm.device.type == "cpu" else "cuda"]
        return sized_batches(questions, AUTO_ROWS, budget)

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Answer one batch.

        Raises:
            ModelError: a probability is not a number.
        """
        self.hflm.batch_size_per_gpu = len(questions)
        requests = [
            Instance("generate_until", {}, (question.prompt, dict(GENERATION)), 0)
            for question in questions
        ]
        outputs = self.hflm.generate_until(requests, disable_tqdm=True)
        answers = [
            Answer(output, self._log_probabilities(question))
            for question, output in zip(questions, outputs, strict=True)
        ]
        for answer in answers:
            if not all(map(math.isfinite, answer.log_probabilities or ())):
                raise ModelError(
                    "the model gives probabilities that are no numbers; try --dtype float32"
                )
        return answers

    def _log_probabilities(self, question: Question) -> list[float]:
        pairs = [
            self.hflm._encode_pair(question.prompt, " " + answer) for answer in question.answers
        ]
        prompts = {tuple(prompt) for prompt, _ in pairs}
        if not self._selects or len(prompts) > 1:
            self.hflm.batch_size_per_gpu = 1
            requests = [(("", ""), prompt, answer) for prompt, answer in pairs]
            return [
                nats for nats, _ in self.hflm._loglikelihood_tokens(requests, disable_tqdm=True)
            ]
        prompt, aliases = pairs[0][0], [answer for _, answer in pairs]
        with torch.inference_mode():
            shared = self._shared(prompt, aliases) if len(aliases) > 1 else None
            return shared or [self._one(prompt, alias) for alias in aliases]

    def _one(self, prompt: list[int], alias: list[int]) -> float:
        """Log p(alias | prompt) in one pass, logits at the alias alone."""
        ids = torch.tensor([prompt + alias[:-1]], device=self.hflm.device)
        out = self.hflm.model(ids, logits_to_keep=len(alias), use_cache=False)
        return _sum_chosen(out.logits[0], alias)

    def _shared(self, prompt: list[int], aliases: list[list[int]]) -> list[float] | None:
        """The same for several aliases, the prompt read once; None if its cache cannot be shared.

        Only a cache of plain attention keys and values can be cut back to the prompt after each
        alias; a recurrent state cannot.
        """
        from transformers.cache_utils import DynamicCache, DynamicLayer

        device, model = self.hflm.device, self.hflm.model
        read = model(torch.tensor([prompt], device=device), logits_to_keep=1, use_cache=True)
        cache = getattr(read, "past_key_values", None)
        if not isinstance(cache, DynamicCache) or any(
            type(layer) is not DynamicLayer for layer in cache.layers
        ):
            return None
        out = []
        for alias in aliases:
            logits = read.logits[0, -1:]
            if len(alias) > 1:
                rest = model(torch.tensor([alias[:-1]], device=device), past_key_values=cache)
                logits = torch.cat([logits, rest.logits[0]])
                cache.crop(1 - len(alias))  # negative: so many tokens go
            out.append(_sum_chosen(logits, alias))
        return out


def _sum_chosen(logits: torch.Tensor, chosen: list[int]) -> float:
    """Sum of log softmax at the chosen tokens; logits [T, V], chosen T ids."""
    ids = torch.tensor(chosen, device=logits.device)[:, None]
    return float(logits.float().log_softmax(-1).gather(1, ids).sum())
