"""Preparing data from a hub that is a local folder: layouts, interruption, changes, offline."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError
from pyarrow import parquet

from mom_eval.errors import DataError
from mom_eval.tasks import TASKS, hub, manifest
from mom_eval.tasks.data import Source, load, resolve
from mom_eval.tasks.sample import generate

COMMIT = "c0ffee" * 6 + "abcd"


class FakeHub:
    """Data sets as folders `<owner>/<name>`; counts downloads and may fail at one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.downloads: list[str] = []
        self.fail_at: int | None = None
        self.failure: Callable[[], BaseException] = KeyboardInterrupt

    def dataset_info(self, repo_id: str) -> SimpleNamespace:
        files = sorted(p for p in (self.root / repo_id).rglob("*") if p.is_file())
        names = [file.relative_to(self.root / repo_id).as_posix() for file in files]
        return SimpleNamespace(sha=COMMIT, siblings=[SimpleNamespace(rfilename=n) for n in names])

    def download(self, repo_id: str, filename: str, *, repo_type: str, revision: str) -> str:
        assert (repo_type, revision) == ("dataset", COMMIT)
        if self.fail_at == len(self.downloads):
            raise self.failure()
        self.downloads.append(repo_id)
        return str(self.root / repo_id / filename)

    def put(self, repo_id: str, name: str, rows: list[dict[str, Any]]) -> None:
        path = self.root / repo_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        else:
            text = "".join(json.dumps(row) + "\n" for row in rows).encode()
            path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """A hub with all eight data sets, as parquet in the layout that the real one has."""
    fake = FakeHub(tmp_path / "hub")
    for task, name in hub.HUB_IDS.items():
        rows = generate(task, questions=4)
        versions = [name.replace("2048", n) for n in ("512", "1024", "2048")]
        for version in versions if task == "nq" else [name]:
            fake.put(version, "data/validation-00000-of-00001.parquet", rows)
            fake.put(version, "data/train-00000-of-00001.parquet", rows[:1])
            (fake.root / version / "README.md").write_text("card")
    monkeypatch.setattr(hub, "HfApi", lambda: fake)
    monkeypatch.setattr(hub, "hf_hub_download", fake.download)
    return fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "data"


def test_everything_is_fetched_once_and_loads(fake: FakeHub, folder: Path):
    said: list[str] = []
    rows = hub.prepare(folder, list(TASKS), say=said.append)
    names = ["drop", "fda", "nq", "nq_1024", "nq_512", "squad", "swde", "triviaqa"]
    assert sorted(row["name"] for row in rows) == names
    assert hub.listing(folder) == rows
    assert len(said) == len(fake.downloads) == 8
    for task in TASKS:
        data = load(task, resolve(str(folder)))
        assert data.rows == generate(task, questions=4)
        assert (data.source, data.revision, data.file) == ("hub", COMMIT, f"{task}.parquet")
    assert load("nq", resolve(str(folder)), context_length=600).file == "nq_1024.parquet"

    again = hub.prepare(folder, list(TASKS), say=said.append)
    assert again == rows
    assert len(fake.downloads) == 8
    assert said[-1].endswith("4 rows are here already")


def test_the_manifest_says_what_was_fetched(fake: FakeHub, folder: Path):
    hub.prepare(folder, ["fda"])
    entry = manifest.read(folder)["fda"]
    assert (entry.hub, entry.revision, entry.rows) == ("hazyresearch/based-fda", COMMIT, 4)
    assert set(entry.columns) == set(generate("fda", questions=1)[0])
    assert entry.left_out == 0
    assert entry.date.endswith("+00:00")
    assert sorted(path.name for path in folder.iterdir()) == ["fda.parquet", "manifest.json"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, lambda: OSError("connection reset")])
def test_an_interruption_loses_nothing(
    fake: FakeHub, folder: Path, failure: Callable[[], BaseException]
):
    fake.fail_at, fake.failure = 3, failure
    with pytest.raises((KeyboardInterrupt, DataError)):
        hub.prepare(folder, list(TASKS))
    assert sorted(manifest.read(folder)) == ["fda", "squad", "swde"]
    fake.fail_at = None
    assert len(hub.prepare(folder, list(TASKS))) == 8
    assert fake.downloads.count("hazyresearch/based-fda") == 1


