"""The checkpoints that ship with the package: small, trained on real text, a folder each.

A folder holds what `mom_eval.models.load` and a tokenizer need, and is called what its model is
called: `mom-gated-deltanet-2m`. `--model` takes these names everywhere.
"""

from pathlib import Path

FOLDER = Path(__file__).parent


def shipped() -> dict[str, Path]:
    """Name -> folder of every checkpoint that ships, by name; empty where none does."""
    return {path.parent.name: path.parent for path in sorted(FOLDER.glob("*/config.json"))}
