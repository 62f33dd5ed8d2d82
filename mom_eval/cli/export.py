"""`mom-eval export`: a run in the form of another harness."""

from pathlib import Path
from typing import Any

import click

from mom_eval.cli.options import DATA, DATA_DIR, TOKENIZERS


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["lm-eval"]), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the files.")
@click.option("--no-samples", is_flag=True, help="Results alone, which need no documents.")
@DATA
@DATA_DIR
@TOKENIZERS
def export(run: Path, form: str, out: Path, **options: Any) -> None:
    """Write a run as lm-eval writes its own: results as JSON, samples as JSONL.

    RUN is one run folder. Samples hold the prompts, which run folders do not: they are built anew
    from the data and the model's tokenizer.
    """
    from mom_eval.evalsuite.export import export as write

    for path in write(run, out, say=lambda text: click.echo(text, err=True), **options):
        click.echo(f"wrote {path}", err=True)