def test_a_kill_while_writing_leaves_no_half_file(
    fake: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def half(_: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(hub.parquet, "write_table", half)
    with pytest.raises(KeyboardInterrupt):
        hub.prepare(folder, ["fda"])
    assert list(folder.iterdir()) == []


def test_a_changed_file_is_found_and_fetched_again(fake: FakeHub, folder: Path):
    hub.prepare(folder, ["fda", "drop"])
    changed = generate("fda", questions=3)
    parquet.write_table(pyarrow.Table.from_pylist(changed), folder / "fda.parquet")
    source = resolve(str(folder))
    with pytest.raises(DataError, match=r"fda\.parquet has changed since it was prepared"):
        load("fda", source)
    assert {row["name"]: row["ok"] for row in hub.check(source)} == {"fda": False, "drop": True}
    hub.prepare(folder, ["fda", "drop"])
    assert len(load("fda", source).rows) == 4
    assert len(fake.downloads) == 3


def test_a_task_that_is_not_prepared_names_the_command(fake: FakeHub, folder: Path):
    hub.prepare(folder, ["fda"])
    with pytest.raises(DataError, match="run `mom-eval data prepare --tasks drop`"):
        load("drop", resolve(str(folder)))


@pytest.mark.parametrize(
    "names",
    [
        ["default/validation/0000.parquet", "default/test/0000.parquet"],
        ["data/validation-00000-of-00002.parquet", "data/validation-00001-of-00002.parquet"],
        ["data/validaion-00000-of-00001.parquet"],
        ["validation.jsonl", "train.jsonl"],
        ["val.jsonl.gz"],
    ],
)
def test_known_layouts_are_read_in_order(fake: FakeHub, folder: Path, names: list[str]):
    for path in (fake.root / hub.HUB_IDS["drop"]).rglob("*.parquet"):
        path.unlink()
    rows = generate("drop", questions=4)
    wanted = [name for name in names if "val" in name]
    share = len(rows) // len(wanted)
    for name in names:
        part = wanted.index(name) if name in wanted else 0
        fake.put(hub.HUB_IDS["drop"], name, rows[part * share : (part + 1) * share])
    hub.prepare(folder, ["drop"])
    assert load("drop", resolve(str(folder))).rows == rows


def test_an_unknown_layout_says_what_was_found(fake: FakeHub, folder: Path):
    (fake.root / hub.HUB_IDS["drop"] / "data/validation-00000-of-00001.parquet").unlink()
    with pytest.raises(DataError, match=r"only README\.md, data/train-00000-of-00001\.parquet"):
        hub.prepare(folder, ["drop"])


def test_a_few_rows_that_cannot_be_asked_are_left_out_and_counted(fake: FakeHub, folder: Path):
    rows = generate("fda", questions=40)
    rows[7]["value"] = ""
    fake.put(hub.HUB_IDS["fda"], "data/validation-00000-of-00001.parquet", rows)
    said: list[str] = []
    (found,) = hub.prepare(folder, ["fda"], say=said.append)
    assert (found["rows"], found["left_out"]) == (39, 1)
    assert said[0].endswith("1 left out that cannot be asked")
    assert load("fda", resolve(str(folder))).rows == rows[:7] + rows[8:]


def test_more_than_a_few_such_rows_are_refused(fake: FakeHub, folder: Path):
    rows = generate("fda", questions=40)
    for row in rows[5:8]:
        row["value"] = ""
    fake.put(hub.HUB_IDS["fda"], "data/validation-00000-of-00001.parquet", rows)
    with pytest.raises(DataError, match=r"^3 of 40 rows .* row 6: field 'value' must be"):
        hub.prepare(folder, ["fda"])


def test_other_columns_than_expected_are_one_sentence(fake: FakeHub, folder: Path):
    rows = [{"passage": "p", "question": "q", "answers": ["a"]}] * 4
    fake.put(hub.HUB_IDS["drop"], "data/validation-00000-of-00001.parquet", rows)
    with pytest.raises(DataError) as caught:
        hub.prepare(folder, ["drop"])
    message = str(caught.value)
    assert message.startswith("4 of 4 rows of hazyresearch/based_drop are not of the form expected")
    assert "row 1: there is no field 'context'" in message
    assert str(fake.root) not in message


def test_a_folder_of_the_users_own_files_is_left_alone(fake: FakeHub, folder: Path):
    folder.mkdir(parents=True)
    (folder / "fda.jsonl").write_text("{}")
    with pytest.raises(DataError, match="holds data files that were not prepared from the hub"):
        hub.prepare(folder, ["fda"])
    assert fake.downloads == []


@pytest.mark.parametrize("call", ["mkdir", "replace"])
def test_a_folder_that_cannot_be_written_is_one_sentence(
    fake: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str
):
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((Path, "mkdir") if call == "mkdir" else (hub.os, "replace")), full)
    with pytest.raises(DataError, match="cannot be written: No space left on device; free"):
        hub.prepare(folder, ["fda"])


def test_a_field_that_the_first_row_lacks_is_kept(fake: FakeHub, folder: Path):
    rows = generate("drop", questions=4)
    del rows[0]["orig_question"]
    rows[3] |= {"tok_pos": 12}
    (fake.root / hub.HUB_IDS["drop"] / "data/validation-00000-of-00001.parquet").unlink()
    fake.put(hub.HUB_IDS["drop"], "validation.jsonl", rows)
    hub.prepare(folder, ["drop"])
    assert load("drop", resolve(str(folder))).rows == rows


def test_offline_says_what_to_do(folder: Path):
    """The real client, with HF_HUB_OFFLINE=1 as in all tests."""
    with pytest.raises(DataError, match=r"based-fda cannot be downloaded .*copy the data folder"):
        hub.prepare(folder, ["fda"])
    assert not folder.exists()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OfflineModeIsEnabled("offline mode is enabled.\nmore"), "offline mode is enabled"),
        (TimeoutError("timed out"), "timed out"),
        (hub.HfHubHTTPError.__bases__[0]("no route to host"), "no route to host"),
    ],
)
def test_every_kind_of_broken_network_is_one_sentence(
    fake: FakeHub, folder: Path, error: Exception, message: str
):
    fake.fail_at, fake.failure = 0, lambda: error
    with pytest.raises(DataError, match=rf"cannot be downloaded \({message}\); where") as caught:
        hub.prepare(folder, ["fda"])
    assert "\n" not in str(caught.value)


