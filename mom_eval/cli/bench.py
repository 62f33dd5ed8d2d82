"""`mom-eval bench`: how long ops, models and whole suites take."""

from pathlib import Path
from typing import Any

import click

from mom_eval.cli.options import ALLOW_PICKLE, AS_JSON, DEVICE, DTYPE, KERNELS, Numbers

SEED = click.option("--seed", type=int, default=0, show_default=True, help="Draws all inputs.")
OUT = click.option(
    "--out", type=click.Path(path_type=Path), help="Also write Markdown, CSV, JSON and plots there."
)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _wrote(paths: list[Path]) -> None:
    for path in paths:
        _say(f"wrote {path}")


@click.group()
def bench() -> None:
    """Time ops, models, training, or a whole suite; what is wrong here is refused, not timed."""


@bench.command()
@click.option(
    "--shape",
    "shapes",
    type=Numbers(int),
    multiple=True,
    metavar="B,T,H,K",
    help="Sequences, tokens, heads, width of keys and values; may be repeated."
    "  [default: 8,2048,16,128 on a GPU]",
)
@click.option("--against", type=click.Choice(["fla"]), help="A peer, on the same inputs.")
@click.option(
    "--check",
    is_flag=True,
    help="Time nothing; compare all variants and their gradients with float64.",
)
@DEVICE
@DTYPE
@KERNELS
@SEED
@AS_JSON
@OUT
def op(check: bool, as_json: bool, out: Path | None, **options: Any) -> None:
    """The recurrence of all families, forward, in its variants."""
    from mom_eval.evalsuite.bench.check import check_ops
    from mom_eval.evalsuite.bench.ops import bench_ops
    from mom_eval.results import bench, bench_check

    if check:
        checked = check_ops(**options, say=_say)
        click.echo(bench_check.as_json(checked) if as_json else bench_check.markdown(checked))
        _wrote(bench_check.write(checked, out) if out else [])
        checked.verify()
        return
    found = bench_ops(**options, say=_say)
    click.echo(bench.as_json(found) if as_json else bench.markdown(found))
    _wrote(bench.write(found, out) if out else [])


@bench.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--batch", type=Numbers(int), help="Sequences at once.  [default: 1,2,8,32 on a GPU]")
@click.option(
    "--lengths",
    type=Numbers(int),
    help="Tokens of each, in prefill.  [default: 300,2048,8192,65536 on a GPU]",
)
@click.option(
    "--context",
    type=Numbers(int),
    default="1024",
    show_default=True,
    help="Tokens before the one that is decoded.",
)
@click.option(
    "--against",
    type=click.Choice(["fla", "hf"]),
    help="A peer with the same weights: flash-linear-attention or transformers.",
)
@DEVICE
@DTYPE
@KERNELS
@ALLOW_PICKLE
@SEED
@AS_JSON
@OUT
def model(names: tuple[str, ...], as_json: bool, out: Path | None, **options: Any) -> None:
    """Prefill and decoding of models.

    NAME is mom-340m, gated-deltanet-340m, transformer-340m, mom-8m, gated-deltanet-8m,
    delta-net-8m, retnet-8m, mom-1m, gated-deltanet-1m, one of the tiny ones for a CPU (mom-tiny,
    gated-deltanet-tiny, transformer-tiny, mamba2-tiny), all with random weights, or one of our own
    checkpoints as `mom-eval run --model` takes it.
    """
    from mom_eval.evalsuite.bench.models import bench_models
    from mom_eval.results.bench import as_json as in_json
    from mom_eval.results.bench import markdown, write

    found = bench_models(names, **options, say=_say)
    click.echo(in_json(found) if as_json else markdown(found))
    _wrote(write(found, out) if out else [])


@bench.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--batch", type=Numbers(int), help="Sequences at once.  [default: 8,32 on a GPU]")
@click.option("--lengths", type=Numbers(int), help="Tokens of each.  [default: 512,2048 on a GPU]")
@click.option(
    "--against",
    type=click.Choice(["torch", "fla", "hf"]),
    help="The same model without Triton's kernels, or a peer with the same weights.",
)
@DEVICE
@DTYPE
@KERNELS
@ALLOW_PICKLE
@SEED
@AS_JSON
@OUT
def train(names: tuple[str, ...], as_json: bool, out: Path | None, **options: Any) -> None:
    """A step of training, forward and backward without an optimizer, and forward alone.

    NAME is as for `mom-eval bench model`. Gradients that are not those of torch in float32 are
    refused.
    """
    from mom_eval.evalsuite.bench.training import bench_training
    from mom_eval.results.bench import as_json as in_json
    from mom_eval.results.bench import markdown, write

    found = bench_training(names, **options, say=_say)
    click.echo(in_json(found) if as_json else markdown(found))
    _wrote(write(found, out) if out else [])


@bench.command()
@click.argument("name", metavar="NAME")
@click.option("--questions", type=int, help="How many.  [default: 12000 on a GPU, 48 on a CPU]")
@click.option("--prompt", type=int, default=2000, show_default=True, help="Tokens of each prompt.")
@click.option("--tokens", type=int, default=48, show_default=True, help="Written behind each.")
@click.option(
    "--shared",
    type=int,
    default=0,
    show_default=True,
    help="Tokens that the prompts of eight questions have in common.",
)
@DEVICE
@DTYPE
@KERNELS
@ALLOW_PICKLE
@SEED
@AS_JSON
@OUT
def suite(name: str, as_json: bool, out: Path | None, **options: Any) -> None:
    """A whole suite of questions with random prompts, through the engine that answers real ones.

    NAME is as for `mom-eval bench model`.
    """
    from mom_eval.evalsuite.bench.suite import bench_suite
    from mom_eval.results.bench_suite import as_json as in_json
    from mom_eval.results.bench_suite import markdown, write

    found = bench_suite(name, **options)
    click.echo(in_json(found) if as_json else markdown(found))
    _wrote(write(found, out) if out else [])


@bench.command()
@click.argument("name", metavar="NAME")
@click.option("--runs", type=int, default=3, show_default=True, help="Processes without kernels.")
@click.option("--prompt", type=int, default=2000, show_default=True, help="Tokens of the prompt.")
@DEVICE
@DTYPE
@KERNELS
@ALLOW_PICKLE
@SEED
@AS_JSON
@click.option(
    "--out", type=click.Path(path_type=Path), help="Also write Markdown, CSV and JSON there."
)
def start(name: str, as_json: bool, out: Path | None, **options: Any) -> None:
    """From nothing to a first token: fresh processes whose kernels are not compiled yet.

    NAME is as for `mom-eval bench model`, which also looks whether it is right.
    """
    from mom_eval.evalsuite.bench.start import bench_start
    from mom_eval.results.bench_start import as_json as in_json
    from mom_eval.results.bench_start import markdown, write

    found = bench_start(name, **options, say=_say)
    click.echo(in_json(found) if as_json else markdown(found))
    _wrote(write(found, out) if out else [])
