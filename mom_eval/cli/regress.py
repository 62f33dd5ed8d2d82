"""`mom-eval regress`: a gate for CI."""

from pathlib import Path

import click

from mom_eval.cli.options import ALLOW_PICKLE, DEVICE, DTYPE, KERNELS, BatchSize


@click.command()
@click.option(
    "--against", type=click.Path(path_type=Path), metavar="DIR", help="Compare with this baseline."
)
@click.option(
    "--write", type=click.Path(path_type=Path), metavar="DIR", help="Write a baseline, or renew it."
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="M",
    help="As in `run`; NAME=M calls it as the baseline does; repeatable.  [default: all that ship]",
)
@click.option("--questions", type=click.IntRange(1), help="With --write: a task.  [default: 100]")
@click.option("--seed", type=int, help="With --write: of the sample.  [default: 0]")
@click.option(
    "--batch-size", type=BatchSize(), default="auto", show_default=True, help="Questions at once."
)
@DEVICE
@DTYPE
@KERNELS
@ALLOW_PICKLE
@click.pass_context
def regress(
    ctx: click.Context,
    against: Path | None,
    write: Path | None,
    models: tuple[str, ...],
    questions: int | None,
    seed: int | None,
    **options: str | int | bool | None,
) -> None:
    """Exit 1 when a model got worse than a baseline says, question by question.

    The embedded sample is asked again, of the seed and size that the baseline records. See
    docs/ci.md.
    """
    if (against is None) == (write is None):
        raise click.UsageError("give either --against or --write")
    if against is not None and (questions, seed) != (None, None):
        raise click.UsageError("--questions and --seed go with --write; a baseline records its own")
    from mom_eval.evalsuite import regress as gate
    from mom_eval.evalsuite.subjects import Options
    from mom_eval.results.gate_table import markdown

    def say(text: str) -> None:
        click.echo(text, err=True)

    how = Options(**options)  # pyright: ignore[reportArgumentType]
    if write is not None:
        for path in gate.write_baseline(write, models, how, say, questions=questions, seed=seed):
            say(f"wrote {path}")
        return
    assert against is not None
    verdict = gate.regress(against, models, how, say)
    click.echo(markdown(verdict))
    ctx.exit(1 if verdict.fell else 0)
