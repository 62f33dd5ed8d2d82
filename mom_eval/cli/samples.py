"""`mom-eval samples`: single questions of runs."""

from pathlib import Path

import click


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--task", "tasks", multiple=True, help="Of this task alone; repeatable.")
@click.option("--wrong", "right", flag_value=False, type=bool, default=None,
              help="Where a model is wrong.")  # fmt: skip
@click.option("--right", "right", flag_value=True, type=bool, help="Where all models are right.")
@click.option("--grep", metavar="REGEX", help="In question, answer, output or id.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most.")
def samples(
    runs: tuple[Path, ...], tasks: tuple[str, ...], right: bool | None, grep: str | None, limit: int
) -> None:
    """Questions, answers, and what each model of some runs wrote."""
    from mom_eval.results.samples import samples as found_in
    from mom_eval.results.samples import text
    from mom_eval.results.store import read_runs

    click.echo(text(found_in(read_runs(runs), tasks=tasks, right=right, grep=grep), limit))
