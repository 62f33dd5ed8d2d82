"""Published results, to be read beside ours and never mixed with them.

Mixture-of-Memories, arXiv 2502.13685, Table 2: recall with inputs of at most 2K tokens.
"""

from typing import Final, NamedTuple

from mom_eval.results import TASK_NAMES


class Published(NamedTuple):
    """One row of a paper's table; the scores are `contains` in percent, without intervals."""

    model: str
    scale: str
    """Parameters / training tokens."""
    open_weights: bool
    """Whether the paper evaluated weights that others had published."""
    scores: dict[str, float]
    average: float
    """As printed, over all six tasks."""


class Publication(NamedTuple):
    """A table of a paper."""

    source: str
    rows: tuple[Published, ...]


def _row(model: str, scale: str, scores: tuple[float, ...], average: float) -> Published:
    name = model.removesuffix(" +")
    return Published(
        name, scale, name != model, dict(zip(TASK_NAMES, scores, strict=True)), average
    )


_SMALL, _LARGE = "380M/15B", "1.3B/100B"

# fmt: off
MOM_PAPER: Final = (
    _row("Transformer++", _SMALL, (46.14, 25.87, 33.22, 18.94, 45.97, 20.03), 31.70),
    _row("RetNet", _SMALL, (5.90, 9.28, 22.41, 6.91, 40.05, 18.59), 17.19),
    _row("HGRN2", _SMALL, (11.53, 17.34, 24.08, 12.67, 43.84, 17.35), 21.14),
    _row("GLA", _SMALL, (11.26, 16.78, 27.85, 12.77, 43.90, 17.68), 21.71),
    _row("GSA", _SMALL, (6.36, 16.87, 21.90, 14.60, 42.18, 16.72), 19.77),
    _row("Gated DeltaNet", _SMALL, (20.53, 23.24, 28.55, 14.98, 44.91, 16.48), 24.78),
    _row("MoM", _SMALL, (22.98, 29.90, 29.69, 16.60, 48.82, 20.99), 28.16),
    _row("Transformer++ +", _LARGE, (44.32, 32.43, 42.59, 24.49, 58.47, 21.56), 37.31),
    _row("RetNet +", _LARGE, (13.62, 22.59, 33.46, 15.43, 53.79, 19.79), 26.45),
    _row("HGRN2 +", _LARGE, (12.35, 23.24, 33.19, 19.10, 55.27, 19.65), 27.13),
    _row("GLA +", _LARGE, (27.61, 30.93, 35.04, 22.27, 56.28, 19.45), 31.93),
    _row("GSA +", _LARGE, (23.25, 32.80, 35.57, 22.96, 57.05, 20.65), 32.05),
    _row("Gated DeltaNet", _LARGE, (30.25, 27.65, 34.06, 23.22, 58.23, 20.36), 32.30),
    _row("MoM", _LARGE, (41.14, 34.30, 37.08, 24.11, 58.59, 21.03), 36.04),
)
# fmt: on

PUBLICATIONS: Final = {
    "mom-paper": Publication("MoM paper, arXiv 2502.13685, Table 2", MOM_PAPER),
}
