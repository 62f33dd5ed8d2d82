"""`mom-eval ppl`: bits per byte of a text."""

from pathlib import Path
from typing import Any

import click

from mom_eval.cli.options import (
    ALLOW_PICKLE,
    AS_JSON,
    DEVICE,
    DTYPE,
    KERNELS,
    TOKENIZER,
    Numbers,
)


@click.command()
@click.argument("model", metavar="M")
@click.option(
    "--text",
    type=click.Path(path_type=Path),
    required=True,
    help="A text in UTF-8, plain or .gz.",
)
@click.option(
    "--lengths",
    type=Numbers(int),
    default="512,1024,2048,4096,8192,16384",
    show_default=True,
    help="Context lengths in tokens.",
)
@TOKENIZER
@click.option(
    "--limit", type=int, metavar="N", help="At most N spans of the longest context, from the start."
)
@DEVICE
@DTYPE
@KERNELS
@ALLOW_PICKLE
@AS_JSON
@click.option(
    "--out", type=click.Path(path_type=Path), help="Also write CSV, JSON and a plot there."
)
def ppl(model: str, as_json: bool, out: Path | None, **options: Any) -> None:
    """Bits per byte of a text, by context length and by position.

    M is one of our own models, as `mom-eval run --model` takes it.
    """
    from mom_eval.evalsuite.perplexity import perplexity
    from mom_eval.results.perplexity import as_json as in_json
    from mom_eval.results.perplexity import markdown, write

    found = perplexity(model, **options)
    click.echo(in_json(found) if as_json else markdown(found))
    for path in write(found, out) if out else ():
        click.echo(f"wrote {path}", err=True)
