"""What the regression gate catches and what it lets pass: damaged checkpoints, and clean repeats.

    python scripts/gate_proof.py --out FOLDER                    # the checkpoints that ship
    python scripts/gate_proof.py MODEL... --questions 100 --repeats 0 --out FOLDER

Each model is asked once, which is the baseline. Then (1) copies of it are damaged, one way each,
and asked again: how far it fell, whether the gate says so, and what asking cost; (2) it is asked
again unharmed, with another order of the questions, another number at once, another number of
threads: every repeat is a gate over all models, and none may raise an alarm. FOLDER gets
damages.csv and repeats.csv, a line each as it is found, and proof.md, the tables. The same command
goes on where it was stopped, and a larger --repeats adds to those that are there. Beside other work
set OMP_WAIT_POLICY=PASSIVE, as mom-eval itself does.
"""

import hashlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from csv import DictReader, DictWriter
from io import StringIO
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from mom_eval.evalsuite import checkpoints
from mom_eval.evalsuite.quiet import quiet_libraries
from mom_eval.evalsuite.regress import QUESTIONS, Exam, asked_of
from mom_eval.evalsuite.subjects import Loaded, Options, from_checkpoint, pick_device
from mom_eval.models.lm import LM
from mom_eval.models.zoo import shipped
from mom_eval.results.baseline import scores_of
from mom_eval.results.gate import ALL, BITS, CONTAINS, Gate, Retest, judge, retests_of
from mom_eval.results.markdown import grid
from mom_eval.results.store import write_whole

Pieces = Mapping[str, Tensor]
BATCHES = (1, 2, 3, 5, 8, 16, 33, None)


def head_weakened(lm: LM, pieces: Pieces) -> bool:
    """What one head writes, by 0.9."""
    layer = _middle(lm)
    out = pieces[f"layers.{layer}.mixer.out.weight"]
    width = out.shape[1] // _heads(lm, layer)
    out[:, :width] *= 0.9
    return True


def layers_swapped(lm: LM, pieces: Pieces) -> bool:
    """Two neighbours, one in the other's place; where they are of one kind."""
    here, there = (_of_layer(pieces, layer) for layer in (_middle(lm), _middle(lm) + 1))
    if here.keys() != there.keys():
        return False
    for name, one in here.items():
        kept = one.clone()
        one.copy_(there[name])
        there[name].copy_(kept)
    return True


def convolution_late(lm: LM, pieces: Pieces) -> bool:
    """A layer's convolutions see one position too far back: the last tap reads what is before."""
    layer = _of_layer(pieces, _middle(lm))
    found = [one for name, one in layer.items() if name.endswith("_conv.weight")]
    for taps in found:
        taps.copy_(torch.cat([taps[:, 1:], torch.zeros_like(taps[:, :1])], dim=1))
    return bool(found)


def router_row_zeroed(lm: LM, pieces: Pieces) -> bool:
    """One memory's row of a router is nothing."""
    rows = _of_layer(pieces, _middle(lm)).get("mixer.router.weight")
    if rows is not None:
        rows[0] = 0
    return rows is not None


DAMAGES: dict[str, Callable[[LM, Pieces], bool]] = {
    "one head's output x 0.9": head_weakened,
    "two layers swapped": layers_swapped,
    "convolutions off by one": convolution_late,
    "one router row zero": router_row_zeroed,
}
COLUMNS = [
    "Model",
    "Damage",
    "Bits per byte",
    "At least",
    "Moved",
    "Spread",
    "Contains",
    "Caught",
    "Seconds",
]


def _middle(lm: LM) -> int:
    """The layer that is damaged; of two, the first."""
    return (lm.config.num_layers - 1) // 2


def _of_layer(pieces: Pieces, layer: int) -> dict[str, Tensor]:
    """Name within the layer -> weight."""
    prefix = f"layers.{layer}."
    return {
        name.removeprefix(prefix): one for name, one in pieces.items() if name.startswith(prefix)
    }


