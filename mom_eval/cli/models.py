"""`mom-eval models`: our own models, and what a checkpoint is."""

import json
from typing import Any

import click

from mom_eval.cli.options import ALLOW_PICKLE, AS_JSON, show


@click.group(invoke_without_command=True)
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
@ALLOW_PICKLE
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
