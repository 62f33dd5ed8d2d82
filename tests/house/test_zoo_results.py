"""The script that makes results/: averages, what was never seen, paired differences."""

import csv
import gzip
import json
import shutil

import pytest
from click.testing import CliRunner
from scipy.special import stdtrit

from mom_eval.results.store import read_runs
from mom_eval.tasks.questions import digest
from mom_eval.tasks.recall import RECALL
from tests.house.scripts import script
from tests.results.conftest import make_run
from tests.results.folders import ANSWERS, real_lines, write_model, write_run

zoo_results, zoo_scores = script("zoo_results"), script("zoo_scores")

MOM, PLAIN = "small-mom-gated-deltanet", "small-gated-deltanet"
RIGHT = {
    MOM: {"fda": 40, "squad": 20, "swde": 0, "nq": 10, "drop": 20},
    PLAIN: {"fda": 30, "squad": 20, "swde": 0, "nq": 0, "drop": 0},
}
"""Of 40 questions a task."""
AGAIN = {MOM: 10, f"{MOM}-seed-2": 20, f"{PLAIN}-seed-2": 34}
"""Of FDA's 40 questions, by trainings of which one is in RIGHT too."""
COSTS = {"parameters": 9, "activated": 9, "state_bytes": 8, "state_bytes_per_token": 0}
COSTS |= {"decode_bytes": 7}


def answers(right):
    return {task: [1] * count + [0] * (40 - count) for task, count in right.items()}


def rows(task):
    """Those of a file on the questions of `real_lines`."""
    for place, line in enumerate(real_lines(task, [0] * 40)):
        (answer,) = line["answers"]
        row = {"doc_id": f"{place}", "value": answer}
        if task == "fda":
            yield row | {"file_name": "a", "key": f"Key {place}", "text": f"It is. Key {place}:"}
        else:
            question = {"question": f"Which is {place}?", "answers": [answer], "title": "t"}
            yield row | question | {"context": "c", "text": f"c Which is {place}? Answer:"}


def keyed(label, right, **setting):
    """With the ids that those rows have."""
    run = make_run(label, {task: real_lines(task, some) for task, some in answers(right).items()})
    for task in ("fda", "squad"):
        of = RECALL[task]
        for line, row in zip(run.questions[task], rows(task), strict=True):
            line["id"] = digest(task, of.document(row), of.ask(row), *of.answers(row))
    run.info["setting"].update(setting)
    run.info["model"].update(COSTS)
    return run


