"""Sources of rows: what `--data` means, and every way a folder or a file can be wrong."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from mom_eval.errors import DataError
from mom_eval.tasks import TASKS, manifest
from mom_eval.tasks.data import Source, data_folder, file_stem, load, resolve
from mom_eval.tasks.sample import generate

NQ = [
    {"context": "Zürich – 東京", "question": "where", "answers": ["Zürich", "東京"], "extra": [1]},
    {"context": "Ada Marsh built it.", "question": "who built it", "answers": ["Ada Marsh"]},
]


def lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def local(folder: Path) -> Source:
    return Source(kind="local", folder=folder)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user cache of its own for every test."""
    monkeypatch.delenv("MOM_EVAL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "mom-eval" / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "mine"
    made.mkdir()
    return made


def write(folder: Path, form: str) -> Path:
    path = folder / f"nq{form}"
    if form == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(NQ), path)
    else:
        path.write_bytes(gzip.compress(lines(NQ)) if form == ".jsonl.gz" else lines(NQ))
    return path


@pytest.mark.parametrize("form", [".jsonl", ".jsonl.gz", ".parquet"])
def test_the_three_forms_hold_the_same_rows(folder: Path, form: str):
    path = write(folder, form)
    data = load("nq", local(folder))
    assert data.rows == NQ
    assert (data.task, data.file, data.source, data.revision) == ("nq", path.name, "local", None)
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_blank_lines_crlf_and_a_byte_order_mark_do_no_harm(folder: Path):
    content = b"\xef\xbb\xbf" + lines(NQ).replace(b"\n", b"\r\n\r\n")
    (folder / "nq.jsonl").write_bytes(content.rstrip())
    assert load("nq", local(folder)).rows == NQ


def test_training_rows_are_read_when_asked_and_once(folder: Path):
    write(folder, ".jsonl")
    (folder / "nq.train.jsonl.gz").write_bytes(b"broken")
    data = load("nq", local(folder))
    with pytest.raises(DataError, match=r"nq\.train\.jsonl\.gz is no whole gzip file"):
        data.train_rows()
    (folder / "nq.train.jsonl.gz").write_bytes(gzip.compress(lines(NQ[:1])))
    assert data.train_rows() == NQ[:1]
    assert data.train_rows() is data.train_rows()


def test_no_training_file_gives_none(folder: Path):
    write(folder, ".jsonl")
    assert load("nq", local(folder)).train_rows() is None


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "not json": ("nq.jsonl", lines(NQ) + b"{oops\n", r"nq\.jsonl, line 3 is no JSON"),
    "cut off": ("nq.jsonl", lines(NQ)[:-9], r"nq\.jsonl, line 2 is no JSON"),
    "not utf-8": (
        "nq.jsonl",
        lines(NQ[:1]) + '{"context": "Zürich"}'.encode("latin-1"),
        r"nq\.jsonl, line 2: byte 15 is not UTF-8",
    ),
    "utf-16": ("nq.jsonl", lines(NQ).decode().encode("utf-16"), r"line 1: byte 1 is not UTF-8"),
    "array": ("nq.jsonl", json.dumps(NQ).encode(), r"line 1: expected an object"),
    "nested": ("nq.jsonl", b"[" * 100_000, r"line 1 (is nested too deeply|is no JSON)"),
    "field": ("nq.jsonl", lines([*NQ, {"context": ""}]), r"line 3: there is no field 'question'"),
    "empty": ("nq.jsonl", b"", r"nq\.jsonl holds no rows"),
    "only blank": ("nq.jsonl", b"\n \n", r"nq\.jsonl holds no rows"),
    "empty gzip": ("nq.jsonl.gz", b"", r"nq\.jsonl\.gz holds no rows"),
    "no gzip": ("nq.jsonl.gz", lines(NQ), r"nq\.jsonl\.gz is no whole gzip file: .* line 0 "),
    "half gzip": ("nq.jsonl.gz", gzip.compress(lines(NQ))[:-12], r"is no whole gzip file"),
    "garbage in gzip": (
        "nq.jsonl.gz",
        gzip.compress(lines(NQ))[:10] + b"\xff" * 40,
        r"is no whole gzip file: .* line 0 ",
    ),
    "bad checksum": (
        "nq.jsonl.gz",
        gzip.compress(lines(NQ))[:-8] + b"\0" * 8,
        r"is no whole gzip file: .* line 2 ",
    ),
    "no parquet": ("nq.parquet", lines(NQ), r"nq\.parquet is no readable parquet file"),
    "empty parquet": ("nq.parquet", b"", r"nq\.parquet is no readable parquet file"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_sentence(folder: Path, case: str):
    name, content, message = BROKEN[case]
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load("nq", local(folder))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_parquet_row_of_the_wrong_form_is_named(folder: Path):
    rows = [NQ[0] | {"answers": [str(n)]} for n in range(300)]
    rows[280]["answers"] = [""]
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "nq.parquet")
    with pytest.raises(DataError, match=r"nq\.parquet, row 281: field 'answers' must be a list"):
        load("nq", local(folder))


def test_a_damaged_parquet_column_is_one_sentence(folder: Path):
    path = write(folder, ".parquet")
    content = bytearray(path.read_bytes())
    content[8:60] = b"\xff" * 52
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"nq\.parquet"):
        load("nq", local(folder))


