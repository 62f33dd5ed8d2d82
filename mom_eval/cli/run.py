"""`mom-eval run`: ask models the recall tasks."""

from pathlib import Path
from typing import Any

import click

from mom_eval.cli.options import (
    ALLOW_PICKLE,
    DATA,
    DATA_DIR,
    DEVICE,
    DTYPE,
    KERNELS,
    PROTOCOL,
    TOKENIZER,
    BatchSize,
    Numbers,
)


@click.command()
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
    help="Hub id, ID@revision, folder, .gguf, a quoted glob, a name of one that ships, or LABEL=M;"
    " repeatable.  [default: all that ship]",
)
@TOKENIZER
@DATA
@DATA_DIR
@PROTOCOL
@click.option(
    "--context-length",
    type=Numbers(int),
    help="Tokens of prompt and answer; several sweep.  [default: 2048]",
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
@DEVICE
@DTYPE
@KERNELS
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
@ALLOW_PICKLE
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

    Without --model the checkpoints that ship are asked; without --data too, on the embedded sample:
    40 questions a task at 1,024 tokens, unless told otherwise.
    Runs are kept in --out: what was done is not done again, what was stopped goes on.
    """
    from mom_eval import evaluate
    from mom_eval.evalsuite.embedded import ties, with_defaults
    from mom_eval.results.leaderboard import build
    from mom_eval.results.show import leaderboard_text, write_leaderboard
    from mom_eval.results.store import read_runs

    asked = with_defaults(list(models), options)
    options = asked.options
    context_length, controls = options.pop("context_length"), options.pop("controls")
    table = evaluate(
        asked.models,
        context_length=context_length,
        control=controls,
        batch_size=batch_size,
        say=lambda text: click.echo(text, err=True),
        **options,
    )
    boards = build(read_runs(table.attrs["runs"]))
    click.echo(leaderboard_text(boards, "md"))
    for path in write_leaderboard(build(read_runs([options["out"]])), options["out"]):
        click.echo(f"wrote {path}", err=True)
    if asked.next:
        for board in boards:
            if board.shows_average:
                click.echo(ties(board), err=True)
        click.echo(asked.next, err=True)
