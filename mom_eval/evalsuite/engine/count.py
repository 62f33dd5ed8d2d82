"""How many tokens went through a model."""

from dataclasses import asdict, dataclass


@dataclass
class TokenCount:
    """What answering cost, as `run.json` holds it."""

    read: int = 0
    """Of prompts."""
    unshared: int = 0
    """What `read` would be if every different prompt were read by itself."""
    written: int = 0
    scored: int = 0

    def on_top_of(self, before: dict[str, int]) -> dict[str, int]:
        """As plain values, added to those of an earlier part of the run, where there was one."""
        return {name: value + before.get(name, 0) for name, value in asdict(self).items()}
