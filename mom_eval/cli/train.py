"""`mom-eval train`: train one of our models from a TOML file."""

from pathlib import Path

import click


@click.command()
@click.argument("config", metavar="CONFIG.toml", type=click.Path(path_type=Path))
@click.option("--resume", is_flag=True, help="Go on where the folder's training was stopped.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of checkpoints and curves.  [default: trained/<CONFIG>]",
)
@click.option("--profile", is_flag=True, help="Write a torch.profiler trace of three steps.")
@click.pass_context
def train(ctx: click.Context, config: Path, resume: bool, out: Path | None, profile: bool) -> None:
    """Train a model: checkpoints, loss.csv, heldout.csv and a plot.

    docs/training.md lists what a configuration may hold; configs/ holds some.
    """
    from mom_eval.evalsuite.train import Interrupted, read
    from mom_eval.evalsuite.train import train as do

    out = out or Path("trained") / config.stem
    try:
        trained = do(
            read(config),
            out,
            config,
            resume=resume,
            profile=profile,
            say=lambda text: click.echo(text, err=True),
        )
    except Interrupted as stopped:
        click.echo(f"{stopped}; --resume goes on", err=True)
        ctx.exit(130)
    click.echo(trained.checkpoint)
