"""MQAR as a task: which queries models answer right, by length and by number of pairs.

Its tokens are numbers without a text, so models need no tokenizer, and none is asked for.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from mom_eval.errors import ModelError, SettingError
from mom_eval.evalsuite.checkpoints import Checkpoint, check_unique, find
from mom_eval.evalsuite.engine.limits import room_of
from mom_eval.evalsuite.engine.packed import portions
from mom_eval.evalsuite.memory import Halving, at_once
from mom_eval.evalsuite.progress import Bars, bars
from mom_eval.evalsuite.run import versions
from mom_eval.evalsuite.subjects import Options, facts, load_lm, model_record, pick_device
from mom_eval.models import LM, ModelConfig, packed
from mom_eval.models.load import read
from mom_eval.results.mqar import MqarBoard, Row, Shape
from mom_eval.tasks.mqar import IGNORE, Examples, Mqar

_EVALUATION = 2
"""Keeps the examples apart from those of training (0) and those held out in it (1)."""


def mqar(
    models: Sequence[str],
    *,
    lengths: Sequence[int],
    pairs: Sequence[int],
    examples: int = 1000,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "auto",
    kernels: str = "auto",
    allow_pickle: bool = False,
) -> MqarBoard:
    """Ask models the same examples of every difficulty that fits.

    Args:
        models: what `--model` takes, our own; all of one vocabulary.
        lengths: tokens of an example.
        pairs: of a key and its value.
        examples: of each difficulty.
        seed: draws them.
        device, dtype, kernels, allow_pickle: as `evaluate` takes them.

    Raises:
        MomEvalError: anything the user can mend.
    """
    options = Options(
        device=pick_device(device),
        dtype=dtype,
        kernels=kernels,
        backend="own",
        allow_pickle=allow_pickle,
    )
    for name, value, least in (
        ("--examples", examples, 1),
        ("--pairs", min(pairs), 1),
        ("--seed", seed, 0),
    ):
        if value < least:
            raise SettingError(f"{name} {value} is too small; it must be {least} or more")
    found = [one for model in models for one in find(model, allow_pickle=allow_pickle)]
    check_unique(found)
    configs = {one.label: _config(one, allow_pickle) for one in found}
    vocab = _check_vocabulary(configs)
    asked = [Shape(*both) for both in product(sorted(set(lengths)), sorted(set(pairs)))]
    shapes, left_out = _fitting(asked, vocab)
    _check_limits(configs, max(shape.length for shape in shapes))
    return MqarBoard(
        vocab=vocab,
        examples=examples,
        seed=seed,
        shapes=shapes,
        rows=[_row(one, options, shapes, examples, seed) for one in found],
        left_out=left_out,
        versions=versions(),
    )


def _config(one: Checkpoint, allow_pickle: bool) -> ModelConfig:
    """Sees that a model can be loaded, before another one is asked for a long time."""
    one.check_ours(", and MQAR is asked of those alone; name one of them")
    one.check_pickle(allow_pickle)
    return read(one.folder, allow_pickle=allow_pickle).model.config


def _check_vocabulary(configs: dict[str, ModelConfig]) -> int:
    """The vocabulary of all models.

    Raises:
        SettingError: they have several.
    """
    (first, one), *others = configs.items()
    for label, other in others:
        if other.vocab_size != one.vocab_size:
            raise SettingError(
                f"{first} knows {one.vocab_size} tokens and {label} {other.vocab_size}, so they"
                " cannot be asked the same examples; ask them apart"
            )
    return one.vocab_size


def _check_limits(configs: dict[str, ModelConfig], longest: int) -> None:
    """Refuse examples that are longer than a model's attention was made for.

    Raises:
        SettingError: they are.
    """
    for label, config in configs.items():
        limit = config.max_positions if config.attention_layers else None
        if limit is not None and longest > limit:
            raise SettingError(
                f"{label} was made for {limit} tokens and {longest} are asked for; take smaller"
                " --lengths"
            )


def _fitting(asked: list[Shape], vocab: int) -> tuple[list[Shape], list[Shape]]:
    """What can be drawn, and what cannot.

    Raises:
        SettingError: nothing can.
    """
    fitting, left_out, reasons = [], [], {}
    for shape in asked:
        try:
            Mqar(vocab=vocab, **shape._asdict())
        except ValueError as error:
            left_out.append(shape)
            # Sorted by how little is missing.
            reasons[shape.pairs, -shape.length] = error
        else:
            fitting.append(shape)
    if not fitting:
        closest = reasons[min(reasons)]
        raise SettingError(f"no --lengths and --pairs fit together: {closest}")
    return fitting, left_out


def drawn(shape: Shape, vocab: int, examples: int, seed: int) -> Examples:
    """The examples of a difficulty, the same for every model of this vocabulary."""
    rng = np.random.default_rng([seed, _EVALUATION, *shape])
    return Mqar(vocab=vocab, **shape._asdict()).draw(rng, examples)


def _row(
    one: Checkpoint, options: Options, shapes: Sequence[Shape], examples: int, seed: int
) -> Row:
    """One model's answers; its weights are let go again."""
    lm = load_lm(one, options)
    with bars(one.label, "examples") as shown:
        right = {shape: _right(lm, shape, examples, seed, shown) for shape in shapes}
    known = facts(lm)
    about = {
        "model": model_record(one, "own", options) | known,
        "architecture": lm.config.name,
        "parameters": known["parameters"],
        "state_bytes": known["state_bytes"],
        "state_bytes_per_token": known["state_bytes_per_token"],
    }
    return Row(one.label, about, right)


def _right(lm: LM, shape: Shape, examples: int, seed: int, shown: Bars) -> NDArray[np.bool_]:
    """[examples, pairs], in the order of the queries."""
    held = drawn(shape, lm.config.vocab_size, examples, seed)
    room = room_of(lm).tokens

    def ask(
        missing: Sequence[int], rows: int | None
    ) -> Iterator[list[tuple[int, NDArray[np.bool_]]]]:
        budget = room if rows is None else min(room, rows * shape.length)
        for some in portions(missing, lambda _: shape.length, budget):
            with at_once(len(some)):
                found = answered(lm, Examples(held.tokens[some], held.labels[some]))
            yield list(zip(some, found, strict=True))

    halving = Halving[int, NDArray[np.bool_]](
        "examples", lambda _: f"one example of {shape.length} tokens; take --device cpu", shown.say
    )
    out = np.zeros((examples, shape.pairs), dtype=bool)
    shown.start(f"mqar {shape.length}/{shape.pairs}", examples, 0)
    for some in halving.results(range(examples), ask):
        for place, right in some:
            out[place] = right
        shown.advance(len(some))
    return out


@torch.inference_mode()
def answered(lm: LM, examples: Examples) -> NDArray[np.bool_]:
    """[N, pairs]: whether the value comes first behind each query, among all tokens.

    Raises:
        ModelError: a logit is not a number.
    """
    tokens, cu_seqlens = packed(examples.tokens.tolist(), lm.embeddings.weight.device)
    labels = examples.labels.ravel()
    (asked,) = np.nonzero(labels != IGNORE)
    logits = lm(tokens, cu_seqlens, at=torch.from_numpy(asked).to(tokens.device)).logits
    if not bool(logits.isfinite().all()):
        raise ModelError("the model gives logits that are no numbers; try --dtype float32")
    right = logits.argmax(-1).cpu().numpy() == labels[asked]
    return right.reshape(len(examples.tokens), -1)
