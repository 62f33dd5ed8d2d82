"""What a benchmark measured -> table, CSV, JSON, files: our time beside a peer's and the floor."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from mom_eval.results.markdown import escaped, grid, one_line
from mom_eval.results.table import as_csv

SCHEMA: Final = 1
DASH: Final = "-"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One side's time of one piece of work; without a time, `note` says why."""

    ms: float | None = None
    """Median of warm calls."""
    first_s: float | None = None
    """Seconds of the first call, with whatever was compiled for it."""
    peak_bytes: int | None = None
    """Most memory held during a call, weights and inputs included."""
    error: float | None = None
    """Relative, of the result, where it was compared."""
    note: str = ""

    @property
    def shown(self) -> str:
        """The time, or in a few words why there is none."""
        return shown(self.ms, self.note)


class Launched(NamedTuple):
    """A kernel of one call."""

    kernel: str
    """Its name, as the device's profiler has it; copies are some too."""
    launches: int
    ms: float
    """Of all launches together."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One piece of work."""

    work: str
    """Name of the op's variant, or of the model."""
    what: str = ""
    """A word on it."""
    phase: str
    """op; prefill or decode; forward or train."""
    batch: int
    length: int
    """Tokens of each sequence: read in the call, or in decoding read before it."""
    heads: int | None = None
    key: int | None = None
    """Heads and width of the keys of an op."""
    tokens: int
    """That the call reads or writes."""
    ours: Measured
    peer: Measured | None = None
    floor_ms: float
    launched: tuple[Launched, ...] = ()
    """By our call, what takes longest first; none where nothing says."""

    @property
    def serial_ms(self) -> float | None:
        """Sum over the kernels that our call launches; None where nothing says."""
        return sum(kernel.ms for kernel in self.launched) if self.launched else None

    @property
    def tokens_per_second(self) -> float | None:
        """Ours."""
        return 1e3 * self.tokens / self.ours.ms if self.ours.ms else None

    @property
    def peer_ratio(self) -> float | None:
        """The peer's time over ours: above 1 we are faster."""
        if self.peer is None or self.peer.ms is None or not self.ours.ms:
            return None
        return self.peer.ms / self.ours.ms

    @property
    def floor_ratio(self) -> float | None:
        """Our time over the floor."""
        return self.ours.ms / self.floor_ms if self.ours.ms else None

    @property
    def size(self) -> str:
        """`8 x 2,048`, and of an op its heads and their width behind that."""
        sizes = [self.batch, self.length, self.heads, self.key]
        return size_text(*(size for size in sizes if size is not None))

    def line(self) -> str:
        """For whoever waits."""
        place = self.size if self.phase == "op" else f"{self.phase} {self.size}"
        peer = f", peer {with_unit(self.peer)}" if self.peer is not None else ""
        return f"{self.work} {place}: {with_unit(self.ours)}{peer}"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """All that one command measured."""

    kind: str
    """op, model or train."""
    rows: list[Row]
    peer: str | None
    """Whose times stand beside ours."""
    rates: dict[str, float]
    """`flops` and `bytes` a second, as measured."""
    about: dict[str, Any]
    """device, dtype, kernels, seed, versions, command."""
    notes: list[str] = field(default_factory=list)


def milliseconds(ms: float) -> str:
    """Three digits: `0.0712`, `12.3`, `4,560`."""
    decimals = 0 if ms >= 100 else 1 if ms >= 10 else 2 if ms >= 1 else 3 if ms >= 0.1 else 4
    return f"{ms:,.{decimals}f}"


def shown(ms: float | None, note: str) -> str:
    """A time, or in a few words why there is none."""
    return note.split(":")[0] if ms is None else milliseconds(ms)


def size_text(*sizes: float) -> str:
    """`8 x 2,048`."""
    return " x ".join(f"{size:,.0f}" for size in sizes)


def with_unit(side: Measured) -> str:
    """`12.3 ms`, or why there is no time."""
    return side.shown if side.ms is None else f"{side.shown} ms"


_WHAT = {
    "op": "One forward pass of the recurrence",
    "model": "Prefill and decoding",
    "train": "Steps of training",
}


