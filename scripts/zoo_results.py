"""The tables and plots of results/ out of what the models of configs/zoo answered.

    python scripts/zoo_results.py RUNS --data DIR --out results

RUNS holds a folder for each way of asking, of run folders as `mom-eval run --out` writes them:
paper (with --control blind), full, sample, sample-full (with the control), ablations (asked as in
paper), seeds (more trainings of two small models, likewise), haystack, reseeds (four models that
ship, on the sample of each seed); and mqar, seeds-mqar and routing, with a folder a model as
`mom-eval mqar --out` and `mom-eval routing --out` write it. Models are called as
scripts/zoo_train.py calls them. DIR has the train files beside those that were asked: which answers
are in them decides what counts as never seen. Writes zoo.md, zoo.csv (a line a board, row and task,
but for seeds and reseeds) and plots.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import click
import pandas as pd
import zoo_haystacks
import zoo_seeds
from zoo_tables import by_weights, frame, size_text

from mom_eval.results import table
from mom_eval.results.board import METRICS, Board, Cell, Row
from mom_eval.results.compare import compare
from mom_eval.results.leaderboard import build
from mom_eval.results.markdown import grid
from mom_eval.results.notes import task_name
from mom_eval.results.plot_files import write_figures, write_report
from mom_eval.results.plot_mqar import mqar_figure
from mom_eval.results.plot_pareto import recall_by_cost
from mom_eval.results.plot_scores import scores_by_task
from mom_eval.results.select import selected
from mom_eval.results.sides import Side
from mom_eval.results.statistics import Interval
from mom_eval.results.store import Run, read_runs
from mom_eval.results.table import difference_text, score_text
from mom_eval.tasks import data
from mom_eval.tasks.questions import digest
from mom_eval.tasks.recall import RECALL

GROUPS: Final = {"Trained forms": ("fda", "squad"), "Transfer": ("swde", "nq", "drop")}
"""Tasks whose train files were trained on, and those of which the models saw nothing. TriviaQA's 19
questions are in neither."""
HIGH: Final = 0.8
"""Share of the sample's questions, above which models rank close together."""
SHOWN: Final = ("fda", "squad", "swde", "nq", "drop", "triviaqa")
PAIRS: Final = [
    ("small-mom-gated-deltanet", "small-gated-deltanet", "as many weights"),
    ("seed1-mom-gated-deltanet", "seed1-gated-deltanet", "the same, another seed"),
    (
        "small-mom-gated-deltanet",
        "budgets-gated-deltanet-activated-small",
        "as many weights a token",
    ),
    ("small-mom-gated-deltanet", "budgets-gated-deltanet-state-small", "as many bytes of state"),
    ("medium-mom-gated-deltanet", "medium-gated-deltanet", "as many weights, 8M"),
    ("medium-mom-gated-deltanet", "budgets-gated-deltanet-activated-medium", "a token's, 8M"),
    ("medium-mom-gated-deltanet", "budgets-gated-deltanet-state-medium", "bytes of state, 8M"),
    ("small-mom-gated-deltanet", "small-delta-net", "weights; no decay in the second"),
    ("medium-mom-gated-deltanet", "medium-delta-net", "weights, 8M; no decay in the second"),
    ("small-mom-gla", "small-gla", "over GLA, as many weights"),
    ("medium-mom-gla", "medium-gla", "over GLA, as many weights, 8M"),
    ("small-mom-gated-deltanet", "seed1-mom-gated-deltanet", "two seeds of the MoM"),
    ("small-gated-deltanet", "seed1-gated-deltanet", "two seeds of Gated DeltaNet"),
]
"""What is compared with what, and what the two have in common."""
RUNGS: Final = ("transformer-2m", "mom-gated-deltanet-2m", "gated-deltanet-2m", "linear-attn-2m")
"""Models that ship, as a large sample orders them."""
CONTAINS, BITS = METRICS["contains"], METRICS["bits_per_byte"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("runs", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--data", "folder", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--out", required=True, type=click.Path(path_type=Path))
def main(runs: Path, folder: Path, out: Path) -> None:
    """Write OUT/zoo.md, OUT/zoo.csv and OUT/plots from RUNS."""
    asked = {
        name: read_runs([runs / name])
        for name in ("paper", "full", "sample", "sample-full", "ablations", "haystack")
    }
    mqar, more_mqar, routing = (
        pd.concat([pd.read_csv(file) for file in sorted(runs.glob(f"{name}/*/*.csv"))])
        for name in ("mqar", "seeds-mqar", "routing")
    )
    boards = [board for some in asked.values() for board in build(some)]
    parts = [
        "# What the models of configs/zoo recall",
        "All numbers by scripts/zoo_results.py; what they say is in docs/findings.md. *contains*,"
        " % of questions whose answer occurs in the output, with 95 % intervals clustered by"
        " document; *net*: less what the same model has without the document, on the same"
        " questions; *exact*: % of outputs that are the answer and nothing else, but for articles,"
        " case and signs. Local data are the rebuilt files with the hub's fields, not the hub's"
        " data sets; the models are small and not the paper's.",
        _real("Real tasks, protocol paper, 2,048 tokens", asked["paper"]),
        _real("Real tasks, whole documents", _controlled(asked["full"], asked["paper"])),
        _real("Real tasks, answers that no train file has under that key",
              _unseen(asked["paper"], folder)),
        _differences("protocol paper", asked["paper"]),
        *(
            _differences(f"whole documents, {length:,} tokens", some)
            for length, some in _by_length(asked["full"])
        ),
        zoo_seeds.table(read_runs([runs / "seeds"]), asked["paper"], [more_mqar, mqar]),
        _real("Ablations of the small MoM, protocol paper", _ablations(asked)),
        _routing(routing),
        *zoo_haystacks.tables(build(asked["haystack"])),
        _mqar(mqar),
        _reseeds(build(read_runs([runs / "reseeds"]))),
        _agreement(asked),
        "## Synthetic sample\n\n" + table.markdown(build(asked["sample"])),
        "## Synthetic sample, whole documents\n\n" + table.markdown(_boards(asked["sample-full"])),
    ]  # fmt: skip
    texts = {
        "zoo.md": "\n\n".join(part.strip() for part in parts),
        "zoo.csv": table.csv(boards).strip(),
    }
    write_report(texts, {}, out)
    for path in _draw(asked, mqar, out / "plots"):
        click.echo(f"wrote {path}")


def _boards(runs: Iterable[Run]) -> list[Board]:
    """Those without a control."""
    return [board for board in build(runs) if board.group.control is None]


def _real(title: str, runs: Sequence[Run]) -> str:
    """A table a setting: averages of both groups, what the document adds to them, and tasks."""
    parts = [f"## {title}"]
    for board in _boards(runs):
        counts = {column.key: column for column in board.columns}
        groups = {
            name: _rows_of(runs, board, known)
            for name, tasks in GROUPS.items()
            if (known := [task for task in tasks if task in counts])
        }
        tasks = [task for task in SHOWN if task in counts]
        head = ["Model"]
        for name in groups:
            head += [name, *(["net"] if board.controls else []), "exact", "bits per byte"]
        head += [f"{counts[task].name} ({counts[task].questions})" for task in tasks]
        # By the first group's average.
        order = dict.fromkeys(row.name for rows in groups.values() for row in rows.values())
        rows = sorted(board.rows, key=lambda row: [*order].index(row.name))
        lines = [_line(row, groups, tasks, controlled=bool(board.controls)) for row in rows]
        parts += [board.title + ".", grid([*head, "State"], lines)]
    return "\n\n".join(parts)


def _controlled(whole: Sequence[Run], paper: Iterable[Run]) -> list[Run]:
    """With the control of protocol paper: without a document both protocols ask the same."""
    blind = {run.info["label"]: run for run in paper if run.info["setting"]["control"] == "blind"}
    out = [*whole]
    for run in whole:
        if (control := blind.get(run.info["label"])) is not None:
            setting = run.info["setting"] | {"control": "blind"}
            out.append(Run(control.folder, run.info | {"setting": setting}, control.questions))
    return out


def _rows_of(runs: Iterable[Run], like: Board, tasks: Sequence[str]) -> dict[str, Row]:
    """Name -> row of the board that has these tasks alone."""
    found = [board for board in build(selected(runs, tasks=tasks)) if board.group == like.group]
    return {row.name: row for board in found for row in board.rows}


def _line(
    row: Row, groups: Mapping[str, Mapping[str, Row]], tasks: Sequence[str], *, controlled: bool
) -> list[str]:
    cells = [f"{row.name} (reference)" if row.kind == "reference" else row.name]
    for rows in groups.values():
        average = rows[row.name].average if row.name in rows else Cell()
        cells.append(score_text(average.scores.get("contains"), CONTAINS))
        if controlled:
            cells.append(difference_text(average.net.get("blind"), CONTAINS))
        cells.append(score_text(average.scores.get("exact"), METRICS["exact"]))
        cells.append(score_text(average.scores.get("bits_per_byte"), BITS))
    for task in tasks:
        cell = row.cells.get(task)
        cells.append(score_text(cell and cell.scores.get("contains"), CONTAINS))
    return [*cells, size_text(row.costs.state_bytes)]


def _unseen(runs: Iterable[Run], folder: Path) -> list[Run]:
    """FDA and SQuAD, but for answers that the train file has; of FDA under the same key."""
    source = data.resolve(str(folder))
    seen: dict[str, set[str]] = {}
    for task in GROUPS["Trained forms"]:
        found, of = data.load(task, source, context_length=2048), RECALL[task]
        known = {_plain(row, row["value"]) for row in found.train_rows() or []}
        seen[task] = {
            digest(of.name, of.document(row), of.ask(row), *of.answers(row))
            for row in found.rows
            if {_plain(row, answer) for answer in of.answers(row)} & known
        }
    out = []
    for run in runs:
        questions = {
            # The second question of one hash has it with a number.
            task: [line for line in run.questions.get(task, ()) if line["id"][:12] not in ids]
            for task, ids in seen.items()
        }
        out.append(Run(run.folder, run.info, questions))
    return [run for run in out if any(run.questions.values())]


def _plain(row: Mapping[str, Any], answer: str) -> tuple[str, str]:
    """Questions in words share no key: there the answer alone counts."""
    return row.get("key", "").strip().lower(), answer.strip().lower()


def _differences(title: str, runs: Sequence[Run]) -> str:
    plain = [run for run in runs if run.info["setting"]["control"] is None]
    labels = {run.info["label"] for run in plain}
    compared = [task for tasks in GROUPS.values() for task in tasks]
    lines = []
    for a, b, what in PAIRS:
        if a not in labels or b not in labels:
            continue
        sides = [Side(name, [run for run in plain if run.info["label"] == name]) for name in (a, b)]
        cells = [f"{a} less {b}", what]
        (found,) = compare(*sides)
        by_task = {row.task: row for row in found.tasks}
        for tasks in GROUPS.values():
            # A model that was not asked all of them has no average.
            whole = compare(*sides, tasks=tasks)[0].average if by_task.keys() >= {*tasks} else None
            cells.append(difference_text(whole and whole.difference, CONTAINS))
            cells.append(difference_text(whole and whole.bits, BITS))
        cells += [
            difference_text(by_task[task].difference if task in by_task else None, CONTAINS)
            for task in compared
        ]
        lines.append(cells)
    head = ["Models", "They have in common"]
    for name in GROUPS:
        head += [name, "bits per byte"]
    head += [task_name(task) for task in compared]
    words = (
        "In points of *contains* on the same questions, 95 % intervals clustered by document; bits"
        " per byte of the answer, below 0 the first is better. `mom-eval compare A B` adds"
        " verdicts, adjusted for the number of tasks."
    )
    return f"## Paired differences, {title}\n\n{words}\n\n{grid(head, lines)}"


def _by_length(runs: Iterable[Run]) -> list[tuple[int, list[Run]]]:
    """Runs of a context length each, the longest first."""
    found: dict[int, list[Run]] = {}
    for run in runs:
        found.setdefault(run.info["setting"]["context_length"], []).append(run)
    return sorted(found.items(), reverse=True)


def _ablations(asked: dict[str, list[Run]]) -> list[Run]:
    """With the model that they vary, in both seeds, and no rows made by code."""
    whole = ("small-mom-gated-deltanet", "seed1-mom-gated-deltanet")
    beside = [run for run in asked["paper"] if run.info["label"] in whole]
    own = [run for run in asked["ablations"] if run.info["kind"] != "reference"]
    return [run for run in (*beside, *own) if run.info["setting"]["control"] is None]


def _routing(frame: pd.DataFrame) -> str:
    """Where its tokens go, layer by layer."""
    lines = frame.drop_duplicates(["label", "layer", "memory"]).to_dict("records")
    loads: dict[tuple[str, int], list[str]] = {}
    for line in lines:
        loads.setdefault((line["label"], line["layer"]), []).append(f"{100 * line['load']:.0f}")
    layers = sorted({layer for _, layer in loads})
    rows = [
        [name, *(" ".join(loads.get((name, layer), ["-"])) for layer in layers)]
        for name in sorted({name for name, _ in loads})
    ]
    words = (
        f"% of all choices that each routed memory has, on {lines[0]['details']},"
        f" {lines[0]['questions']:,} questions; the shared memory has every token besides."
    )
    head = ["Model", *(f"Layer {layer}" for layer in layers)]
    return f"## Routing load\n\n{words}\n\n{grid(head, rows)}"


def _mqar(frame: pd.DataFrame) -> str:
    parts = ["## MQAR", "Queries answered right, %, with 95 % intervals."]
    cells = {
        (line["length"], line["label"], line["pairs"]): "{:.1f} {:.0f}-{:.0f}".format(
            *(100 * line[name] for name in ("accuracy", "accuracy_low", "accuracy_high"))
        )
        for line in frame.to_dict("records")
    }
    labels = sorted({label for _, label, _ in cells})
    for length in sorted({length for length, _, _ in cells}):
        pairs = sorted({count for other, _, count in cells if other == length})
        rows = [
            [name, *(cells.get((length, name, count), "-") for count in pairs)] for name in labels
        ]
        parts.append(grid([f"{length:,} tokens", *(f"{count} pairs" for count in pairs)], rows))
    return "\n\n".join(parts)


def _reseeds(boards: Sequence[Board]) -> str:
    """Does a small sample order four models as a large one does?"""
    lines, counts = [], dict.fromkeys(("kept", "tied", "not kept"), 0)
    for board in sorted(boards, key=lambda board: board.group.seed or 0):
        rows = {row.name: row.average.scores["contains"] for row in board.rows if row.name in RUNGS}
        order = _order([rows[name] for name in RUNGS])
        counts[order] += 1
        cells = [score_text(rows[name], CONTAINS) for name in RUNGS]
        lines.append([f"{board.group.seed}", *cells, order])
    asked = boards[0].title.rpartition(", ")[2]
    words = (
        f"Average *contains* of {asked} a seed. *Tied*: two are equal or the other way round,"
        " and their intervals overlap. "
        + ", ".join(f"{count} {order}" for order, count in counts.items())
    )
    return f"## The sample's order\n\n{words}.\n\n{grid(['Seed', *RUNGS, 'Order'], lines)}"


def _agreement(asked: Mapping[str, Sequence[Run]]) -> str:
    """Does the sample order models as real tasks do?"""
    sample, real = _boards(asked["sample"])[0], _boards(asked["paper"])[0]
    by_sample = _averages({row.name: row for row in sample.rows})
    lines = []
    for name, tasks in (*GROUPS.items(), ("FDA", ("fda",))):
        both = pd.concat([by_sample, _averages(_rows_of(asked["paper"], real, tasks))], axis=1)
        both = both.dropna()
        large = both[both.index.str.contains("medium")]
        recalling = large[large.iloc[:, 0] > HIGH]
        cells = [_rho(some) for some in (both, large, recalling)]
        lines.append([name, *cells])
    words = (
        "Spearman's rho of the averages of *contains* on the sample and on real tasks, protocol"
        " paper, and how many models it is of."
    )
    head = ["Real tasks", "All models", "Of 8M weights"]
    head.append(f"Of these, above {100 * HIGH:.0f} % of the sample")
    return f"## The sample and real tasks\n\n{words}\n\n{grid(head, lines)}"


def _rho(both: pd.DataFrame) -> str:
    """Of two columns, and of how many rows; a dash where there are fewer than two."""
    return f"{both.rank().corr().iloc[0, 1]:.2f} ({len(both)})" if len(both) > 1 else "-"


def _averages(rows: Mapping[str, Row]) -> pd.Series:
    scores = {name: row.average.scores.get("contains") for name, row in rows.items()}
    return pd.Series(
        {
            name: score.value
            for name, score in scores.items()
            if score and rows[name].kind == "model"
        }
    )


def _order(scores: Sequence[Interval]) -> str:
    pairs = [(a, b) for a, b in pairwise(scores) if a.value <= b.value]
    if not pairs:
        return "kept"
    apart = (b.low is not None and a.high is not None and b.low > a.high for a, b in pairs)
    return "not kept" if any(apart) else "tied"


def _draw(asked: Mapping[str, Sequence[Run]], mqar: pd.DataFrame, out: Path) -> list[Path]:
    trained, transfer = (
        frame(_boards(selected(asked["paper"], tasks=tasks))) for tasks in GROUPS.values()
    )
    figures = {
        "trained-forms": scores_by_task(trained),
        "transfer": scores_by_task(transfer),
        "pareto": recall_by_cost(trained),
        "sample": scores_by_task(frame(_boards(asked["sample"]))),
        **dict(zoo_haystacks.figures(build(asked["haystack"]))),
        **{f"mqar-{name}": mqar_figure(some) for name, some in by_weights(mqar, "label")},
    }
    drawn = [path for path in write_figures(figures, out) if path.suffix == ".png"]
    for path in drawn:
        path.with_suffix(".svg").unlink()
    return drawn


if __name__ == "__main__":
    main()
