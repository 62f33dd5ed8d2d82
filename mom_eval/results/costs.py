"""What the models of a board cost: counted by their shapes, and measured while they answered."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from mom_eval.results.store import Run


@dataclass(frozen=True, kw_only=True)
class Costs:
    """One row's; None is not known: only our own models are counted, and no row made by code."""

    parameters: int | None = None
    activated: int | None = None
    """Weights that one token uses."""
    state_bytes: int | None = None
    """What a sequence as long as the board's context leaves behind."""
    decode_bytes: int | None = None
    """Read and written for one more token of one such sequence: weights and state."""
    tokens_per_second: float | None = None
    """Read, written and scored, over the whole time of the runs."""
    ran_on: str | None = None

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


COLUMNS: Final = tuple(one.name for one in fields(Costs))


def costs_of(members: Iterable[Run], context_length: int) -> Costs:
    """The costs of the runs that a row is made of; one may be named more than once."""
    runs = list({id(run): run for run in members}.values())
    model = next((run.info["model"] for run in runs if run.info["model"]), {})
    grows = model.get("state_bytes_per_token")
    held = None if grows is None else grows * context_length
    state, decode = model.get("state_bytes"), model.get("decode_bytes")
    seconds = sum(run.info.get("seconds") or 0.0 for run in runs)
    tokens = [tokens_taken(run.info) for run in runs]
    known = [count for count in tokens if count is not None]
    return Costs(
        parameters=model.get("parameters"),
        activated=model.get("activated"),
        state_bytes=None if held is None or state is None else state + held,
        decode_bytes=None if held is None or decode is None else decode + held,
        tokens_per_second=sum(known) / seconds if len(known) == len(runs) and seconds else None,
        ran_on=model.get("ran_on"),
    )


def tokens_taken(info: Mapping[str, Any]) -> int | None:
    """Tokens that a run read, wrote and scored; None where they were not counted."""
    tokens = info.get("tokens")
    return sum(tokens[name] for name in ("read", "written", "scored")) if tokens else None
