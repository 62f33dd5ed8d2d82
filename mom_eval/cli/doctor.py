"""`mom-eval doctor`: what this machine has."""

from pathlib import Path

import click

from mom_eval.cli.options import AS_JSON, DATA_DIR, show


@click.command()
@DATA_DIR
@AS_JSON
def doctor(data_dir: Path | None, as_json: bool) -> None:
    """Say what this machine has, what is missing and what to do."""
    from mom_eval.evalsuite.doctor import examine

    rows = examine(data_dir)
    show(
        rows,
        as_json,
        lambda row: (
            f"{row['state']:<5} {row['what']:<13} {row['found']}"
            + (f"; {row['do']}" if row["do"] else "")
        ),
    )
