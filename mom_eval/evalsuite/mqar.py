"""MQAR as a task: which queries models answer right, by length and by number of pairs.

Its tokens are numbers without a text, so models need no tokenizer, and none is asked for.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mom_eval.errors import ModelError, SettingError
from mom_eval.evalsuite.checkpoints import Checkpoint, check_unique, find
from mom_eval.evalsuite.engine.limits import ROOM
from mom_eval.evalsuite.engine.packed import portions
from mom_eval.evalsuite.memory import Halving, at_once
from mom_eval.evalsuite.progress import Bars, bars
from mom_eval.evalsuite.run import versions
from mom_eval.evalsuite.subjects import load_lm, pick_device
from mom_eval.models import LM, known, packed
from mom_eval.models.describe import checkpoint
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
    allow_pickle: bool = False,
) -> MqarBoard:
    """Ask models the same examples of every difficulty that fits.

    Args:
        models: what `--model` takes, our own; all of one vocabulary.
        lengths: tokens of an example.
        pairs: of a key and its value.
        examples: of each difficulty.
        seed: draws them.
        device, dtype, allow_pickle: as `evaluate` takes them.

    Raises:
        MomEvalError: anything the user can mend.
    """
    device = pick_device(device)
    if examples < 1:
        raise SettingError(f"--examples {examples} asks nothing; it must be 1 or more")
    if seed < 0:
        raise SettingError(f"--seed {seed} draws nothing; it must be 0 or more")
    found = [one for model in models for one in find(model, allow_pickle=allow_pickle)]
    check_unique(found)
    facts = [_facts(one, allow_pickle) for one in found]
    vocab = facts[0]["vocab_size"]
    for one, fact in zip(found, facts, strict=True):
        if fact["vocab_size"] != vocab:
            raise SettingError(
                f"{found[0].label} knows {vocab} tokens and {one.label} {fact['vocab_size']}, so"
                " they cannot be asked the same examples; ask them apart"
            )
    asked = [Shape(*both) for both in product(sorted(set(lengths)), sorted(set(pairs)))]
    shapes, left_out = _fitting(asked, vocab)
    rows = []
    for one, fact in zip(found, facts, strict=True):
        lm = load_lm(one, device=device, dtype=dtype, allow_pickle=allow_pickle).eval()
        with bars(one.label, "examples") as shown:
            right = {shape: _right(lm, shape, examples, seed, shown) for shape in shapes}
        rows.append(Row(one.label, fact, right))
    return MqarBoard(
        vocab=vocab,
        examples=examples,
        seed=seed,
        shapes=shapes,
        rows=rows,
        left_out=left_out,
        versions=versions(),
    )


def _facts(one: Checkpoint, allow_pickle: bool) -> dict[str, Any]:
    if one.gguf_file is not None or not known(one.folder):
        raise ModelError(
            f"{one.id} is of no layout that mom-eval's own models know (`mom-eval models` lists"
            " them), and MQAR is asked of those alone; name one of them"
        )
    facts = checkpoint(one.folder, allow_pickle=allow_pickle)
    shown = ("architecture", "vocab_size", "parameters", "state_bytes", "state_bytes_per_token")
    return {"id": one.id, **{name: facts[name] for name in shown}}


def _fitting(asked: list[Shape], vocab: int) -> tuple[list[Shape], list[Shape]]:
    """What can be drawn, and what cannot.

    Raises:
        SettingError: nothing can.
    """
    fitting, left_out, why = [], [], ""
    for shape in asked:
        try:
            Mqar(vocab=vocab, **shape._asdict())
        except ValueError as error:
            left_out.append(shape)
            why = str(error)
        else:
            fitting.append(shape)
    if not fitting:
        raise SettingError(f"no --lengths and --pairs fit together: {why}")
    return fitting, left_out


def drawn(shape: Shape, vocab: int, examples: int, seed: int) -> Examples:
    """The examples of a difficulty, the same for every model of this vocabulary."""
    rng = np.random.default_rng([seed, _EVALUATION, *shape])
    return Mqar(vocab=vocab, **shape._asdict()).draw(rng, examples)


def _right(lm: LM, shape: Shape, examples: int, seed: int, shown: Bars) -> NDArray[np.bool_]:
    """[examples, pairs], in the order of the queries."""
    held = drawn(shape, lm.config.vocab_size, examples, seed)
    room = ROOM["cpu" if lm.embeddings.weight.device.type == "cpu" else "cuda"].tokens

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
    """[N, pairs]: whether the value comes first behind each query, among all tokens."""
    tokens, cu_seqlens = packed(examples.tokens.tolist(), lm.embeddings.weight.device)
    labels = examples.labels.ravel()
    (asked,) = np.nonzero(labels != IGNORE)
    logits = lm(tokens, cu_seqlens, at=torch.from_numpy(asked).to(tokens.device)).logits
    right = logits.argmax(-1).cpu().numpy() == labels[asked]
    return right.reshape(len(examples.tokens), -1)
