"""`mom-eval routing`: which memories a model's tokens go to."""

from pathlib import Path
from typing import Any

import click

from mom_eval.cli.options import (
    ALLOW_PICKLE,
    AS_JSON,
    DATA,
    DATA_DIR,
    DEVICE,
    DTYPE,
    KERNELS,
    PROTOCOL,
    TOKENIZER,
)


@click.command()
@click.argument("model", metavar="M")
@DATA
@DATA_DIR
@click.option(
    "--tasks",
    default="recall",
    show_default=True,
    metavar="NAME,...",
    help="recall (all six), or names.",
)
@PROTOCOL
@click.option(
    "--context-length",
    type=int,
    default=2048,
    show_default=True,
    help="Tokens of prompt and answer.",
)
@click.option(
    "--limit",
    type=int,
    default=50,
    show_default=True,
    metavar="N",
    help="At most N questions a task.",
)
@TOKENIZER
@DEVICE
@DTYPE
@KERNELS
@ALLOW_PICKLE
@AS_JSON
@click.option(
    "--out", type=click.Path(path_type=Path), help="Also write CSV, JSON and a plot there."
)
def routing(model: str, as_json: bool, out: Path | None, **options: Any) -> None:
    """What a model's router does with the prompts of the recall tasks.

    M is one of our own models that has several memories, as `mom-eval run --model` takes it.
    """
    from mom_eval.evalsuite.routing import look
    from mom_eval.results.routing import as_json as in_json
    from mom_eval.results.routing import markdown, write

    found = look(model, say=lambda text: click.echo(text, err=True), **options)
    click.echo(in_json(found) if as_json else markdown(found))
    for path in write(found, out) if out else ():
        click.echo(f"wrote {path}", err=True)
