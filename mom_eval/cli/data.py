"""`mom-eval tasks` and `mom-eval data`: the tasks, and their data."""

from pathlib import Path

import click

from mom_eval.cli.options import AS_JSON, DATA_DIR, show


@click.command()
@click.option("--path", is_flag=True, help="Print the folder for lm_eval --include_path.")
@AS_JSON
def tasks(path: bool, as_json: bool) -> None:
    """List the tasks."""
    from mom_eval.tasks import LM_EVAL_PREFIX, TASKS, lm_eval_path

    if path:
        click.echo(lm_eval_path())
        return
    from mom_eval.tasks.describe import describe

    rows = [
        {"name": name, "title": title, "lm_eval": LM_EVAL_PREFIX + name, **describe(name)}
        for name, title in TASKS.items()
    ]
    show(
        rows,
        as_json,
        lambda row: f"{row['name']:<9} {row['title']:<9} {row['prompt']:<28} {row['hub']}",
    )


@click.group()
def data() -> None:
    """Fetch, list and check the tasks' data."""


@data.command("prepare")
@DATA_DIR
@click.option(
    "--tasks", default="recall", show_default=True, metavar="NAME,...", help="Which tasks' data."
)
def data_prepare(data_dir: Path | None, tasks: str) -> None:
    """Download the six data sets once."""
    from mom_eval.errors import SettingError
    from mom_eval.evalsuite.plan import task_names
    from mom_eval.tasks.data import data_folder
    from mom_eval.tasks.hub import prepare

    ours, theirs = task_names(tasks)
    if theirs:
        raise SettingError("lm-eval fetches the data of its own tasks when they run; name ours")
    prepare(data_folder(data_dir), ours, say=lambda text: click.echo(text, err=True))


@data.command("list")
@DATA_DIR
@AS_JSON
def data_list(data_dir: Path | None, as_json: bool) -> None:
    """List prepared data."""
    from mom_eval.tasks.data import data_folder
    from mom_eval.tasks.hub import listing

    rows = listing(data_folder(data_dir))
    if not rows and not as_json:
        click.echo(
            f"no data are prepared in {data_folder(data_dir)}; `mom-eval data prepare` downloads"
            " them",
            err=True,
        )
    show(rows, as_json, lambda row: "  ".join(f"{key} {value}" for key, value in row.items()))


@data.command("check")
@click.option("--data", metavar="DIR|hub|sample", help="What to check.  [default: prepared data]")
@DATA_DIR
@AS_JSON
def data_check(data: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Check data files row by row."""
    from mom_eval.tasks.data import resolve
    from mom_eval.tasks.hub import check

    rows = check(resolve(data, data_dir))
    show(rows, as_json, lambda row: "  ".join(f"{key} {value}" for key, value in row.items()))
    if any(not row["ok"] for row in rows):
        raise SystemExit(1)