def write_mqar(path, label, few):
    """Of four pairs a share, of 64 a tenth of it."""
    line = f"64,9,0,0.03,{label},gla,9,8,0,64,"
    (path / label).mkdir(parents=True)
    (path / label / "mqar.csv").write_text(
        "vocab,examples,seed,chance,label,architecture,parameters,state_bytes,"
        "state_bytes_per_token,length,pairs,accuracy,accuracy_low,accuracy_high\n"
        f"{line}4,{few},0.7,0.8\n{line}64,{few / 10},0.0,0.1\n"
    )


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """What the script writes of two models; of FDA two answers stand in the train file."""
    path = tmp_path_factory.mktemp("zoo")
    for label, right in RIGHT.items():
        write_run(path / "paper", keyed(label, right), label)
        for length in (2048, 8192):
            whole = keyed(label, right, protocol="full", context_length=length)
            write_run(path / "full", whole, f"{label}-{length}")
        write_model(path / "sample", label, answers(right), source="sample")
        whole = {"source": "sample", "protocol": "full"}
        write_model(path / "sample-full", label, answers(right), **whole)
        few = {task: some for task, some in answers(right).items() if task in ("squad", "nq")}
        write_model(path / "haystack", label, few, costs=COSTS, haystack=512, depth=0.5)
        # Of the shorter haystack there are too few questions for an average.
        for length, some in ((512, [1] * 3 + [0]), (2048, [1, 0] * 20)):
            of_sample = {"source": "sample", "haystack": length, "depth": 0.5}
            run = make_run(label, {"nq": real_lines("nq", some)}, **of_sample)
            run.info["model"].update(COSTS)
            write_run(path / "haystack", run, f"{label}-of-sample-{length}")
        write_mqar(path / "mqar", label, 0.75)
        (path / "routing" / label).mkdir(parents=True)
        (path / "routing" / label / "routing.csv").write_text(
            "label,synthetic,details,questions,layer,memory,load,kind\n"
            + "".join(
                f"{label},False,FDA,9,{n // 2},{n % 2},0.{4 + n % 2 * 2},digit\n" for n in range(4)
            )
        )
    for seed, right in enumerate(((30, 20, 10, 0), (30, 31, 10, 0), (30, 20, 0, 40))):
        for label, count in zip(zoo_results.RUNGS, right, strict=True):
            some = [1] * count + [0] * (40 - count)
            asked = {task: real_lines(task, some) for task in ("fda", "nq")}
            run = make_run(label, asked, source="sample", seed=seed + 1)
            write_run(path / "reseeds", run, f"{label}-{seed}")
    for label, count in AGAIN.items():
        run = keyed(label, RIGHT[PLAIN] | {"fda": count, "nq": count})
        for line in run.questions["squad"]:
            line["bits_per_byte"] += count
        write_run(path / "seeds", run, label)
        write_mqar(path / "seeds-mqar", label, count / 40)
    write_run(path / "ablations", keyed("ablations-top-1", RIGHT[PLAIN]), "top-1")
    data = path / "data"
    data.mkdir()
    files = {task: [*rows(task)] for task in ("fda", "squad")}
    one = files["fda"][0]
    # Another key's answer counts as never seen, whatever case the right key's is in.
    files["fda.train"] = [one, one | {"key": "key 1", "value": "march 1884"}, one | {"key": "K 2"}]
    files["squad.train"] = [files["squad"][0] | {"value": "Ada Marsh"}]
    for name, lines in files.items():
        with gzip.open(data / f"{name}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    make(path, data, path / "out")
    return path / "out"


def make(runs, data, out):
    command = [str(runs), "--data", str(data), "--out", str(out)]
    done = CliRunner().invoke(zoo_results.main, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output


def part(tables, title):
    """The lines of a part, cell by cell."""
    text = (tables / "zoo.md").read_text("utf-8").partition(f"## {title}")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def test_trained_forms_and_transfer_are_averaged_apart(tables):
    found = part(tables, "Real tasks, protocol paper")
    heads = ["Trained forms", "exact", "Transfer", "exact"]
    assert [found["Model"][place] for place in (0, 1, 3, 4)] == heads
    assert [found[MOM][place].split()[0] for place in (0, 3)] == ["75.0", "25.0"]
    assert [found[PLAIN][place].split()[0] for place in (0, 3)] == ["62.5", "0.0"]
    assert [*found].index(MOM) < [*found].index(PLAIN)


def test_what_the_train_file_answers_under_that_key_is_left_out(tables):
    found = part(tables, "Real tasks, answers that no train file has")
    assert found["Model"][3:5] == ["FDA (38)", "SQuAD (30)"]
    # 38 of 38, and of 20 right ones of SQuAD the five that are not Ada Marsh's.
    assert found[MOM][3].startswith("100.0")
    assert found[MOM][4].startswith(f"{100 * 15 / 30:.1f}")


def test_differences_are_paired(tables):
    found = part(tables, "Paired differences")
    (line,) = (cells for name, cells in found.items() if name.startswith(MOM))
    assert line[0] == "as many weights"
    assert [line[place].split()[0] for place in (1, 3)] == ["+12.5", "+25.0"]


def test_seeds_have_an_interval_over_trainings(tables):
    """Of the one that was trained again the later one counts."""
    found = part(tables, "Seeds")
    mom, plain, difference = found["FDA, %"]
    assert (mom, plain) == ("25.0 50.0", "75.0 85.0")
    # Welch: variances of means 12.5 ** 2 and 5 ** 2, whose degrees of freedom are 1.312.
    square = 12.5**2 + 5**2
    wide = stdtrit(square**2 / (12.5**4 + 5**4), 0.975) * square**0.5
    assert difference == f"-42.5 {-42.5 - wide:+.1f}/{-42.5 + wide:+.1f}"
    assert found["MQAR, up to 32 pairs, %"][:2] == ["25.0 50.0", "75.0 85.0"]
    assert found["MQAR, more than 32 pairs, %"][:2] == ["2.5 5.0", "7.5 8.5"]
    text = (tables / "zoo.md").read_text("utf-8")
    assert "order: MoM 0 2, Gated DeltaNet 0 2. Trained again, and of" in text
    assert "training here: MoM 0." in text


def test_ablations_stand_beside_what_they_vary(tables):
    found = part(tables, "Ablations")
    assert {MOM, "ablations-top-1"} <= set(found)
    assert PLAIN not in found


def test_the_load_of_memories_stands_layer_by_layer(tables):
    assert part(tables, "Routing load")[MOM] == ["40 60", "40 60"]


def test_whole_documents_have_a_table_a_length(tables):
    text = (tables / "zoo.md").read_text("utf-8")
    lengths = ("8,192", "2,048")
    places = [text.index(f"Paired differences, whole documents, {one} tokens") for one in lengths]
    assert places == sorted(places)


def test_whole_documents_have_the_control_of_protocol_paper(tmp_path):
    """Without a document both protocols ask the same."""
    none = dict.fromkeys(RIGHT[MOM], 0) | {"fda": 10}
    write_run(tmp_path / "paper", keyed(MOM, none, control="blind"), "blind")
    write_run(tmp_path / "paper", keyed(MOM, RIGHT[MOM]), "plain")
    whole = keyed(MOM, RIGHT[MOM], protocol="full", context_length=8192)
    write_run(tmp_path / "full", whole, "whole")
    paper, full = (read_runs([tmp_path / name]) for name in ("paper", "full"))
    text = zoo_results._real("Whole", zoo_results._controlled(full, paper))
    (line,) = (one.split(" | ") for one in text.splitlines() if one.startswith(f"| {MOM}"))
    # Of FDA 30 of 40 are net, of SQuAD 20.
    assert [line[place].split()[0] for place in (1, 2)] == ["75.0", "+62.5"]
    assert "protocol full, context length 8,192" in text


def test_haystacks_of_the_sample_stand_apart(tables):
    for title, contains in (
        ("Haystack, local data", {"512": "37.5"}),
        ("Haystack, synthetic", {"512": "75.0", "2,048": "50.0"}),
    ):
        found = part(tables, title)
        assert found["contains, %"] == ["Depth", *contains, "State", "Moved a token"]
        depth, *cells, state, moved = found[MOM]
        assert [cell.split()[0] for cell in cells] == [*contains.values()]
        assert (depth, state, moved) == ("0.5", "8 B", "7 B")
    text = (tables / "zoo.md").read_text("utf-8")
    assert "NQ: the passage" in text
    assert "Questions a depth: 4 at 512, 40 at 2,048 tokens." in text


def test_an_order_is_kept_tied_or_lost(tables):
    found = part(tables, "The sample's order")
    assert [found[seed][-1] for seed in "123"] == ["kept", "tied", "not kept"]
    assert found["1"][0].startswith("75.0")
    text = (tables / "zoo.md").read_text("utf-8")
    assert "80 questions a seed" in text
    assert "1 kept, 1 tied, 1 not kept." in text


def test_the_sample_and_real_tasks_are_compared(tables):
    found = part(tables, "The sample and real tasks")
    for name in ("Trained forms", "Transfer", "FDA"):
        assert found[name] == ["1.00 (2)", "-", "-"]


def test_all_boards_are_in_one_file_and_drawn(tables):
    with (tables / "zoo.csv").open(encoding="utf-8", newline="") as file:
        boards = {line["board"] for line in csv.DictReader(file)}
    assert len(boards) == 8  # Ablations are asked as in paper.
    names = {"trained-forms", "transfer", "pareto", "sample", "mqar-small"}
    names |= {"haystack", "haystack-small", "haystack-cost"}
    assert {path.stem for path in (tables / "plots").glob("*.png")} == names
    assert "75.0 70-80" in (tables / "zoo.md").read_text("utf-8")


def test_what_is_published_has_no_word_and_gives_the_same_tables(tables, tmp_path):
    for name in ("once.tar.xz", "again.tar.xz"):
        command = [str(tables.parent), "--out", str(tmp_path / name)]
        done = CliRunner().invoke(zoo_scores.main, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert (tmp_path / "once.tar.xz").read_bytes() == (tmp_path / "again.tar.xz").read_bytes()
    shutil.unpack_archive(tmp_path / "once.tar.xz", tmp_path)
    for path in (tmp_path / "runs").rglob("*"):
        assert path.is_dir() or not any(word in path.read_text("utf-8") for word in ANSWERS)
    make(tmp_path / "runs", tables.parent / "data", tmp_path / "out")
    assert (tmp_path / "out" / "zoo.md").read_text() == (tables / "zoo.md").read_text()