def test_a_data_set_that_is_gone_is_one_sentence(
    fake: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def gone(_: str) -> None:
        raise RepositoryNotFoundError("404", response=SimpleNamespace(headers={}, request=None))  # type: ignore[arg-type]

    monkeypatch.setattr(fake, "dataset_info", gone)
    with pytest.raises(DataError, match="the hub has no public data set hazyresearch/based-fda"):
        hub.prepare(folder, ["fda"])


# Listing and checking


def test_nothing_prepared_lists_nothing(folder: Path):
    assert hub.listing(folder) == []


def test_a_prepared_file_that_is_gone_is_found(fake: FakeHub, folder: Path):
    hub.prepare(folder, ["fda", "drop"])
    (folder / "fda.parquet").unlink()
    findings = {row["name"]: row for row in hub.check(resolve(str(folder)))}
    assert findings["drop"]["ok"]
    assert "there is no fda" in findings["fda"]["problem"]


def test_checking_a_folder_names_every_wrong_file(tmp_path: Path):
    for task in ("fda", "squad"):
        rows = generate(task, questions=3)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{task}.jsonl").write_text(text)
    (tmp_path / "drop.jsonl").write_text('{"context": "c"}\n')
    (tmp_path / "squad.train.jsonl").write_text(text)
    findings = {row["name"]: row for row in hub.check(resolve(str(tmp_path)))}
    assert {name: row["ok"] for name, row in findings.items()} == {
        "fda": True,
        "squad": True,
        "drop": False,
    }
    assert (findings["squad"]["rows"], findings["squad"]["train_rows"]) == (3, 3)
    assert "drop.jsonl, line 1: there is no field 'question'" in findings["drop"]["problem"]


def test_a_folder_with_no_file_of_a_task_is_wrong_throughout(tmp_path: Path):
    (tmp_path / "squad_dev.jsonl").write_text("{}\n")
    findings = hub.check(resolve(str(tmp_path)))
    assert [row["name"] for row in findings] == list(TASKS)
    assert not any(row["ok"] for row in findings)


def test_the_sample_checks_out():
    findings = hub.check(Source(kind="sample", questions=3))
    assert [row["name"] for row in findings] == list(TASKS)
    assert all(row["ok"] and row["rows"] == 3 for row in findings)
