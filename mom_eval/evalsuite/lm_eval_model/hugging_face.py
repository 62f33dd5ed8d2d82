"""Hugging Face models through lm-eval's own class, HFLM."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models import huggingface
from safetensors import SafetensorError

from mom_eval.errors import ModelError
from mom_eval.evalsuite.answerers import Answer, check_numbers, sized_batches
from mom_eval.evalsuite.checkpoints import Checkpoint
from mom_eval.evalsuite.memory import at_once
from mom_eval.tasks.lm_eval_tasks import GENERATION
from mom_eval.tasks.questions import Question

# A decorator hides its type from checkers.
HFLM: Any = huggingface.HFLM

AUTO_ROWS = 64
AUTO_TOKENS = {"cuda": 131_072, "cpu": 8_192}
"""Prompt tokens of an automatic batch: a CPU gains nothing from more, a GPU halves it at need."""


def load_hflm(
    checkpoint: Checkpoint,
    tokenizer: Any,
    *,
    device: str,
    dtype: str,
    bos: bool,
    trust_remote_code: bool,
) -> "HFModel":
    """A Hugging Face causal LM through lm-eval's own class.

    Raises:
        ModelError: the files cannot be loaded, or ask for code of their own.
    """
    extra = {"gguf_file": checkpoint.gguf_file} if checkpoint.gguf_file else {}
    try:
        hflm = HFLM(
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
        raise ModelError(
            f"{checkpoint.id} cannot be loaded: {text[:300]}; fetch it again, or see whether this"
            " transformers knows it"
        ) from error
    return HFModel(hflm)


def wrap_model(model: Any, tokenizer: Any, bos: bool) -> "HFModel":
    """The same around a `PreTrainedModel` that is in memory already."""
    hflm = HFLM(pretrained=model, backend="causal", tokenizer=tokenizer, add_bos_token=bos)
    return HFModel(hflm)


class HFModel:
    """A loaded Hugging Face model, as `answerers.Model` asks for it."""

    def __init__(self, hflm: Any) -> None:
        """`hflm` is an HFLM."""
        self.hflm, self.module = hflm, hflm.model

    @property
    def limit(self) -> int | None:
        """Tokens the model was made for; None where its config names no limit."""
        for name in ("n_positions", "max_position_embeddings", "n_ctx"):
            limit = getattr(self.hflm.config, name, None)
            if isinstance(limit, int) and limit > 0:
                return limit
        return None

    def answerer(self, rows: int | None, room: int) -> "HFAnswerer":
        """See `HFAnswerer`."""
        return HFAnswerer(self.hflm, rows, room)

    def for_lm_eval(self) -> Any:
        """The HFLM."""
        return self.hflm


class HFAnswerer:
    """A Hugging Face model: outputs by HFLM, probabilities of all aliases over one read prompt."""

    def __init__(self, hflm: Any, rows: int | None, room: int) -> None:
        """`rows`: batch size (None: automatic); `room`: tokens of the longest prompt and answer."""
        self.hflm, self.rows = hflm, rows
        self.largest_batch, self.count = 0, None
        # HFLM cuts prompts to max_length by itself; ours are cut already.
        self.hflm._max_length = room
        accepted = inspect.signature(self.hflm.model.forward).parameters
        self._selects = "logits_to_keep" in accepted

    def answers(
        self, questions: Sequence[Question], rows: int | None
    ) -> Iterator[list[tuple[Question, Answer]]]:
        """Longest first; automatic batches are bounded by their padded tokens.

        Raises:
            ModelError: a probability is not a number.
            OutOfMemory: memory ran out.
        """
        most = self.rows or AUTO_ROWS
        most = most if rows is None else min(rows, most)
        budget = AUTO_TOKENS["cpu" if self.hflm.device.type == "cpu" else "cuda"]
        for batch in sized_batches(questions, most, budget if self.rows is None else None):
            self.largest_batch = max(self.largest_batch, len(batch))
            with at_once(len(batch)):
                answers = self._answer(batch)
            yield list(zip(batch, answers, strict=True))

    def _answer(self, questions: Sequence[Question]) -> list[Answer]:
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
        check_numbers(answers)
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
