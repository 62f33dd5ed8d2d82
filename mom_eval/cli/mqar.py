"""`mom-eval mqar`: multi-query associative recall, a synthetic task on token numbers."""

from pathlib import Path
from typing import Any

import click

from mom_eval.cli.options import ALLOW_PICKLE, AS_JSON, DEVICE, DTYPE, KERNELS, Numbers


@click.command()
@click.argument("models", metavar="M...", nargs=-1, required=True)
@click.option(
    "--lengths",
    type=Numbers(int),
    default="64,128,256",
    show_default=True,
    help="Tokens of an example.",
)
@click.option(
    "--pairs",
    type=Numbers(int),
    default="4,8,16,32,64",
    show_default=True,
    help="Pairs of a key and its value.",
)
@click.option("--examples", type=int, default=1000, show_default=True, help="Of each difficulty.")
@click.option("--seed", type=int, default=0, show_default=True, help="Draws the examples.")
@DEVICE
@DTYPE
@KERNELS
@ALLOW_PICKLE
@AS_JSON
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Also write Markdown, CSV, JSON and a plot there.",
)
def mqar(models: tuple[str, ...], as_json: bool, out: Path | None, **options: Any) -> None:
    """Share of queries answered right on MQAR, by length and number of pairs.

    M is one of our own models, as `mom-eval run --model` takes it; it needs no tokenizer. See
    configs/mqar for trainings.
    """
    from mom_eval.evalsuite.mqar import mqar as ask
    from mom_eval.results.mqar import as_json as in_json
    from mom_eval.results.mqar import markdown, write

    board = ask(models, **options)
    click.echo(in_json(board) if as_json else markdown(board))
    for path in write(board, out) if out else ():
        click.echo(f"wrote {path}", err=True)
