"""Our own language models with their tokenizer: text in, text and probabilities out."""

import math
import os
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mom_eval.errors import ModelError
from mom_eval.evalsuite.answerers import Answer, check_numbers
from mom_eval.evalsuite.engine.answering import Answering, Score, Write
from mom_eval.evalsuite.engine.count import TokenCount
from mom_eval.evalsuite.engine.limits import Limits, StateBytes, room_of
from mom_eval.models.lm import LM
from mom_eval.tasks.questions import Question
from mom_eval.tasks.recall import ANSWER_LENGTH, STOP


class OwnModel:
    """An `LM` and a tokenizer, as `answerers.Model` asks for it."""

    def __init__(self, lm: LM, tokenizer: Any, bos: bool) -> None:
        """`tokenizer` is a Hugging Face tokenizer; `bos` puts its first special token before."""
        self.module, self.tokenizer, self.bos = lm.eval(), tokenizer, bos
        self.room = room_of(lm)
        self._state_bytes = StateBytes(lm)
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

    def pairs(self, prompt: str, texts: Sequence[str]) -> list[Score]:
        """Texts behind a prompt, as lm-eval splits them: spaces at the seam go to the text."""
        context = array("i", self.encode(prompt.rstrip()))
        return [Score(context, self.encode(prompt + text)[len(context) :]) for text in texts]

    def ask(
        self, writes: Sequence[Write], scores: Sequence[Score], rows: int | None, count: TokenCount
    ) -> Answering:
        """What is to be iterated over for texts and scores.

        Args:
            writes: texts to be written.
            scores: texts to be scored.
            rows: how many at once; None: as many as there is room for.
            count: is added to.
        """
        ends = (one.end for one in writes)
        longest = max([*ends, *(len(one.prompt) for one in scores)], default=0)
        limits = Limits.within(self.room, self._state_bytes(longest), rows)
        return Answering(self.module, writes, scores, limits, self.finish, count)

    def finish(self, write: Write, ids: list[int]) -> str | None:
        """A text that ends with its last token, cut at the first stop; None while it goes on."""
        if ids[-1] != self.eos and len(ids) < write.tokens:
            text = self.tokenizer.decode(ids)
            if not any(stop in text for stop in write.stops):
                return None
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        for stop in (*write.stops, *self._always):
            text = text.split(stop)[0]
        return text


class OwnAnswerer:
    """Answers recall questions with one of our own models."""

    def __init__(self, model: OwnModel, rows: int | None) -> None:
        """`rows`: questions at once; None: as many as there is room for."""
        self.model, self.rows = model, rows
        self.largest_batch, self.count = 0, TokenCount()

    def answers(
        self, questions: Sequence[Question], rows: int | None
    ) -> Iterator[list[tuple[Question, Answer]]]:
        """All in one pass, so that what prompts share is read once.

        Raises:
            ModelError: a probability is not a number, or prompt and model do not go together.
            OutOfMemory: memory ran out.
        """
        # Side by side, which tokenizers allow: a small model on a GPU would wait for its tokens.
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            units = list(threads.map(self._units, questions))
        writes = [write for write, _ in units]
        scores = [score for _, some in units for score in some]
        owners = [
            (place, alias)
            for place, question in enumerate(questions)
            for alias in range(len(question.answers))
        ]
        outputs = [""] * len(questions)
        nats = [[math.nan] * len(question.answers) for question in questions]
        missing = [1 + len(question.answers) for question in questions]
        asked = self.model.ask(writes, scores, self.rows if rows is None else rows, self.count)
        for part in asked:
            self.largest_batch = max(self.largest_batch, asked.largest)
            touched = set(part.written)
            for place, text in part.written.items():
                outputs[place] = text
                missing[place] -= 1
            for number, scored in part.scored.items():
                place, alias = owners[number]
                nats[place][alias] = scored.nats
                missing[place] -= 1
                touched.add(place)
            done = [place for place in sorted(touched) if not missing[place]]
            answers = [Answer(outputs[place], nats[place]) for place in done]
            check_numbers(answers)
            if done:
                yield [
                    (questions[place], answer) for place, answer in zip(done, answers, strict=True)
                ]

    def _units(self, question: Question) -> tuple[Write, list[Score]]:
        scores = self.model.pairs(question.prompt, [" " + answer for answer in question.answers])
        # Most prompts end in no space, and are what their answers are scored behind.
        same = scores and question.prompt == question.prompt.rstrip()
        prompt = scores[0].prompt if same else array("i", self.model.encode(question.prompt))
        return Write(prompt, ANSWER_LENGTH, (STOP,)), scores