_PACKAGE = {"fla": "flash-linear-attention", "hf": "transformers"}
"""Peer -> where it is from."""


def on_cpu(about: Mapping[str, Any]) -> bool:
    """Was this line measured on a CPU?"""
    return "CPU" in about["device"]


def heading(about: Mapping[str, Any]) -> list[str]:
    """What was timed, of a line, then on what."""
    peer = "torch: our models without Triton's kernels"
    return [
        _WHAT[about["kind"]],
        about["device"],
        about["dtype"],
        f"kernels {about['kernels']}",
        *(["random weights"] if about["random_weights"] else []),
        about["versions"],
        *([peer] if about["peer"] == "torch" else []),
    ]


def _about(bench: Bench) -> dict[str, Any]:
    """What all lines have in common."""
    about = bench.about
    packages = ["torch", *([] if on_cpu(about) else ["triton"])]
    packages += [_PACKAGE[bench.peer]] if bench.peer in _PACKAGE else []
    return {
        "kind": bench.kind,
        **{name: about[name] for name in ("device", "dtype", "kernels")},
        "random_weights": about.get("random_weights", False),
        "versions": ", ".join(f"{package} {about['versions'][package]}" for package in packages),
        "peer": bench.peer,
    }


def lines(bench: Bench) -> list[dict[str, Any]]:
    """A line a piece of work; times in milliseconds, first calls in seconds."""
    return [_about(bench) | _flat(row) for row in bench.rows]


def markdown(bench: Bench) -> str:
    """Heading, table, notes."""
    what, *details = heading(_about(bench))
    columns = {name: cell for name, cell in _columns(bench).items() if _says(cell, bench.rows)}
    cells = [[cell(row) for cell in columns.values()] for row in bench.rows]
    parts = [
        f"## {escaped(what)}",
        escaped(", ".join(details)),
        grid(list(columns), cells),
        "\n".join(f"- {note}" for note in [*map(escaped, bench.notes), *_notes(bench)]),
    ]
    return "\n\n".join(parts) + "\n"


def _columns(bench: Bench) -> dict[str, Callable[[Row], str]]:
    peer = bench.peer
    op: dict[str, Callable[[Row], str]] = {
        "Op": lambda row: f"{row.work} ({row.what})",
        "B x T x H x K": lambda row: row.size,
    }
    model: dict[str, Callable[[Row], str]] = {
        "Model": lambda row: row.work,
        "Work": lambda row: row.phase,
        "Batch": lambda row: f"{row.batch:,}",
        "Tokens": lambda row: f"{row.length:,}",
    }
    both: dict[str, Callable[[Row], str]] = {
        "ms": lambda row: row.ours.shown,
        "Tokens/s": lambda row: _number(row.tokens_per_second, ",.0f"),
        f"{peer}, ms": lambda row: row.peer.shown if row.peer else DASH,
        f"{peer} / ours": lambda row: _number(row.peer_ratio, ",.2f"),
        "Floor, ms": lambda row: milliseconds(row.floor_ms),
        "Ours / floor": lambda row: _number(row.floor_ratio, ",.1f"),
        "Kernels, ms": lambda row: DASH if row.serial_ms is None else milliseconds(row.serial_ms),
        "Peak, MiB": lambda row: _mebibytes(row.ours),
        f"{peer}, MiB": lambda row: _mebibytes(row.peer),
        "First call, s": lambda row: _number(row.ours.first_s, ",.2f"),
        f"{peer}, s": lambda row: _number(row.peer.first_s if row.peer else None, ",.2f"),
        "Error": lambda row: _number(row.ours.error, ".1e"),
        f"Error of {peer}": lambda row: _number(row.peer.error if row.peer else None, ".1e"),
    }
    return (op if bench.kind == "op" else model) | both


def _says(cell: Callable[[Row], str], rows: Sequence[Row]) -> bool:
    """Does a column say anything at all?"""
    return any(cell(row) != DASH for row in rows)


def _number(value: float | None, form: str) -> str:
    return DASH if value is None else f"{value:{form}}"


