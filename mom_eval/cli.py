"""The command line: options -> one call -> echo. No logic, nothing heavy imported at the top."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mom_eval import __version__
from mom_eval.errors import MomEvalError


class Commands(click.Group):
    """Turns what the user can mend into one sentence and exit 1, an interruption into exit 130."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; see the class."""
        try:
            return super().invoke(ctx)
        except MomEvalError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            click.echo("\ninterrupted; the same command goes on where it stopped", err=True)
            ctx.exit(130)


class Numbers(click.ParamType):
    """Numbers with commas between them: `512,1024`."""

    def __init__(self, kind: type[int] | type[float]) -> None:
        """`kind` parses each."""
        self.kind = kind
        self.name = "N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text -> tuple of numbers."""
        try:
            return tuple(self.kind(part) for part in str(value).split(","))
        except ValueError:
            kind = "whole numbers" if self.kind is int else "numbers"
            self.fail(f"{value!r} is not a list of {kind} with commas between them", param, ctx)


class BatchSize(click.ParamType):
    """A number of questions, or `auto`."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text -> number, or None for `auto`."""
        if value == "auto":
            return None
        if not str(value).isdigit() or int(value) < 1:
            self.fail(f"{value!r} is neither a number from 1 on nor auto", param, ctx)
        return int(value)


DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Folder of prepared data.  [default: $MOM_EVAL_DATA, else the user's cache]",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "MOM_EVAL"},
    epilog='Shell completion: eval "$(_MOM_EVAL_COMPLETE=bash_source mom-eval)" (or zsh_source).',
)
@click.version_option(__version__, package_name="mom-eval")
def main() -> None:
    """How well a language model recalls what stands in a document, and how sure that is."""


@main.command()
@click.option(
    "--tasks",
    default="recall",
    show_default=True,
    metavar="NAME,...",
    help="recall (all six), names, or lm-eval:NAME.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="M",
    help="Hub id, ID@revision, folder, .gguf, a quoted glob, or LABEL=M; repeatable.",
)
@click.option("--tokenizer", metavar="T", help="Tokenizer, where the model brings none.")
@click.option(
    "--data",
    metavar="DIR|hub|sample",
    help="Where questions come from.  [default: prepared data, else the sample]",
)
@DATA_DIR
@click.option(
    "--protocol",
    type=click.Choice(["paper", "full"]),
    default="paper",
    show_default=True,
    help="Document cut around the answer, or whole.",
)
@click.option(
    "--context-length",
    type=Numbers(int),
    default="2048",
    show_default=True,
    help="Tokens of prompt and answer; several sweep.",
)
@click.option(
    "--repeat",
    type=int,
    default=1,
    show_default=True,
    help="Copies of the document; from 2 on the question also opens.",
)
@click.option("--haystack", type=Numbers(int), help="Hide the passage among others, to N tokens.")
@click.option("--depth", type=Numbers(float), help="Where in the haystack, 0 to 1.")
@click.option(
    "--control",
    "controls",
    type=click.Choice(["blind", "shuffled"]),
    multiple=True,
    help="Ask again without the document, or with another.",
)
@click.option("--limit", type=int, metavar="N", help="At most N questions a task.")
@click.option(
    "--batch-size", type=BatchSize(), default="auto", show_default=True, help="Questions at once."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
)
@click.option(
    "--backend",
    type=click.Choice(["auto", "own", "hf"]),
    default="auto",
    show_default=True,
    help="Our models, transformers, or ours where they know the checkpoint.",
)
@click.option(
    "--bos",
    type=click.Choice(["auto", "yes", "no"]),
    default="auto",
    show_default=True,
    help="First token before the prompt.",
)
@click.option("--trust-remote-code", is_flag=True, help="Run code that a checkpoint brings.")
@click.option("--allow-pickle", is_flag=True, help="Read weights that are a pickle.")
@click.option("--keep-dropped", is_flag=True, help="Ask what the papers' code leaves out.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Draws haystacks and other documents."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="runs",
    show_default=True,
    help="Folder of run folders.",
)
@click.option("--force", is_flag=True, help="Do runs anew that are there already.")
def run(models: tuple[str, ...], batch_size: int | None, **options: Any) -> None:
    """Ask models the recall tasks and show the leaderboard.

    Runs are kept in --out: what was done is not done again, what was stopped goes on.
    """
    if not models:
        raise click.UsageError(
            "no --model given; no checkpoint ships yet, `make demo` fetches a small one"
        )
    from mom_eval import evaluate
    from mom_eval.results.leaderboard import build
    from mom_eval.results.show import leaderboard_text, write_leaderboard
    from mom_eval.results.store import read_runs

    context_length, controls = options.pop("context_length"), options.pop("controls")
    table = evaluate(
        list(models),
        context_length=context_length,
        control=controls,
        batch_size=batch_size,
        say=lambda text: click.echo(text, err=True),
        **options,
    )
    click.echo(leaderboard_text(build(read_runs(table.attrs["runs"])), "md"))
    for path in write_leaderboard(build(read_runs([options["out"]])), options["out"]):
        click.echo(f"wrote {path}", err=True)


