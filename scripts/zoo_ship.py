"""Put trained models of configs/zoo into the package, each with a card; or write their cards alone.

    export ZOO=FOLDER        # of scripts/zoo_data.py
    python scripts/zoo_ship.py trained/small-*/
    python scripts/zoo_ship.py trained/medium-*/ --cards results/cards

What scripts/zoo_train.py has left in trained/small-gla becomes mom_eval/models/zoo/gla-2m: the last
checkpoint with its tokenizer, its curves as a plot, and README.md, the card. All files of a model
come from its own training. With --cards it becomes results/cards/small-gla.md and its plot.
"""

import csv
import shutil
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch

from mom_eval.evalsuite.train.config import Config, read
from mom_eval.models.cost import cost
from mom_eval.models.zoo import FOLDER
from mom_eval.results import plot_training
from mom_eval.results.cost_table import size
from mom_eval.results.markdown import grid
from mom_eval.tasks.tokens import load_tokens

SIZES = {"small": "2m", "medium": "8m"}
LENGTH = 1024
"""Tokens behind which states are counted."""
CARD = """\
# {name}

{what}

{shape}

## Training

{steps:,} steps, {tokens:,} tokens, a learning rate of {rate:g} at most, seed {seed};
its steps took {seconds:.0f} s of an H200 that other trainings shared. The configuration is that of
configs/zoo.

{sources}

*Twice*: a piece of half the length, read two times in a row. *Times*: how often all of a source
came round; the sample and MQAR are made by code. The tokens of an answer count {emphasis} times in
the loss. Books are public domain texts, FDA's decision summaries works of the US government,
SQuAD's paragraphs Wikipedia's (CC BY-SA 4.0), the synthetic sample is mom-eval's own.

No document of a test file was trained on (scripts/zoo_data.py looks for each by its hash), no page
of SWDE, nothing of NQ, TriviaQA and DROP. The tokenizer is a byte-level BPE of 4,096 entries,
trained on the same texts.

## Held out

A tenth of the documents, by hash, behind the last step; of the recall questions the answer's tokens
alone. The sample stands there twice, with documents of up to 2,048 and of up to 512 tokens.

{heldout}

![Loss and share of right tokens, in training and held out, by tokens trained on]({plot})
"""
SHIPS = """\
It ships with mom-eval to show, in a minute and on a laptop, how architectures recall. It is small:
what it scores says nothing about larger models, and it is of no other use."""
DOES_NOT = """\
What it recalls is in [zoo.md](../zoo.md). It is small: that says nothing about larger models. It
does not ship; this makes it again:

    python scripts/zoo_train.py configs/zoo/{config} --out trained"""


class Trained(NamedTuple):
    """What a training has left."""

    config: Config
    loss: list[dict[str, str]]
    heldout: list[dict[str, str]]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument(
    "folders",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)
@click.option("--cards", type=click.Path(path_type=Path), help="Write cards there, ship nothing.")
def main(folders: tuple[Path, ...], cards: Path | None) -> None:
    """Ship the models of FOLDERS."""
    for folder in folders:
        if cards is None:
            _ship(folder)
        else:
            _card_alone(folder, cards)


def _ship(folder: Path) -> None:
    """Its last checkpoint, card and curves, into the package."""
    of, _, model = folder.name.partition("-")
    if of not in SIZES:
        raise click.ClickException(
            f"{folder.name} names no size; call it {' or '.join(SIZES)}-MODEL"
        )
    name, trained = f"{model}-{SIZES[of]}", _trained(folder)
    target = FOLDER / name
    target.mkdir(exist_ok=True)
    last = max(folder.glob("step-*"), key=lambda path: int(path.name.split("-")[1]))
    for file in last.iterdir():
        shutil.copyfile(file, target / file.name)
    _draw(target, name, trained)
    (target / "README.md").write_text(card(name, SHIPS, "loss.png", trained), "utf-8")
    click.echo(f"{target.name}: {size(sum(file.stat().st_size for file in target.iterdir()))}")