def _heads(lm: LM, layer: int) -> int:
    config = lm.config
    if layer in config.attention_layers and config.attention is not None:
        return config.attention.num_heads
    states = lm.layers[layer].mixer.family.state
    return next(iter(states.values()))[0]


@contextmanager
def damaged(lm: LM, damage: Callable[[LM, Pieces], bool]) -> Iterator[bool]:
    """The model with a damage, while the block lasts; False where it has nothing to damage."""
    pieces = lm.pieces()
    kept = {name: one.detach().clone() for name, one in pieces.items()}
    with torch.no_grad():
        applies = damage(lm, pieces)
    try:
        yield applies
    finally:
        with torch.no_grad():
            for name, one in pieces.items():
                one.copy_(kept[name])


class Kept:
    """A CSV file of results that grows by a line and is whole at any time."""

    def __init__(self, path: Path, asked: str) -> None:
        """`asked` stands in every line: which models and how many questions the results are of.

        Raises:
            ClickException: the file holds results of others.
        """
        self.lines: list[dict[str, str]] = []
        self._path, self._asked = path, asked
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                self.lines += DictReader(file)
        if any(line.get("asked") != asked for line in self.lines):
            raise click.ClickException(
                f"{path} is of other models or another number of questions; take another --out"
            )

    def add(self, line: Mapping[str, Any]) -> None:
        """Keep a line, and show it."""
        self.lines.append({name: str(value) for name, value in line.items()})
        self.lines[-1]["asked"] = self._asked
        out = StringIO()
        writer = DictWriter(out, [*self.lines[0]], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.lines)
        write_whole(self._path, out.getvalue())
        click.echo(" | ".join(self.lines[-1].values()), err=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("models", nargs=-1)
@click.option("--questions", type=click.IntRange(1), default=QUESTIONS, show_default=True)
@click.option("--repeats", type=click.IntRange(0), default=200, show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(models: tuple[str, ...], questions: int, repeats: int, device: str, out: Path) -> None:
    """Write FOLDER/proof.md, FOLDER/damages.csv and FOLDER/repeats.csv, or go on with them."""
    quiet_libraries()
    options = Options(device=pick_device(device), backend="own")
    loaded = [
        from_checkpoint(one, None, options)
        for name in models or shipped()
        for one in checkpoints.find(name)
    ]
    if not loaded:
        raise click.ClickException("no checkpoint ships; name folders of models")
    out.mkdir(parents=True, exist_ok=True)
    asked = _asked(loaded, questions)
    damages, clean_repeats = (Kept(out / f"{name}.csv", asked) for name in ("damages", "repeats"))
    exam = Exam(asked_of(questions, 0))
    clean = [exam.ask(model, None, _quiet) for model in loaded]
    _damages(exam, loaded, clean, damages)
    done = {line["repeat"] for line in clean_repeats.lines}
    for number in range(repeats):
        if str(number) not in done:
            clean_repeats.add(_repeat(exam, loaded, clean, number))
    parts = [grid(COLUMNS, [[line[name] for name in COLUMNS] for line in damages.lines])]
    if clean_repeats.lines:
        parts.append(_summary(clean_repeats.lines))
    text = "\n\n".join(parts) + "\n"
    write_whole(out / "proof.md", text)
    click.echo(text)


def _asked(loaded: Sequence[Loaded], questions: int) -> str:
    known = [[one.subject.label, one.subject.model["weights_sha256"]] for one in loaded]
    return f"{questions} of {hashlib.sha256(repr(known).encode()).hexdigest()[:12]}"


def _damages(
    exam: Exam, loaded: Sequence[Loaded], clean: Sequence[list[dict[str, Any]]], found: Kept
) -> None:
    done = {(line["Model"], line["Damage"]) for line in found.lines}
    # The other models of the gate, unharmed, so that the family is as large as in a real gate.
    alike = [_pairs(model, was, was) for model, was in zip(loaded, clean, strict=True)]
    for place, (model, was) in enumerate(zip(loaded, clean, strict=True)):
        others = [one for other, some in enumerate(alike) if other != place for one in some]
        for name, damage in DAMAGES.items():
            if (model.subject.label, name) in done:
                continue
            lm = model.hold(False).module
            with damaged(lm, damage) as applies:
                if not applies:
                    continue
                start = time.monotonic()
                now = exam.ask(model, None, _quiet)
                seconds = time.monotonic() - start
            gate = judge([*_pairs(model, was, now), *others])
            line = [model.subject.label, name, *_fall(gate, model), f"{seconds:.1f}"]
            found.add(dict(zip(COLUMNS, line, strict=True)))


def _fall(gate: Gate, model: Loaded) -> list[str]:
    whole = {
        one.score: one
        for one in gate.outcomes
        if (one.model, one.task) == (model.subject.label, ALL)
    }
    bits, contains = whole[BITS], whole[CONTAINS]
    drop = bits.drop
    assert drop.low is not None
    assert drop.variance is not None
    # Of single documents, were they equal, over the mean: what `gate.SPREAD` stands for.
    spread = (drop.variance * drop.documents) ** 0.5 / abs(drop.value) if drop.value else 0.0
    caught = "; ".join(
        f"{words}: {', '.join(tasks)}"
        for score, words in ((BITS, "bits"), (CONTAINS, "contains"))
        if (tasks := [one.task for one in gate.fell if one.score == score])
    )
    return [
        f"{drop.value:+z.4f}",
        f"{drop.low:+z.4f}",
        f"{bits.moved:.4f}",
        f"{spread:.1f}",
        f"{-100 * contains.drop.value:+z.1f}",
        caught or "no",
    ]


def _repeat(
    exam: Exam, loaded: Sequence[Loaded], clean: Sequence[list[dict[str, Any]]], number: int
) -> dict[str, Any]:
    """One clean gate over all models; what is other than the first time hangs on its number."""
    draw = random.Random(number)
    batch, threads = draw.choice(BATCHES), 1 + number % 2
    retests: list[Retest] = []
    start = time.monotonic()
    with _threads(threads):
        for model, was in zip(loaded, clean, strict=True):
            for prepared in exam.prepared(model).values():
                # From one order, whatever repeats came before.
                prepared.questions.sort(key=lambda one: one.id)
                draw.shuffle(prepared.questions)
            retests += _pairs(model, was, exam.ask(model, batch, _quiet))
    gate = judge(retests)
    bits = np.concatenate([one.now[BITS] - one.then[BITS] for one in retests])
    means = [abs(one.drop.value) for one in gate.outcomes if one.score == BITS]
    flips = sum(int((one.now[CONTAINS] != one.then[CONTAINS]).sum()) for one in retests)
    return {
        "repeat": number,
        "batch": batch or "auto",
        "threads": threads,
        "alarms": len(gate.fell),
        "largest_bits": f"{np.abs(bits).max():.2e}",
        "largest_mean_bits": f"{max(means):.2e}",
        "contains_changed": flips,
        "questions": len(bits),
        "seconds": round(time.monotonic() - start, 1),
    }


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many while the block lasts: who else is in the process rounds otherwise with others."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pairs(model: Loaded, was: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[Retest]:
    return retests_of(model.subject.label, scores_of(was), now)


def _summary(found: Sequence[Mapping[str, str]]) -> str:
    questions = sum(int(one["questions"]) for one in found)
    flips = sum(int(one["contains_changed"]) for one in found)
    return (
        f"{len(found)} clean repeats: {sum(one['alarms'] != '0' for one in found)} alarms. Of"
        f" {questions:,} answers {flips} changed whether they contain what is asked; the largest"
        f" change of one question is {max(float(one['largest_bits']) for one in found):.1e} bits a"
        " byte, that of a mean"
        f" {max(float(one['largest_mean_bits']) for one in found):.1e}."
    )


def _quiet(_: str) -> None:
    pass


if __name__ == "__main__":
    main()