@main.command()
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


@main.group()
def data() -> None:
    """Fetch, list and check the tasks' data."""


@data.command("prepare")
@DATA_DIR
@click.option(
    "--tasks", default="recall", show_default=True, metavar="NAME,...", help="Which tasks' data."
)
def data_prepare(data_dir: Path | None, tasks: str) -> None:
    """Download the six data sets once."""
    from mom_eval.evalsuite.plan import task_names
    from mom_eval.tasks.data import data_folder
    from mom_eval.tasks.hub import prepare

    ours, _ = task_names(tasks)
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
        click.echo("no data are prepared; `mom-eval data prepare` downloads them", err=True)
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


@main.command()
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


@main.group(invoke_without_command=True)
@AS_JSON
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List our own models and the published checkpoints that they load."""
    if ctx.invoked_subcommand:
        return
    from mom_eval.models.describe import families, published

    if as_json:
        click.echo(json.dumps({"families": families(), "checkpoints": published()}, indent=1))
        return
    show(
        families(),
        False,
        lambda row: f"{row['name']:<15} {row['title']:<23} arXiv {row['arxiv']}  {row['what']}",
    )
    click.echo()
    show(
        published(),
        False,
        lambda row: (
            f"{row['id']:<40} {row['model_type']:<18}"
            + (
                f" {row['parameters'] / 1e6:>5,.0f} M  state {row['state_bytes'] / 2**20:.1f} MiB"
                if row["parameters"]
                else ""
            )
        ),
    )


@models.command("show")
@click.argument("model", metavar="M")
@click.option("--allow-pickle", is_flag=True, help="Read weights that are a pickle.")
@AS_JSON
def models_show(model: str, allow_pickle: bool, as_json: bool) -> None:
    """Say what a checkpoint is: parameters, state, arithmetic.

    M is what `mom-eval run --model` takes. State is counted at the precision of the file; no weight
    is read.
    """
    from mom_eval.evalsuite.checkpoints import find
    from mom_eval.models.describe import checkpoint

    rows = [
        {"label": one.label, **checkpoint(one.folder, allow_pickle=allow_pickle)}
        for one in find(model, allow_pickle=allow_pickle)
    ]
    show(rows, as_json, checkpoint_text)


@main.command()
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


def checkpoint_text(row: dict[str, Any]) -> str:
    """A checkpoint's costs, for reading."""
    grows = row["state_bytes_per_token"]
    return (
        f"{row['label']}: {row['architecture']}, {row['layers']} layers of {row['hidden_size']},"
        f" {row['vocab_size']:,} tokens, {row['dtype']}\n"
        f"  parameters  {row['parameters']:,}, of which a token uses {row['activated']:,}\n"
        f"  state       {row['state_bytes']:,} bytes a sequence"
        + (f", and {grows:,} a token\n" if grows else "\n")
        + f"  arithmetic  {row['flops_per_token']:,} FLOPs a token"
    )


def show(rows: list[dict[str, Any]], as_json: bool, line: Callable[[dict[str, Any]], str]) -> None:
    """A listing, as lines or as JSON."""
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for row in rows:
        click.echo(line(row))


if __name__ == "__main__":
    main()
