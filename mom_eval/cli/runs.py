"""`mom-eval runs`: the runs that are there."""

import json
from pathlib import Path

import click

from mom_eval.cli.options import AS_JSON


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default="runs")
@click.option(
    "--model", "models", multiple=True, help="Only such labels (a name, or mom-*); repeatable."
)
@click.option("--task", "tasks", multiple=True, help="Only those that asked this; repeatable.")
@click.option("--state", "only", type=click.Choice(["finished", "unfinished"]), help="Only these.")
@click.option("--remove", is_flag=True, help="Remove what is listed, after asking.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@AS_JSON
def runs(
    folder: Path, models: tuple[str, ...], tasks: tuple[str, ...], only: str | None, remove: bool,
    yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """List the runs in FOLDER (default: runs), or remove some.

    Only folders that hold a run and nothing else are removed, and no link is followed.
    """
    from mom_eval.results.runs import find_runs, lines, records
    from mom_eval.results.runs import remove as remove_runs

    found = find_runs(folder, models=models, tasks=tasks, only=only)
    text = json.dumps(records(found.runs), indent=1) if as_json else "\n".join(lines(found.runs))
    click.echo(text)
    for sentence in found.unreadable:
        click.echo(f"not listed: {sentence}", err=True)
    if remove and found.runs:
        if not yes:
            count = len(found.runs)
            which = "this run" if count == 1 else f"these {count} runs"
            click.confirm(f"Remove {which}?", abort=True)
        remove_runs(found.runs, say=lambda text: click.echo(text, err=True))
