"""Who answers questions: the contract, and the answerer of plain modules.

An answerer gets questions whose prompts are built and returns, for each, the text it wrote (cut at
the stop string) and the natural log probability of every alias behind the prompt.
"""

import inspect
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from mom_eval.errors import ModelError, SettingError
from mom_eval.evalsuite.engine.count import TokenCount
from mom_eval.evalsuite.memory import at_once
from mom_eval.tasks.questions import Question
from mom_eval.tasks.recall import ANSWER_LENGTH, STOP


class Answer(NamedTuple):
    """What came back for one question."""

    output: str
    log_probabilities: list[float] | None
    """One an alias, in the question's order; None from answerers that know no probabilities."""


class Answerer(Protocol):
    """Answers the questions of a task."""

    @property
    def largest_batch(self) -> int:
        """How many questions it has had in flight at most."""
        ...

    @property
    def count(self) -> TokenCount | None:
        """The tokens it took; None from answerers that do not count them."""
        ...

    def answers(
        self, questions: Sequence[Question], rows: int | None
    ) -> Iterator[list[tuple[Question, Answer]]]:
        """Answer every question once, in the order in which they are best asked.

        Args:
            questions: of one task.
            rows: at most so many at once; None: as the answerer was made.

        Yields:
            Answers as they come.

        Raises:
            OutOfMemory: memory ran out; what was yielded stands.
        """
        ...


class Model(Protocol):
    """A loaded model, however it is run."""

    module: Any
    """Holds the parameters."""

    @property
    def limit(self) -> int | None:
        """Tokens the model was made for; None where nothing binds it."""
        ...

    def answerer(self, rows: int | None, room: int) -> Answerer:
        """Who answers with this model.

        Args:
            rows: questions at once; None: as many as memory holds.
            room: tokens of the longest prompt with its answer.
        """
        ...

    def for_lm_eval(self) -> Any:
        """The model as lm-eval's own tasks take it, an `lm_eval.api.model.LM`.

        Raises:
            SettingError: they cannot.
        """
        ...


def check_numbers(answers: Sequence[Answer]) -> None:
    """Refuse what no table can hold.

    Raises:
        ModelError: a probability is not a number.
    """
    for answer in answers:
        if not all(map(math.isfinite, answer.log_probabilities or ())):
            raise ModelError(
                "the model gives probabilities that are no numbers; try --dtype float32"
            )


def sized_batches(
    questions: Sequence[Question], rows: int, tokens: int | None
) -> Iterator[list[Question]]:
    """Longest first, at most `rows` a batch and, once padded, `tokens` prompt tokens."""
    batch: list[Question] = []
    for question in sorted(questions, key=lambda question: -question.prompt_tokens):
        full = len(batch) == rows
        if batch and tokens is not None:
            full = full or (len(batch) + 1) * batch[0].prompt_tokens > tokens
        if full:
            yield batch
            batch = []
        batch.append(question)
    if batch:
        yield batch


def module_logits(module: Any, ids: list[int], device: Any) -> Any:
    """Logits [T, V] in float32 of a plain module for T token ids.

    Raises:
        ModelError: it returns something else.
    """
    import torch

    with torch.inference_mode():
        out = module(torch.tensor([ids], device=device))
    logits = getattr(out, "logits", out)
    if getattr(logits, "ndim", 0) != 3 or logits.shape[:2] != (1, len(ids)):
        shape = getattr(logits, "shape", type(logits).__name__)
        raise ModelError(
            f"the module returned {shape} for input_ids [1, {len(ids)}]; expected logits"
            f" [1, {len(ids)}, V] or an object with .logits"
        )
    return logits[0].float()


def generates(module: Any) -> bool:
    """Whether a module has a `.generate` that takes what transformers' takes."""
    generate = getattr(module, "generate", None)
    if not callable(generate):
        return False
    try:
        inspect.signature(generate).bind(None, max_new_tokens=1, do_sample=False)
    except TypeError:
        return False
    return True


class ModuleAnswerer:
    """Any `module(input_ids [1, T]) -> logits [1, T, V]` (or an object with `.logits`).

    One question at a time, unpadded. Without a `.generate`, each new token costs a whole forward
    pass over the prompt: right for every module, and slow.
    """

    largest_batch = 1
    count = None

    def __init__(self, module: Any, tokenizer: Any, bos: bool, device: Any) -> None:
        """`tokenizer` is a Hugging Face tokenizer; `bos` puts its first special token before."""
        self.module, self.tokenizer, self.bos, self.device = module, tokenizer, bos, device
        self.eos = getattr(tokenizer, "eos_token_id", None)
        self.generates = generates(module)

    def how_slow(self) -> str:
        """A sentence for the user on what a plain module costs."""
        if self.generates:
            return "a plain module answers one question at a time, unpadded"
        return (
            "a plain module answers one question at a time and, without a"
            " .generate(input_ids, max_new_tokens=, do_sample=), reads the prompt anew"
            f" for each of up to {ANSWER_LENGTH} tokens: expect it to be slow"
        )

    @property
    def limit(self) -> None:
        """A module's positions are its own affair."""
        return None

    def answerer(self, rows: int | None, room: int) -> "ModuleAnswerer":
        """Itself: it takes one question at a time, of any length."""
        return self

    def for_lm_eval(self) -> Any:
        """lm-eval's own tasks ask for more than a module can do.

        Raises:
            SettingError: always.
        """
        raise SettingError(
            "lm-eval's own tasks need a model of transformers or of mom-eval; a plain module runs"
            " the recall tasks"
        )

    def answers(
        self, questions: Sequence[Question], rows: int | None
    ) -> Iterator[list[tuple[Question, Answer]]]:
        """One by one: a plain module knows no mask, so nothing may be padded."""
        for (question,) in sized_batches(questions, 1, None):
            with at_once(1):
                answer = self._one(question)
            yield [(question, answer)]

    def _one(self, question: Question) -> Answer:
        prompt = self._encode(question.prompt)
        nats = []
        for answer in question.answers:
            both = self._encode(f"{question.prompt} {answer}")
            nats.append(self._log_probability(both[: len(prompt)], both[len(prompt) :]))
        return Answer(self._generate(prompt), nats)

    def _encode(self, text: str) -> list[int]:
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return [self.tokenizer.bos_token_id, *ids] if self.bos else ids

    def _logits(self, ids: list[int]) -> Any:
        return module_logits(self.module, ids, self.device)

    def _generate(self, prompt: list[int]) -> str:
        import torch

        ids = list(prompt)
        if self.generates:
            given = torch.tensor([prompt], device=self.device)
            out = self.module.generate(given, max_new_tokens=ANSWER_LENGTH, do_sample=False)
            ids = out[0].tolist() if getattr(out, "ndim", 0) == 2 else []
            if ids[: len(prompt)] != prompt:
                raise ModelError(
                    "the module's .generate returned something else than token ids"
                    f" [1, {len(prompt)} + new] that begin with the prompt; mend it, or take it"
                    " away and the module is asked token by token"
                )
        else:
            while len(ids) < len(prompt) + ANSWER_LENGTH:
                ids.append(int(self._logits(ids)[-1].argmax()))
                if ids[-1] == self.eos or STOP in self.tokenizer.decode(ids[len(prompt) :]):
                    break
        return self.tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True).split(STOP)[0]

    def _log_probability(self, prompt: list[int], answer: list[int]) -> float:
        import torch

        logits = self._logits([*prompt, *answer[:-1]])[-len(answer) :]
        chosen = torch.tensor(answer, device=logits.device)[:, None]
        return float(logits.log_softmax(-1).gather(1, chosen).sum())
