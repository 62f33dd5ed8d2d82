"""docs/cli.md out of what every command says of itself.

    python scripts/cli_docs.py            # writes it
    python scripts/cli_docs.py --check    # exits 1 where the file says something else

A test does the second. Widths are fixed, so that a terminal does not show in the file.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from mom_eval.cli import main

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
WIDTH = 100
HEAD = """# Commands

What `--help` prints, written by `python scripts/cli_docs.py`: change the command, not the file.
"""


def commands(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """The words that call each command, groups before their own, and its help."""
    settings = {"terminal_width": WIDTH, "max_content_width": WIDTH} | command.context_settings
    context = click.Context(command, parent=parent, info_name=name, **settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for key in command.list_commands(context):
            below = command.get_command(context, key)
            assert below is not None
            yield from commands(below, key, context)


def page() -> str:
    """The whole file."""
    parts = [f"## {path}\n\n```\n{text}\n```\n" for path, text in commands(main, "mom-eval")]
    return "\n".join([HEAD, *parts])


def run(arguments: list[str]) -> int:
    """Write the file, or with `--check` compare it; returns the exit status."""
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text("utf-8") == page():
            return 0
        print("docs/cli.md is not what --help says: run `python scripts/cli_docs.py`")
        return 1
    PAGE.write_text(page(), "utf-8")
    print(f"wrote docs/{PAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
