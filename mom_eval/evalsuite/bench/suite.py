"""A whole suite: thousands of random questions through the engine that answers real ones."""

from array import array
from collections.abc import Iterator, Sequence
from time import perf_counter

import numpy as np

from mom_eval.errors import SettingError
from mom_eval.evalsuite.bench.machine import Machine, check_counts, command
from mom_eval.evalsuite.bench.presets import PRESETS, model
from mom_eval.evalsuite.bench.verify import verified
from mom_eval.evalsuite.engine.answering import Answering, Part, Write
from mom_eval.evalsuite.engine.count import TokenCount
from mom_eval.evalsuite.engine.limits import Limits, StateBytes, room_of
from mom_eval.evalsuite.memory import Halving, release_memory
from mom_eval.evalsuite.progress import bars
from mom_eval.models import LM
from mom_eval.results.bench_suite import WHOLE, Suite

GROUP = 8
"""Questions that share the beginning of their prompts."""
_QUESTIONS = {"cuda": WHOLE, "cpu": 48}


def bench_suite(
    name: str,
    *,
    questions: int | None = None,
    prompt: int = 2000,
    tokens: int = 48,
    shared: int = 0,
    device: str = "auto",
    dtype: str = "auto",
    kernels: str = "auto",
    allow_pickle: bool = False,
    seed: int = 0,
) -> Suite:
    """Time a suite, once the model is seen to be right.

    Args:
        name: a preset, or a checkpoint of our own models.
        questions: how many; None: a whole suite on a GPU, a few on a CPU.
        prompt: tokens of each prompt.
        tokens: written behind each.
        shared: tokens at the beginning of the prompts that eight questions have in common.
        device, dtype, kernels, allow_pickle: as `evaluate` takes them; dtype `auto` is bfloat16 on
            a GPU.
        seed: draws weights and prompts.

    Raises:
        MomEvalError: the model is wrong or not there, or options do not fit.
    """
    machine = Machine.of(device, dtype, kernels, seed)
    asked = _QUESTIONS[machine.device.type] if questions is None else questions
    check_counts(questions=asked, prompt=prompt, tokens=tokens)
    if not 0 <= shared < prompt:
        raise SettingError(f"--shared {shared} does not lie from 0 to below --prompt {prompt}")
    label, lm = model(name, machine, allow_pickle=allow_pickle)
    seen = verified(label, lm, machine)
    release_memory()
    rng = np.random.default_rng(seed)
    writes = [
        Write(ids, tokens, ()) for ids in prompts(rng, lm.config.vocab_size, asked, prompt, shared)
    ]
    size, count, clock = StateBytes(lm)(prompt + tokens), TokenCount(), _Clock()
    begin = perf_counter()
    _answer(label, lm, writes, size, count, clock)
    machine.wait()
    sizes = {"questions": asked, "prompt": prompt, "tokens": tokens, "shared": shared}
    about = {
        "command": command("suite", [name], machine, **sizes),
        "random_weights": name in PRESETS,
        "first_call_s": seen.first_s,
        "error": seen.error,
    }
    return Suite(
        label=label,
        **sizes,
        seconds=perf_counter() - begin,
        reading_s=clock.reading,
        read=count.read,
        written=count.written,
        about=machine.about() | about,
    )


def prompts(
    rng: np.random.Generator, vocab: int, questions: int, length: int, shared: int
) -> Iterator[array]:
    """Random prompts; those of eight questions each begin with the same tokens."""
    common = array("i")
    for number in range(questions):
        if number % GROUP == 0:
            common = array("i", rng.integers(vocab, size=shared, dtype=np.int32).tobytes())
        own = rng.integers(vocab, size=length - shared, dtype=np.int32)
        yield common + array("i", own.tobytes())


class _Clock:
    """Seconds spent in reading prompts; the rest of a run is decoding."""

    reading: float = 0.0


class _Timed(Answering):
    """Answering that tells how long it reads: it ends with a wait for the first tokens."""

    def __init__(self, clock: _Clock, *asked: object) -> None:
        """`clock` is added to; the rest as `Answering` has it."""
        super().__init__(*asked)  # type: ignore[arg-type]
        self._clock = clock

    def _read(self) -> Iterator[Part]:
        begin = perf_counter()
        try:
            yield from super()._read()
        finally:
            self._clock.reading += perf_counter() - begin


def _answer(
    label: str, lm: LM, writes: Sequence[Write], size: int, count: TokenCount, clock: _Clock
) -> None:
    """Answer all of them; with half as many at once where memory runs out, as in a real run.

    `size`: bytes of the longest one's state; the first count of it in a process imports a second's
    worth of torch, which is no part of the suite.
    """

    def ask(missing: Sequence[int], rows: int | None) -> Iterator[list[tuple[int, str]]]:
        limits = Limits.within(room_of(lm), size, rows)
        some = [writes[number] for number in missing]
        for part in _Timed(clock, lm, some, (), limits, _finish, count):
            if part.written:
                yield [(missing[place], text) for place, text in part.written.items()]

    with bars(label) as shown:
        shown.start("bench suite", len(writes), 0)
        halving = Halving[int, str]("questions", lambda _: "one question by itself", shown.say)
        for found in halving.results(range(len(writes)), ask):
            shown.advance(len(found))


def _finish(write: Write, ids: list[int]) -> str | None:
    """Every text has all its tokens: random ones end nowhere."""
    return "" if len(ids) == write.tokens else None
