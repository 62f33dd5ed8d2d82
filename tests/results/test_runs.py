"""`mom-eval runs`: what is listed, and above all what is never removed."""

import json

import pytest
from click.testing import CliRunner

from mom_eval.cli import main
from mom_eval.errors import RunError, SettingError
from mom_eval.results.runs import find_runs, remove
from mom_eval.results.store import RunWriter, read_run
from tests.results.folders import write_model


@pytest.fixture
def folder(tmp_path):
    runs = tmp_path / "runs"
    write_model(runs, "a", {"fda": [1, 0]})
    write_model(
        runs, "b", {"nq": [1, 0, 1]}, info={"finished": None, "started": "2025-01-01T00:00"}
    )
    return runs


def command(*words, **options):
    return CliRunner().invoke(main, ["runs", *map(str, words)], **options)


def names(listing):
    return [run.folder.name for run in listing.runs]


def test_runs_are_listed_oldest_first_with_state_and_answers(folder):
    shown = command(folder).stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["run", "b", "a"]
    assert "unfinished  3 " in shown[1]
    assert shown[2].endswith("Recall, protocol paper, context length 2,048, local data")
    assert shown[1].index("nq") == shown[2].index("fda") == shown[0].index("tasks")


def test_as_json_dates_are_texts(folder):
    first, second = json.loads(command(folder, "--json").stdout)
    assert (first["run"], first["state"], first["finished"]) == ("b", "unfinished", None)
    assert (second["questions"], second["started"]) == (2, "2026-01-01T00:00:00")


def test_filters(folder):
    assert names(find_runs(folder, models=["a"])) == ["a"]
    assert names(find_runs(folder, models=["[a-c]"], tasks=["nq"])) == ["b"]
    assert names(find_runs(folder, only="finished")) == ["a"]
    assert names(find_runs(folder / "a")) == ["a"]
    with pytest.raises(SettingError, match="no run there asked 'fdb'; did you mean fda"):
        find_runs(folder, tasks=["fdb"])


def test_a_broken_folder_hides_no_other_and_is_told(folder):
    (folder / "broken").mkdir()
    (folder / "broken" / "run.json").write_text("{")
    result = command(folder, "--remove", "--yes")
    assert "not listed: " in result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["broken"]


def test_removing_asks_and_takes_only_what_is_listed(folder):
    (folder / "notes.txt").write_text("mine")
    kept = command(folder, "--state", "unfinished", "--remove", input="n\n")
    assert (kept.exit_code, (folder / "b").exists()) == (1, True)
    gone = command(folder, "--state", "unfinished", "--remove", input="y\n")
    assert gone.exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["a", "notes.txt"]


def test_a_link_to_a_run_is_refused_and_nothing_is_touched(folder, tmp_path):
    elsewhere = write_model(tmp_path / "elsewhere", "mine", {"fda": [1]})
    (folder / "link").symlink_to(elsewhere, target_is_directory=True)
    result = command(folder, "--remove", "--yes")
    assert result.exit_code == 1
    assert "link is a link, and links are not followed" in result.stderr
    assert (elsewhere / "run.json").exists()
    assert len(list(folder.iterdir())) == 3


def test_a_link_to_the_folder_of_runs_is_refused_too(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    for name in (tmp_path / "link", tmp_path / "link" / "a"):
        result = command(name, "--remove", "--yes")
        assert result.exit_code == 1
        assert f"{tmp_path / 'link'} is a link" in result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]
    assert command(tmp_path / "link").exit_code == 0


@pytest.mark.parametrize("kind", ["file", "folder", "link to a file", "link to a folder"])
def test_a_folder_with_something_foreign_is_refused_whole(folder, tmp_path, kind):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.jsonl").write_text("precious")
    place = folder / "a" / "more.jsonl"
    if kind == "file":
        place = folder / "a" / "notes.txt"
        place.write_text("mine")
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to(outside if kind.endswith("folder") else outside / "precious.jsonl")
    result = command(folder, "--remove", "--yes")
    assert result.exit_code == 1
    assert f"also holds {place.name}, which no run writes; nothing is removed" in result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]
    assert (outside / "precious.jsonl").read_text() == "precious"


def test_a_run_that_is_being_written_is_refused(folder):
    info = read_run(folder / "a").info
    with RunWriter(folder, info), pytest.raises(RunError, match="is being written by process"):
        remove(find_runs(folder).runs, say=print)
    assert (folder / "b").exists()
    remove(find_runs(folder).runs, say=print)
    assert list(folder.iterdir()) == []
