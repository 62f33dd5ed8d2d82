"""mom-eval: how well a model recalls what stands in a document, how sure that is, what it costs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mom_eval.evalsuite.evaluate import evaluate
    from mom_eval.results.frames import load_leaderboard, load_runs

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "load_leaderboard", "load_runs"]


def __getattr__(name: str) -> Any:
    """Load what is named when it is first used: `import mom_eval` alone stays light (PEP 562)."""
    if name == "evaluate":
        from mom_eval.evalsuite.evaluate import evaluate

        return evaluate
    if name in ("load_leaderboard", "load_runs"):
        from mom_eval.results import frames

        return getattr(frames, name)
    raise AttributeError(f"module 'mom_eval' has no attribute {name!r}")
