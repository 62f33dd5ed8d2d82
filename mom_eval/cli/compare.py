"""`mom-eval compare`: two models on the same questions."""

from pathlib import Path

import click


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--runs", type=click.Path(path_type=Path), default="runs", show_default=True,
    help="Where names are looked up: a folder of run folders.",
)  # fmt: skip
@click.option("--task", "tasks", multiple=True, help="Of this task alone; repeatable.")
@click.option(
    "--by",
    type=click.Choice(["position", "length", "document", "answer-type"]),
    help="Also by where the answer stands, by length, document or kind of answer.",
)
@click.option(
    "--margin", type=float, default=5.0, show_default=True, metavar="POINTS",
    help="Differences in contains up to this do not matter.",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(["md", "csv"]), default="md", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Also write Markdown and CSV there.")
def compare(
    a: str, b: str, runs: Path, tasks: tuple[str, ...], by: str | None, margin: float, form: str,
    out: Path | None,
) -> None:  # fmt: skip
    """Is A better than B, by task, and on which questions do they differ?

    A and B are run folders, folders that hold runs of one model, or names of rows, as the
    leaderboard of --runs shows them.
    """
    from mom_eval.results.compare import compare as compared
    from mom_eval.results.compare_table import compare_text, write_comparisons
    from mom_eval.results.sides import side

    found = compared(side(a, runs), side(b, runs), tasks=tasks, by=by, margin=margin / 100)
    click.echo(compare_text(found, form))
    for path in write_comparisons(found, out) if out else ():
        click.echo(f"wrote {path}", err=True)
