"""`mom-eval leaderboard`: tables of finished runs."""

from pathlib import Path

import click


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["md", "csv", "json"]), default="md", show_default=True
)
@click.option(
    "--reference", type=click.Choice(["mom-paper"]), help="Add published rows, marked as such."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Also write Markdown, CSV, JSON and plots there."
)
def leaderboard(runs: tuple[Path, ...], form: str, reference: str | None, out: Path | None) -> None:
    """Tables of runs: models by tasks, with 95 % intervals."""
    from mom_eval.results.leaderboard import build
    from mom_eval.results.show import leaderboard_text, write_leaderboard
    from mom_eval.results.store import read_runs

    boards = build(read_runs(runs), published=reference)
    click.echo(leaderboard_text(boards, form))
    if out:
        for path in write_leaderboard(boards, out):
            click.echo(f"wrote {path}", err=True)