def _card_alone(folder: Path, cards: Path) -> None:
    """Its card and curves, called as scripts/zoo_train.py calls the model."""
    of, _, model = folder.name.partition("-")
    trained, plot = _trained(folder), f"{folder.name}.png"
    cards.mkdir(parents=True, exist_ok=True)
    _draw(cards, folder.name, trained).rename(cards / plot)
    text = card(folder.name, DOES_NOT.format(config=f"{of}/{model}.toml"), plot, trained)
    (cards / f"{folder.name}.md").write_text(text, "utf-8")
    click.echo(f"wrote {cards / folder.name}.md")


def _draw(target: Path, name: str, trained: Trained) -> Path:
    """Its curves, as loss.png."""
    png, svg = plot_training.write(target, trained.loss, trained.heldout, name)
    svg.unlink()
    return png


def card(name: str, what: str, plot: str, trained: Trained) -> str:
    """What a model is, what it was trained on, and how far that went."""
    train, last = trained.config.train, trained.loss[-1]
    return CARD.format(
        name=name,
        what=what,
        plot=plot,
        shape=_shape(trained),
        steps=int(last["step"]),
        tokens=int(last["tokens"]),
        rate=train.rate,
        seed=train.seed,
        seconds=_seconds(trained.loss),
        sources=_sources(trained),
        emphasis=max(getattr(one, "emphasis", 1) for one in trained.config.data),
        heldout=grid(
            ("Source", "Nats a token", "% right"),
            [
                (row["source"], f"{float(row['loss']):.2f}", f"{100 * float(row['accuracy']):.1f}")
                for row in trained.heldout
                if row["step"] == last["step"]
            ],
        ),
    )


def _shape(trained: Trained) -> str:
    model = trained.config.model
    assert model is not None
    counted = cost(model, torch.float32)
    state = counted.state_bytes + LENGTH * counted.state_bytes_per_token
    cells = {
        "Model": model.name,
        "Parameters": f"{counted.parameters:,}",
        "Activated": f"{counted.activated:,}",
        "Layers": f"{model.num_layers}",
        "Width": f"{model.hidden_size}",
        f"State behind {LENGTH:,} tokens, float32": size(state),
    }
    return grid(list(cells), [list(cells.values())])


def _seconds(loss: list[dict[str, str]]) -> float:
    """Of all steps; what lies between them, such as held-out losses, is not in it."""
    tokens = [0, *(int(row["tokens"]) for row in loss)]
    speeds = (float(row["tokens_per_second"]) for row in loss)
    return sum(
        (end - begin) / speed for (begin, end), speed in zip(pairwise(tokens), speeds, strict=True)
    )


def _sources(trained: Trained) -> str:
    """Each source, its share, and how often all of it came round."""
    config, total = trained.config, int(trained.loss[-1]["tokens"])
    weights = sum(one.weight for one in config.data)
    lines = []
    for one in config.data:
        share = one.weight / weights
        unique = _tokens(one, config.tokenizer)
        times = f"{share * total / unique:.1f}" if unique else "-"
        lines.append((one.name, f"{one.length:,}", f"{share:.0%}", times))
    return grid(("Source", "Tokens of a document, at most", "Share", "Times"), lines)


@cache
def _tokens(source: Any, tokenizer: str) -> int | None:
    """Of all documents of a text or a folder of questions; None where they are made by code."""
    if source.kind == "mqar" or getattr(source, "data", "") == "sample":
        return None
    tokens = load_tokens(tokenizer)
    reader = source.reader(tokens, len(tokens.tokenizer), 0, heldout=False)
    return sum(len(reader.document(n).tokens) for n in range(reader.documents))


def _trained(folder: Path) -> Trained:
    loss, heldout = (
        list(csv.DictReader((folder / name).read_text("utf-8").splitlines()))
        for name in ("loss.csv", "heldout.csv")
    )
    return Trained(read(folder / "config.toml"), loss, heldout)


if __name__ == "__main__":
    main()
