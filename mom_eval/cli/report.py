"""`mom-eval report`: one HTML page of runs."""

from pathlib import Path
from typing import Any

import click

from mom_eval.cli.options import DATA, DATA_DIR, TOKENIZERS


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The page.")
@click.option("--no-text", is_flag=True, help="Scores alone: no question, document or output.")
@click.option(
    "--full", type=click.Path(path_type=Path), help="Folder for the words of all questions."
)
@DATA
@DATA_DIR
@TOKENIZERS
def report(runs: tuple[Path, ...], out: Path, **options: Any) -> None:
    """One page of runs to open in any browser: it needs nothing beside it and no network.

    Leaderboards, plots, a part a model, and questions with their documents and outputs: those on
    which models differ most, up to 3 MB of words. Documents are those of the data that the runs
    name, where these are at hand. What `mom-eval routing --out` and `mom-eval bench model --out`
    wrote into folders beside the runs is shown as well.
    """
    from mom_eval.evalsuite.report import report as write

    write(runs, out, say=lambda text: click.echo(text, err=True), **options)
