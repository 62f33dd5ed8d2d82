"""What a router did, layer by layer: counts -> shares with intervals, table, JSON, files."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mom_eval.results.markdown import escaped, grid, shown
from mom_eval.results.statistics import Interval, lift, ratio, share_of

SCHEMA: Final = 1
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LayerCounts:
    """What was counted in one layer, by document: G documents, M memories, K kinds of tokens."""

    top_k: int
    """Memories a token."""
    tokens: Floats
    """[G]."""
    chosen: Floats
    """[G, M], tokens that chose the memory: they sum to top_k times `tokens`."""
    entropy: Floats
    """[G], summed over tokens: of the router's probabilities over the memories, in bits."""
    steps: Floats
    """[G], pairs of a token and the next one of its prompt."""
    changes: Floats
    """[G], steps between different sets of memories."""
    sets: Counter[tuple[int, ...]]
    """Set of memories -> tokens that chose it."""
    of_kind: Floats
    """[G, K], tokens of each kind."""
    chosen_of_kind: Floats
    """[G, K, M]."""


@dataclass(frozen=True, kw_only=True)
class Routing:
    """The counts of one model."""

    about: dict[str, Any]
    """Model, tokenizer, data and setting; `label` and `data.source` are shown."""
    details: tuple[str, ...]
    """What was read, in words."""
    questions: int
    kinds: dict[str, str]
    """Kind of tokens -> what they have."""
    layers: dict[int, LayerCounts]

    @property
    def synthetic(self) -> bool:
        """Whether the documents are the embedded sample."""
        return self.about["data"]["source"] == "sample"


class Layer(NamedTuple):
    """One layer's routing in numbers; every interval is over documents."""

    load: list[Interval]
    """Share of all choices that each memory has; they sum to 1."""
    load_entropy: float
    """Of the load, in bits: log2 M where all memories are chosen alike."""
    router_entropy: Interval
    """Mean over tokens of the entropy of the router's probabilities, in bits."""
    changes: Interval
    """Share of steps to another set of memories."""
    chance: float
    """The same, if every token drew its set by how often the sets are chosen."""
    lifts: list[list[Interval | None]]
    """[M][K], share of a kind's choices over the load: 1 is chance; None where there are none."""


def summary(counts: LayerCounts) -> Layer:
    """Counts -> shares, entropies and intervals."""
    documents = [str(place) for place in range(len(counts.tokens))]
    slots = counts.top_k * counts.tokens
    load = [share_of(chosen, slots) for chosen in counts.chosen.T]
    shares = np.array([one.value for one in load])
    known = shares[shares > 0]
    sets = np.array(list(counts.sets.values())) / counts.sets.total()
    lifts = [
        [
            lift(some[:, m], counts.top_k * kind, chosen, slots)
            if kind.sum() and chosen.sum()
            else None
            for some, kind in zip(
                counts.chosen_of_kind.transpose(1, 0, 2), counts.of_kind.T, strict=True
            )
        ]
        for m, chosen in enumerate(counts.chosen.T)
    ]
    return Layer(
        load=load,
        load_entropy=float(-(known * np.log2(known)).sum()),
        router_entropy=ratio(counts.entropy, counts.tokens, documents),
        changes=share_of(counts.changes, counts.steps),
        chance=float(1 - (sets**2).sum()),
        lifts=lifts,
    )


def heading(found: Routing) -> list[str]:
    """What was looked at: the model, then what it read."""
    one = next(iter(found.layers.values()))
    tokens, documents = int(one.tokens.sum()), len(one.tokens)
    return [
        f"Routing of {found.about['label']}",
        *found.details,
        f"{found.questions:,} questions on {documents:,} documents",
        f"{tokens:,} tokens",
        f"{one.top_k} of {one.chosen.shape[1]} memories a token",
    ]


def markdown(found: Routing) -> str:
    """Two tables: each layer's balance, and what kinds of tokens each memory takes."""
    what, *details = heading(found)
    layers = {index: summary(counts) for index, counts in found.layers.items()}
    memories = max(len(layer.load) for layer in layers.values())
    head = ["Layer", *(f"m{m}, %" for m in range(memories))]
    head += [f"load, bits of {np.log2(memories):.2f}", "router, bits", "set changes, %", "chance"]
    balance = [
        [
            str(index),
            *(f"{100 * one.value:.1f}" for one in layer.load),
            f"{layer.load_entropy:.2f}",
            f"{layer.router_entropy.value:.2f}",
            shown(layer.changes, 100, 1),
            f"{100 * layer.chance:.1f}",
        ]
        for index, layer in layers.items()
    ]
    kinds = [
        [f"{index}.m{m}", *(shown(one, 1, 2) for one in row)]
        for index, layer in layers.items()
        for m, row in enumerate(layer.lifts)
    ]
    warning = ["SYNTHETIC SAMPLE, not the real tasks"] if found.synthetic else []
    return "\n\n".join(
        (
            f"## {escaped(what)}",
            escaped(", ".join([*warning, *details])),
            grid(head, balance),
            "Share of a kind's tokens that each memory takes, over its share of all (1 is chance):",
            grid(["Layer.memory", *found.kinds], kinds),
            "\n".join(f"- {kind}: {words}" for kind, words in found.kinds.items()),
        )
    )


def record(found: Routing) -> dict[str, Any]:
    """Everything as plain values; what is not known is None."""
    return {
        "schema": SCHEMA,
        **found.about,
        "questions": found.questions,
        "kinds": found.kinds,
        "layers": [_layer_record(index, found, counts) for index, counts in found.layers.items()],
    }


def _layer_record(index: int, found: Routing, counts: LayerCounts) -> dict[str, Any]:
    layer = summary(counts)
    return {
        "layer": index,
        "memories": len(layer.load),
        "top_k": counts.top_k,
        "documents": len(counts.tokens),
        "tokens": int(counts.tokens.sum()),
        "load": [_record(one) for one in layer.load],
        "load_entropy_bits": layer.load_entropy,
        "router_entropy_bits": _record(layer.router_entropy),
        "set_changes": _record(layer.changes) | {"chance": layer.chance},
        "kinds": {
            kind: {
                "tokens": int(counts.of_kind[:, place].sum()),
                "over_chance": [one and _record(one) for one in lifts],
            }
            for place, (kind, lifts) in enumerate(
                zip(found.kinds, zip(*layer.lifts, strict=True), strict=True)
            )
        },
    }


def as_json(found: Routing) -> str:
    """The record as text."""
    return json.dumps(record(found), indent=1, ensure_ascii=False)


def write(found: Routing, out: Path) -> list[Path]:
    """Write `routing.json`, `routing.png` and `routing.svg`; returns the files.

    Raises:
        RunError: the folder cannot be written.
    """
    from mom_eval.results.plot_files import write_report
    from mom_eval.results.plot_routing import routing_figure

    texts = {"routing.json": as_json(found)}
    return write_report(texts, {"routing": routing_figure(found)}, out)


def _record(value: Interval) -> dict[str, float | None]:
    return {"value": value.value, "low": value.low, "high": value.high}
