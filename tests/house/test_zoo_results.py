"""The script that makes results/: averages, what was never seen, paired differences."""

import csv
import gzip
import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.results.conftest import make_run
from tests.results.folders import real_lines, write_model, write_run

_SPEC = spec_from_file_location(
    "zoo_results", Path(__file__).resolve().parents[2] / "scripts" / "zoo_results.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
zoo_results = module_from_spec(_SPEC)
_SPEC.loader.exec_module(zoo_results)

MOM, PLAIN = "small-mom-gated-deltanet", "small-gated-deltanet"
RIGHT = {
    MOM: {"fda": 40, "squad": 20, "swde": 0, "nq": 10, "drop": 20},
    PLAIN: {"fda": 30, "squad": 20, "swde": 0, "nq": 0, "drop": 0},
}
"""Of 40 questions a task."""
COSTS = {"parameters": 9, "activated": 9, "state_bytes": 8, "state_bytes_per_token": 0}
COSTS |= {"decode_bytes": 7}


def answers(right):
    return {task: [1] * count + [0] * (40 - count) for task, count in right.items()}


def keyed(label, right, **setting):
    """FDA's questions are keys, as they are on disk."""
    run = make_run(label, {task: real_lines(task, some) for task, some in answers(right).items()})
    for place, line in enumerate(run.questions["fda"]):
        line["question"] = f"Key {place}:"
    run.info["setting"].update(setting)
    run.info["model"].update(COSTS)
    return run


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """What the script writes of two models; of FDA two answers stand in the train file."""
    path = tmp_path_factory.mktemp("zoo")
    for label, right in RIGHT.items():
        write_run(path / "paper", keyed(label, right), label)
        write_run(path / "full", keyed(label, right, protocol="full"), label)
        write_model(path / "sample", label, answers(right), source="sample")
        few = {task: some for task, some in answers(right).items() if task in ("squad", "nq")}
        write_model(path / "haystack", label, few, haystack=512, depth=0.5)
        (path / "mqar" / label).mkdir(parents=True)
        (path / "mqar" / label / "mqar.csv").write_text(
            "vocab,examples,seed,chance,label,architecture,parameters,state_bytes,"
            "state_bytes_per_token,length,pairs,accuracy,accuracy_low,accuracy_high\n"
            f"64,9,0,0.03,{label},gla,9,8,0,64,4,0.75,0.7,0.8\n"
        )
        (path / "routing" / label).mkdir(parents=True)
        (path / "routing" / label / "routing.csv").write_text(
            "label,synthetic,details,questions,layer,memory,load,kind\n"
            + "".join(
                f"{label},False,FDA,9,{n // 2},{n % 2},0.{4 + n % 2 * 2},digit\n" for n in range(4)
            )
        )
    write_run(path / "ablations", keyed("ablations-top-1", RIGHT[PLAIN]), "top-1")
    data = path / "data"
    data.mkdir()
    row = {"doc_id": "1", "file_name": "a", "key": "Key 0", "value": "862.1345", "text": "Key 0:"}
    rows = {
        "fda": [row],
        # Another key's answer counts as never seen, whatever case the right key's is in.
        "fda.train": [row, row | {"key": "key 1", "value": "march 1884"}, row | {"key": "Key 2"}],
    }
    rows["squad"] = [
        {"doc_id": "2", "title": "t", "context": "c", "question": "q", "answers": ["a"]}
        | {"text": "c q Answer:", "value": "a"}
    ]
    rows["squad.train"] = [rows["squad"][0] | {"value": "Ada Marsh"}]
    for name, lines in rows.items():
        with gzip.open(data / f"{name}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    command = [str(path), "--data", str(data), "--out", str(path / "out")]
    done = CliRunner().invoke(zoo_results.main, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return path / "out"


def part(tables, title):
    """The lines of a part, cell by cell."""
    text = (tables / "zoo.md").read_text("utf-8").partition(f"## {title}")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def test_trained_forms_and_transfer_are_averaged_apart(tables):
    found = part(tables, "Real tasks, protocol paper")
    assert [found["Model"][place] for place in (0, 2)] == ["Trained forms", "Transfer"]
    assert [found[MOM][place].split()[0] for place in (0, 2)] == ["75.0", "25.0"]
    assert [found[PLAIN][place].split()[0] for place in (0, 2)] == ["62.5", "0.0"]
    assert [*found].index(MOM) < [*found].index(PLAIN)


def test_what_the_train_file_answers_under_that_key_is_left_out(tables):
    found = part(tables, "Real tasks, answers that no train file has")
    assert found["Model"][2:4] == ["FDA (38)", "SQuAD (30)"]
    # 38 of 38, and of 20 right ones of SQuAD the five that are not Ada Marsh's.
    assert found[MOM][2].startswith("100.0")
    assert found[MOM][3].startswith(f"{100 * 15 / 30:.1f}")


def test_differences_are_paired(tables):
    found = part(tables, "Paired differences")
    (line,) = (cells for name, cells in found.items() if name.startswith(MOM))
    assert line[0] == "as many weights"
    assert [line[place].split()[0] for place in (1, 3)] == ["+12.5", "+25.0"]


def test_ablations_stand_beside_what_they_vary(tables):
    found = part(tables, "Ablations")
    assert {MOM, "ablations-top-1"} <= set(found)
    assert PLAIN not in found


def test_the_load_of_memories_stands_layer_by_layer(tables):
    assert part(tables, "Routing load")[MOM] == ["40 60", "40 60"]


def test_all_boards_are_in_one_file_and_drawn(tables):
    with (tables / "zoo.csv").open(encoding="utf-8", newline="") as file:
        boards = {line["board"] for line in csv.DictReader(file)}
    assert len(boards) == 4  # Ablations are asked as in paper.
    names = {"trained-forms", "transfer", "pareto", "sample", "haystack", "mqar"}
    assert {path.stem for path in (tables / "plots").glob("*.png")} == names
    assert "75.0 70-80" in (tables / "zoo.md").read_text("utf-8")
