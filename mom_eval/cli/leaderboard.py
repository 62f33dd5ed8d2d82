"""`mom-eval leaderboard`: tables of finished runs."""

from pathlib import Path

import click


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model", "models", multiple=True, help="Only such labels (a name, or mom-*); repeatable."
)
@click.option("--task", "tasks", multiple=True, help="Only this task; repeatable.")
@click.option(
    "--sort", metavar="KEY",
    help="A task, contains, exact, f1, bits_per_byte (averages), name, state, activated, decode or"
    " speed.  [default: contains]",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["md", "csv", "json"]), default="md", show_default=True
)
@click.option(
    "--reference", type=click.Choice(["mom-paper"]), help="Add published rows, marked as such."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Also write Markdown, CSV, JSON and plots there."
)
def leaderboard(
    runs: tuple[Path, ...], models: tuple[str, ...], tasks: tuple[str, ...], sort: str | None,
    form: str, reference: str | None, out: Path | None,
) -> None:  # fmt: skip
    """Tables of runs: models by tasks, with 95 % intervals, and what the models cost."""
    from mom_eval.results.leaderboard import build
    from mom_eval.results.select import selected, sorted_by
    from mom_eval.results.show import leaderboard_text, write_leaderboard
    from mom_eval.results.store import read_runs

    boards = build(selected(read_runs(runs), models=models, tasks=tasks), published=reference)
    boards = sorted_by(boards, sort) if sort else boards
    click.echo(leaderboard_text(boards, form))
    if out:
        for path in write_leaderboard(boards, out):
            click.echo(f"wrote {path}", err=True)
