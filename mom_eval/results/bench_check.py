"""Errors of the op's variants beside float64 -> table, CSV, JSON, files."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from mom_eval.errors import SettingError
from mom_eval.results.bench import or_null
from mom_eval.results.markdown import escaped, grid
from mom_eval.results.table import as_csv

SCHEMA: Final = 2
GATES: Final = {"g": 0.75, "beta": 0.75}
"""How much the error of a gate's gradient counts: it is a difference, and may be larger."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One variant at one size, type and kind of inputs, forward or its gradients."""

    op: str
    what: str
    """forward or gradients."""
    K: int
    V: int
    dtype: str
    inputs: str
    errors: dict[str, float]
    """Relative root mean square errors: of the reads `o` and the states, in the worst segment; or
    of the gradients of q, k, v, g, beta and state over all of them."""
    bound: float
    """The largest that is rounding."""
    repeats: bool
    """Is a second run the same, bit by bit?"""

    @property
    def error(self) -> float:
        """The largest of them, as the bound counts; what is no number is infinite."""
        gates = GATES if self.what == "gradients" else {}
        return max(error * gates.get(name, 1.0) for name, error in self.errors.items())

    @property
    def right(self) -> bool:
        """Within the bound and repeatable; what is no number is within no bound."""
        return self.error <= self.bound and self.repeats


@dataclass(frozen=True, kw_only=True)
class Check:
    """All that was compared."""

    rows: list[Checked]
    about: dict[str, Any]
    """device, dtype, kernels, seed, versions, command, lengths."""

    def verify(self) -> None:
        """Pass where everything is right.

        Raises:
            SettingError: something is wrong; the sentence names the worst.
        """
        wrong = [row for row in self.rows if not row.right]
        if wrong:
            worst = max(wrong, key=lambda row: row.error / row.bound)
            raise SettingError(
                f"{len(wrong)} of {len(self.rows)} cases are wrong on this machine, the worst"
                f" {worst.op} at K = {worst.K}, V = {worst.V} in {worst.dtype}, {worst.what}"
                f" ({worst.inputs}):"
                f" relative error {worst.error:.1e}, at most {worst.bound:.1e} is rounding;"
                " --kernels torch does without these kernels"
            )


def markdown(check: Check) -> str:
    """A line a variant, size and type; a column a kind of inputs."""
    about = check.about
    details = [
        about["device"],
        f"kernels {about['kernels']}",
        *(f"{package} {about['versions'][package]}" for package in ("torch", "triton")),
    ]
    lengths = ", ".join(f"{length:,}" for length in about["lengths"])
    notes = (
        f"- Segments of {lengths} tokens (the last with mild inputs only). The error is relative:"
        " forward of the worst segment, of reads or of states; of gradients that of the worst"
        " input. A gate's gradient is what is read less what is written: its error counts three"
        " quarters, and relative to a thousandth of k's gradient at least.",
        "- mild: g to -0.2, beta to 1. alike: keys of correlation .9, beta .9 to 1, g 0 to -50."
        " beta to 2: next to no decay. *: a second run gave other bits.",
    )
    return "\n\n".join(
        (
            "## The recurrence beside float64",
            escaped(", ".join(details)),
            _table(check),
            "\n".join(notes) + "\n",
        )
    )


def _table(check: Check) -> str:
    kinds = list(dict.fromkeys(row.inputs for row in check.rows))
    cases = {(row.op, row.K, row.V, row.dtype, row.what): row.bound for row in check.rows}
    found = {(row.op, row.K, row.V, row.dtype, row.what, row.inputs): row for row in check.rows}
    lines = []
    for case, bound in cases.items():
        some = [found.get((*case, kind)) for kind in kinds]
        errors = ["-" if row is None else _shown(row) for row in some]
        right = all(row.right for row in some if row is not None)
        op, K, V, dtype, what = case
        lines.append(
            [op, what, f"{K} x {V}", dtype, *errors, f"{bound:.1e}", "right" if right else "WRONG"]
        )
    return grid(["Op", "", "K x V", "Type", *kinds, "Bound", ""], lines)


def _shown(row: Checked) -> str:
    return f"{row.error:.1e}" + ("" if row.repeats else "*")


def as_json(check: Check) -> str:
    """All of it as text."""
    record = {"schema": SCHEMA, "kind": "check", **check.about, "rows": _records(check)}
    return json.dumps(record, indent=1, ensure_ascii=False)


def csv(check: Check) -> str:
    """One line a case."""
    return as_csv(_records(check))


def _records(check: Check) -> list[dict[str, Any]]:
    """A row each, with a column for the error of everything that any of them has."""
    names = dict.fromkeys(name for row in check.rows for name in row.errors)
    out = []
    for row in check.rows:
        errors = {f"error_{name}": or_null(row.errors.get(name)) for name in names}
        fields = {name: value for name, value in asdict(row).items() if name != "errors"}
        out.append(fields | errors | {"right": row.right})
    return out


def write(check: Check, out: Path) -> list[Path]:
    """Write `check.md`, `check.csv` and `check.json`; returns the files.

    Raises:
        RunError: the folder cannot be written.
    """
    from mom_eval.results.plot_files import write_report

    texts = {
        "check.md": markdown(check).rstrip("\n"),
        "check.csv": csv(check).rstrip("\n"),
        "check.json": as_json(check),
    }
    return write_report(texts, {}, out)
