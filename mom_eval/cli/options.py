"""Kinds of options, options that several commands share, and how a listing is printed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


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
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"{value!r} is neither a number from 1 on nor auto", param, ctx)
        return int(value)


TOKENIZER = click.option(
    "--tokenizer",
    metavar="T",
    help="Hub id, folder, .gguf, or a name of one that ships, where the model brings none.",
)
TOKENIZERS = click.option(
    "--tokenizer",
    "tokenizers",
    multiple=True,
    metavar="T",
    help="A model's, to build its prompts as it read them; repeatable.",
)
DEVICE = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ..."
)
DTYPE = click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
)
KERNELS = click.option(
    "--kernels",
    type=click.Choice(["auto", "torch", "triton"]),
    default="auto",
    show_default=True,
    help="Of our own models: Triton where it can run, or as told.",
)
ALLOW_PICKLE = click.option("--allow-pickle", is_flag=True, help="Read weights that are a pickle.")
PROTOCOL = click.option(
    "--protocol",
    type=click.Choice(["paper", "full"]),
    default="paper",
    show_default=True,
    help="Document cut around the answer, or whole.",
)
DATA = click.option(
    "--data",
    metavar="DIR|hub|sample",
    help="Where questions come from.  [default: prepared data, else the sample]",
)
DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Folder of prepared data.  [default: $MOM_EVAL_DATA, else the user's cache]",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def show(rows: list[dict[str, Any]], as_json: bool, line: Callable[[dict[str, Any]], str]) -> None:
    """A listing, as lines or as JSON."""
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for row in rows:
        click.echo(line(row))
