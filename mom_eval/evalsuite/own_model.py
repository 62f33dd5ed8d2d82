"""Our own language models with their tokenizer: text in, text and probabilities out."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from mom_eval.errors import ModelError
from mom_eval.evalsuite.answerers import Answer, check_numbers
from mom_eval.evalsuite.generate import Scored, decode, portions, read, score
from mom_eval.models.lm import LM
from mom_eval.tasks.questions import Question
from mom_eval.tasks.recall import ANSWER_LENGTH, STOP

T = TypeVar("T")


class Room(NamedTuple):
    """What an automatic batch may take; one that is still too large is halved."""

    tokens: int
    """Of all prompts together."""
    bytes: int
    """Of the states that prompts leave."""


ROOM = {"cpu": Room(8_192, 1 << 30), "cuda": Room(131_072, 8 << 30)}


class Write(NamedTuple):
    """A text to be written behind a prompt."""

    prompt: list[int]
    tokens: int
    """It has at most so many, and ends before the tokenizer's end of sequence."""
    stops: tuple[str, ...]
    """It ends before the first of these."""


class Score(NamedTuple):
    """A text to be scored behind a prompt."""

    prompt: list[int]
    text: list[int]


class OwnModel:
    """An `LM` and a tokenizer, as `answerers.Model` asks for it."""

    def __init__(self, lm: LM, tokenizer: Any, bos: bool) -> None:
        """`tokenizer` is a Hugging Face tokenizer; `bos` puts its first special token before."""
        self.module, self.tokenizer, self.bos = lm.eval(), tokenizer, bos
        self.room = ROOM["cpu" if lm.embeddings.weight.device.type == "cpu" else "cuda"]
        self.eos: int | None = getattr(tokenizer, "eos_token_id", None)
        eos_text = "" if self.eos is None else tokenizer.decode([self.eos])
        self._always = (eos_text,) if eos_text else ()

    @property
    def limit(self) -> int | None:
        """Positions that attention was made for; a recurrence has no such limit."""
        config = self.module.config
        return config.max_positions if config.attention_layers else None

    def answerer(self, rows: int | None, room: int) -> "OwnAnswerer":
        """`room` is of no interest: prompts are not cut here, and nothing is allocated for them."""
        return OwnAnswerer(self, rows)

    def for_lm_eval(self) -> Any:
        """See `lm_eval_model.own.OwnLM`."""
        from mom_eval.evalsuite.lm_eval_model.own import OwnLM

        return OwnLM(self)

    def encode(self, text: str, *, begins: bool = True) -> list[int]:
        """Tokens of a text; one that begins has a first token where the model is asked with it.

        Raises:
            ModelError: a token that the model has no embedding for.
        """
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        if begins and self.bos and ids[:1] != [self.tokenizer.bos_token_id]:
            ids = [self.tokenizer.bos_token_id, *ids]
        self.check(ids)
        return ids

    def check(self, ids: Sequence[int]) -> None:
        """Refuse what the model cannot read.

        Raises:
            ModelError: a token that the model has no embedding for.
        """
        known = self.module.config.vocab_size
        if ids and max(ids) >= known:
            raise ModelError(
                f"the tokenizer gives token {max(ids)} and the model knows {known} tokens; take the"
                " tokenizer that it was trained with (--tokenizer)"
            )

    def pair(self, prompt: str, text: str) -> Score:
        """A text behind a prompt, as lm-eval splits them: spaces at the seam go to the text."""
        context = self.encode(prompt.rstrip())
        return Score(context, self.encode(prompt + text)[len(context) :])

    def ask(
        self, writes: Sequence[Write], scores: Sequence[Score]
    ) -> tuple[list[str], list[Scored]]:
        """Answer one batch; prompts are read in one packed call, each different one once.

        Returns:
            The texts and the scores, in the order asked for.
        """
        places: dict[tuple[int, ...], int] = {}
        rows = [places.setdefault(tuple(one.prompt), len(places)) for one in (*writes, *scores)]
        start = read(self.module, list(places))
        written = []
        if writes:
            behind = start.pick(rows[: len(writes)])
            written = decode(self.module, behind, lambda row, ids: self._ends(ids, writes[row]))
        texts = [self._text(ids, write) for ids, write in zip(written, writes, strict=True)]
        wanted = [(row, one.text) for row, one in zip(rows[len(writes) :], scores, strict=True)]
        return texts, score(self.module, start, wanted, self.room.bytes)

    def _ends(self, ids: list[int], write: Write) -> bool:
        if ids[-1] == self.eos or len(ids) >= write.tokens:
            return True
        text = self.tokenizer.decode(ids)
        return any(stop in text for stop in write.stops)

    def _text(self, ids: list[int], write: Write) -> str:
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        for stop in (*write.stops, *self._always):
            text = text.split(stop)[0]
        return text

    def batches(
        self, items: Sequence[T], tokens: Callable[[T], int], rows: int | None
    ) -> Iterator[list[T]]:
        """Split, in order, into batches of `rows`; None: bounded by tokens and by states."""
        if rows is not None:
            return portions(items, lambda _: 1, rows)
        fits = self.room.bytes // max(1, self.module.empty_state(1).nbytes())
        return portions(items, tokens, self.room.tokens, max(1, fits))


class OwnAnswerer:
    """Answers recall questions with one of our own models."""

    def __init__(self, model: OwnModel, rows: int | None) -> None:
        """`rows`: questions at once; None: as many as there is room for."""
        self.model, self.rows = model, rows

    def batches(self, questions: Sequence[Question]) -> Iterator[list[Question]]:
        """Longest first, so that a batch that is too large shows at once."""
        ordered = sorted(questions, key=lambda question: -question.prompt_tokens)
        return self.model.batches(ordered, lambda question: question.prompt_tokens, self.rows)

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Answer one batch.

        Raises:
            ModelError: a probability is not a number, or prompt and model do not go together.
        """
        writes = [
            Write(self.model.encode(question.prompt), ANSWER_LENGTH, (STOP,))
            for question in questions
        ]
        scores = [
            self.model.pair(question.prompt, " " + answer)
            for question in questions
            for answer in question.answers
        ]
        outputs, scored = self.model.ask(writes, scores)
        nats = iter([one.nats for one in scored])
        answers = [
            Answer(output, [next(nats) for _ in question.answers])
            for question, output in zip(questions, outputs, strict=True)
        ]
        check_numbers(answers)
        return answers