@given(st.binary(max_size=200), st.sampled_from([".jsonl", ".jsonl.gz", ".parquet"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_wild_bytes_never_raise_anything_else(folder: Path, content: bytes, form: str):
    path = folder / f"nq{form}"
    path.write_bytes(content)
    with pytest.raises(DataError):
        load("nq", local(folder))
    path.unlink()


def test_two_files_of_a_task_are_ambiguous(folder: Path):
    write(folder, ".jsonl")
    write(folder, ".jsonl.gz")
    with pytest.raises(DataError, match=r"holds both nq\.jsonl\.gz and nq\.jsonl, .* keep one"):
        load("nq", local(folder))


def test_a_missing_file_names_the_nearest(folder: Path):
    write(folder, ".jsonl")
    (folder / "triviaqa.jsonl").write_bytes(lines(NQ))
    (folder / "squad_dev.jsonl").write_bytes(lines(NQ))
    with pytest.raises(DataError, match=r"nearest file there is squad_dev\.jsonl$"):
        load("squad", local(folder))


def test_a_file_that_cannot_be_read_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch):
    write(folder, ".jsonl")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"nq\.jsonl cannot be read: Permission denied$"):
        load("nq", local(folder))


def test_an_unknown_task_is_a_mistake_of_the_caller(folder: Path):
    with pytest.raises(ValueError, match="no task 'squadd'"):
        load("squadd", local(folder))


# What --data and --data-dir mean


def test_the_data_folder(home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    assert data_folder(None) == home
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(folder))
    assert data_folder(None) == folder / ".cache" / "mom-eval" / "data"
    monkeypatch.setenv("MOM_EVAL_DATA", "~/there")
    assert data_folder(None) == folder / "there"
    assert data_folder(Path("elsewhere")) == Path("elsewhere")


def test_a_named_folder_is_local_or_prepared(folder: Path):
    write(folder, ".jsonl")
    assert resolve(str(folder)) == Source(kind="local", folder=folder)
    manifest.write(folder, {})
    assert resolve(str(folder)) == Source(kind="hub", folder=folder)


def test_nothing_named_and_nothing_prepared_is_the_sample_and_says_so(home: Path):
    source = resolve(None)
    assert source.kind == "sample"
    assert source.why is not None
    assert "synthetic" in source.why
    assert str(home) in source.why
    assert resolve("sample") == Source(kind="sample")


def test_nothing_named_takes_what_lies_in_the_data_folder(home: Path):
    home.mkdir(parents=True)
    assert resolve(None).kind == "sample"
    write(home, ".jsonl")
    assert resolve(None) == Source(kind="local", folder=home)
    manifest.write(home, {})
    assert resolve(None) == Source(kind="hub", folder=home)
    assert resolve("hub") == Source(kind="hub", folder=home)


def test_the_environment_names_either_kind(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MOM_EVAL_DATA", str(folder))
    with pytest.raises(DataError, match=r"^MOM_EVAL_DATA: .* holds no "):
        resolve(None)
    write(folder, ".jsonl")
    assert resolve(None) == Source(kind="local", folder=folder)
    assert resolve("sample").kind == "sample"


def test_a_wrong_folder_never_becomes_the_sample(folder: Path):
    with pytest.raises(DataError, match="--data: there is no folder no/where"):
        resolve("no/where")
    with pytest.raises(DataError, match="--data-dir: there is no folder no/where"):
        resolve(None, Path("no/where"))
    with pytest.raises(DataError, match=r"nq\.jsonl is a file; name the folder"):
        resolve(str(write(folder, ".jsonl")))
    with pytest.raises(DataError, match="run `mom-eval data prepare` once"):
        resolve("hub", folder)


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"schema": 9, "files": {}}', '{"schema": 1, "files": {"nq": {}}}']
)
def test_a_foreign_manifest_is_one_sentence(folder: Path, content: str):
    write(folder, ".parquet")
    (folder / "manifest.json").write_text(content)
    with pytest.raises(DataError, match=r"manifest\.json (is not what|has schema 9)"):
        load("nq", resolve(str(folder)))


@pytest.mark.parametrize(
    ("task", "length", "stem"),
    [
        ("nq", 256, "nq_512"),
        ("nq", 512, "nq_512"),
        ("nq", 513, "nq_1024"),
        ("nq", 1024, "nq_1024"),
        ("nq", 2048, "nq"),
        ("nq", 8192, "nq"),
        ("nq", None, "nq"),
        ("fda", 512, "fda"),
    ],
)
def test_the_context_length_decides_between_versions_of_nq(task: str, length: int, stem: str):
    assert file_stem(task, length) == stem


def test_a_local_folder_has_one_nq(folder: Path):
    write(folder, ".jsonl")
    assert load("nq", local(folder), context_length=512).rows == NQ


# The sample


@pytest.mark.parametrize("task", TASKS)
def test_the_sample_is_a_source_like_any_other(task: str):
    data = load(task, Source(kind="sample", questions=6))
    assert data.rows == generate(task, questions=6)
    assert data.train_rows() == generate(task, "train", questions=60)
    assert (data.source, data.revision, data.file) == ("sample", None, f"{task}.sample")


def test_the_samples_hash_follows_its_settings():
    others: list[dict[str, Any]] = [{}, {"seed": 1}, {"questions": 41}, {"tokens": 400}]
    hashes = [load("drop", Source(kind="sample", **other)).sha256 for other in others]
    assert len(set(hashes)) == 4
    assert load("drop", Source(kind="sample", why="nothing is prepared")).sha256 == hashes[0]