def _mebibytes(side: Measured | None) -> str:
    return DASH if side is None or side.peak_bytes is None else f"{side.peak_bytes / 2**20:,.0f}"


def _notes(bench: Bench) -> list[str]:
    flops, moved = bench.rates["flops"] / 1e12, bench.rates["bytes"] / 1e12
    notes = [
        "ms: median of warm calls, in one process; First call: with whatever was compiled for it.",
        f"Floor: FLOPs at {flops:,.3g} TFLOP/s or compulsory bytes at {moved:,.3g} TB/s, the larger"
        " time; both rates measured here, by a large product and a large copy.",
    ]
    if any(row.serial_ms is not None for row in bench.rows):
        notes.append(
            "Kernels: the sum over all that a call launches, one after the other; which they are is"
            " in bench-kernels.csv of --out."
        )
    if any(row.ours.peak_bytes is not None for row in bench.rows):
        held = "the whole process" if on_cpu(bench.about) else "weights and inputs"
        notes.append(f"Peak: most memory held during a call, {held} included.")
    if any(row.phase == "decode" for row in bench.rows):
        notes.append("decode: one token more in each sequence, behind that many tokens.")
    if bench.kind == "train":
        notes.append(
            "forward: the loss, with all that its gradients need; train: that and the gradients,"
            " without an optimizer, whose FLOPs are three times forward's."
        )
    if any(row.ours.error is not None for row in bench.rows):
        notes.append(
            "Error: against float64, relative, where the first and the last sequence begin."
        )
    sides = [side for row in bench.rows for side in (row.ours, row.peer) if side is not None]
    said = dict.fromkeys(side.note for side in sides if ":" in side.note)
    return [*notes, *map(escaped, said)]


def _flat(row: Row) -> dict[str, Any]:
    sides = {"": row.ours, "peer_": row.peer or Measured()}
    record = {name: value for name, value in asdict(row).items() if not isinstance(value, dict)} | {
        "work": one_line(row.work)
    }
    for name in ("peer", "launched"):
        record.pop(name, None)
    for prefix, side in sides.items():
        record |= {f"{prefix}{name}": value for name, value in asdict(side).items()}
    return record | {
        "serial_ms": row.serial_ms,
        "tokens_per_second": row.tokens_per_second,
        "peer_over_ours": row.peer_ratio,
        "ours_over_floor": row.floor_ratio,
    }


def record(bench: Bench) -> dict[str, Any]:
    """All of it as plain values."""
    about = {"schema": SCHEMA, "kind": bench.kind, "peer": bench.peer, **bench.about}
    rows = [{name: or_null(value) for name, value in _flat(row).items()} for row in bench.rows]
    return about | {"rates": bench.rates, "notes": bench.notes, "rows": rows}


def or_null(value: Any) -> Any:
    """None for what is no number, which JSON has no word for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(bench: Bench) -> str:
    """The record as text."""
    return json.dumps(record(bench), indent=1, ensure_ascii=False)


def kernel_lines(bench: Bench) -> list[dict[str, Any]]:
    """A line a kernel that our calls launch, what takes longest first."""
    places = ("work", "phase", "batch", "length")
    return [
        {name: getattr(row, name) for name in places} | kernel._asdict()
        for row in bench.rows
        for kernel in row.launched
    ]


def write(bench: Bench, out: Path) -> list[Path]:
    """Write `bench.md`, `bench.csv`, `bench.json` and the plots; returns the files.

    And `bench-kernels.csv`, where the profiler has seen kernels.

    Raises:
        RunError: the folder cannot be written.
    """
    from mom_eval.results.frames import as_frame
    from mom_eval.results.plot_bench import figures
    from mom_eval.results.plot_files import write_report

    found = lines(bench)
    texts = {
        "bench.md": markdown(bench).rstrip("\n"),
        "bench.csv": as_csv(found).rstrip("\n"),
        "bench.json": as_json(bench),
    }
    if kernels := kernel_lines(bench):
        texts["bench-kernels.csv"] = as_csv(kernels).rstrip("\n")
    return write_report(texts, figures(as_frame(found)), out)
