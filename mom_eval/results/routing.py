"""What a router did, layer by layer: counts -> shares with intervals, table, CSV, JSON, files."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mom_eval.results.markdown import escaped, grid, shown
from mom_eval.results.statistics import Interval, lift, ratio, share_of
from mom_eval.results.table import as_csv, columns_of

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


def heading(about: Mapping[str, Any]) -> list[str]:
    """What was looked at, of a line: the model, then what it read."""
    return [
        f"Routing of {about['label']}",
        about["details"],
        f"{about['questions']:,} questions on {about['documents']:,} documents",
        f"{about['tokens']:,} tokens",
        f"{about['top_k']} of {about['memories']} memories a token",
    ]


def lines(found: Routing) -> list[dict[str, Any]]:
    """A line a layer, memory and kind of tokens. Shares are from 0 to 1; what is not known is None.

    What is said of a layer stands in all its lines, and a memory's load in all of the memory's.
    """
    return [
        line
        for index, counts in found.layers.items()
        for line in _layer_lines(found, index, counts)
    ]


def _about(found: Routing) -> dict[str, Any]:
    return {
        "label": found.about["label"],
        "synthetic": found.synthetic,
        "details": ", ".join(found.details),
        "questions": found.questions,
    }


def _layer_about(index: int, counts: LayerCounts) -> dict[str, Any]:
    return {
        "layer": index,
        "memories": counts.chosen.shape[1],
        "top_k": counts.top_k,
        "documents": len(counts.tokens),
        "tokens": int(counts.tokens.sum()),
    }


def _layer_lines(found: Routing, index: int, counts: LayerCounts) -> Iterator[dict[str, Any]]:
    layer = summary(counts)
    about = {
        **_about(found),
        **_layer_about(index, counts),
        "load_entropy_bits": layer.load_entropy,
        **columns_of("router_entropy_bits", layer.router_entropy),
        **columns_of("set_changes", layer.changes),
        "chance": layer.chance,
    }
    sizes = counts.of_kind.sum(0)
    for memory, (load, lifts) in enumerate(zip(layer.load, layer.lifts, strict=True)):
        for kind, size, over_chance in zip(found.kinds, sizes, lifts, strict=True):
            yield {
                **about,
                "memory": memory,
                **columns_of("load", load),
                "kind": kind,
                "kind_tokens": int(size),
                **columns_of("over_chance", over_chance),
            }


def markdown(found: Routing) -> str:
    """Two tables: each layer's balance, and what kinds of tokens each memory takes."""
    what, *details = heading(_about(found) | _layer_about(*next(iter(found.layers.items()))))
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
        **_layer_about(index, counts),
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
    """Write `routing.csv`, `routing.json`, `routing.png` and `routing.svg`; returns the files.

    Raises:
        RunError: the folder cannot be written.
    """
    from mom_eval.results.frames import as_frame
    from mom_eval.results.plot_files import write_report
    from mom_eval.results.plot_routing import routing_figure

    rows = lines(found)
    texts = {"routing.csv": as_csv(rows).rstrip("\n"), "routing.json": as_json(found)}
    return write_report(texts, {"routing": routing_figure(as_frame(rows))}, out)


def _record(value: Interval) -> dict[str, float | None]:
    return {"value": value.value, "low": value.low, "high": value.high}
