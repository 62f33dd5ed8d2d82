"""What `mom-eval routing --out` and `mom-eval bench model --out` left beside the runs."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from mom_eval.errors import RunError
from mom_eval.results.report.cards import Card

ROUTING, BENCH = "routing.json", "bench.json"


class Beside:
    """Routing and speed of models, read from files in the folders of the runs."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Read every `routing.json` and `bench.json` in the folders or directly below them.

        Raises:
            RunError: one of them is not what those commands write.
        """
        folders = [folder for path in paths for folder in (path, *sorted(path.glob("*/")))]
        self._routing = [_read(file, _routing) for file in _files(folders, ROUTING)]
        self._benches = [_read(file, _bench) for file in _files(folders, BENCH)]

    def of(self, card: Card) -> dict[str, Any]:
        """A model's routing, told by its weights, and its speeds, told by its name."""
        routing = [one for one in self._routing if one["weights"] == card.identity.weights]
        speeds = [row for rows in self._benches for row in rows if row["name"] == card.name]
        return {"routing": routing, "speeds": speeds}


def _files(folders: Iterable[Path], name: str) -> Iterator[Path]:
    return (folder / name for folder in folders if (folder / name).is_file())


def _read(path: Path, take: Callable[[Any], Any]) -> Any:
    try:
        return take(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        command = "routing" if path.name == ROUTING else "bench model"
        raise RunError(
            f"{path} is not what `mom-eval {command} --out` writes ({type(error).__name__}:"
            f" {error}); make it again or take it out of the folder"
        ) from None


def _routing(record: Any) -> dict[str, Any]:
    kinds = record["kinds"]
    return {
        "weights": record["model"]["weights_sha256"],
        "tasks": list(record["tasks"]),
        "questions": record["questions"],
        "kinds": dict(kinds),
        "layers": [
            {
                "layer": layer["layer"],
                "top_k": layer["top_k"],
                "load": [_ends(one) for one in layer["load"]],
                "load_entropy": layer["load_entropy_bits"],
                "router_entropy": _ends(layer["router_entropy_bits"]),
                "changes": _ends(layer["set_changes"]),
                "chance": layer["set_changes"]["chance"],
                "lifts": {
                    kind: [one and _ends(one) for one in layer["kinds"][kind]["over_chance"]]
                    for kind in kinds
                },
            }
            for layer in record["layers"]
        ],
    }


def _ends(one: Any) -> list[float | None]:
    return [one["value"], one["low"], one["high"]]


def _bench(record: Any) -> list[dict[str, Any]]:
    if record["kind"] != "model":
        return []
    return [
        {
            "name": row["work"],
            "phase": row["phase"],
            "batch": row["batch"],
            "length": row["length"],
            "tokens_per_second": row["tokens_per_second"],
            "device": record["device"],
            "dtype": record["dtype"],
        }
        for row in record["rows"]
    ]
