"""Run folders: whole or continued, never mixed up."""

import errno
import io
import json
from pathlib import Path

import pytest

from mom_eval.errors import RunError
from mom_eval.results.store import RunWriter, answers_file, read_run, read_runs

INFO = {"schema": 1, "id": "abc", "tasks": ["fda"], "finished": None}


def write(out, *lines):
    with RunWriter(out, dict(INFO)) as writer:
        writer.append("fda", lines)
    return out / "abc"


def test_what_is_written_is_read(tmp_path):
    folder = write(tmp_path, {"id": "1", "output": "é\n"}, {"id": "2", "output": ""})
    run = read_run(folder)
    assert run.info == INFO
    assert run.questions == {"fda": [{"id": "1", "output": "é\n"}, {"id": "2", "output": ""}]}
    assert sorted(path.name for path in folder.iterdir()) == ["fda.jsonl", "run.json"]


def test_a_half_written_last_line_is_cut_off_and_the_next_one_is_whole(tmp_path):
    folder = write(tmp_path, {"id": "1"})
    with (folder / "fda.jsonl").open("ab") as file:
        file.write(b'{"id": "2", "out')
    assert [line["id"] for line in read_run(folder).questions["fda"]] == ["1"]
    with RunWriter(tmp_path, dict(INFO)) as writer:
        assert [line["id"] for line in writer.answered("fda")] == ["1"]
        writer.append("fda", [{"id": "3"}])
    assert [line["id"] for line in read_run(folder).questions["fda"]] == ["1", "3"]


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    folder = write(tmp_path, {"id": "1"})
    (folder / "fda.jsonl").write_text('{"id": "1"}\nnonsense\n{"id": "3"}\n')
    with pytest.raises(RunError, match=r"abc/fda\.jsonl, line 2 is no JSON"):
        read_run(folder)


def test_a_second_writer_is_told_who_holds_the_folder(tmp_path):
    first, second = RunWriter(tmp_path, dict(INFO)), RunWriter(tmp_path, dict(INFO))
    with first, pytest.raises(RunError, match=r"is being written by process \d+ on "):
        second.__enter__()
    write(tmp_path, {"id": "1"})


def test_runs_are_found_in_a_folder_or_by_name(tmp_path, make):
    with RunWriter(tmp_path, make().info | {"schema": 1, "id": "abc"}) as writer:
        writer.append("fda", make().questions["fda"])
    assert [run.info["id"] for run in read_runs([tmp_path])] == ["abc"]
    assert [run.info["id"] for run in read_runs([tmp_path / "abc"])] == ["abc"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "no run was found"),
        ("{", "is no JSON"),
        (json.dumps(INFO | {"schema": 2}), "has schema 2, this mom-eval reads 1"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "abc").mkdir()
        (tmp_path / "abc" / "run.json").write_text(text)
    with pytest.raises(RunError, match=sentence):
        read_runs([tmp_path])


def test_no_such_folder(tmp_path):
    with pytest.raises(RunError, match="is no folder"):
        read_runs([tmp_path / "none"])


def test_a_full_disk_is_said_and_keeps_what_was_written(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with RunWriter(tmp_path, dict(INFO)) as writer:
        writer.append("fda", [{"id": "1"}])
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(RunError, match="the disk is full"):
                writer.append("fda", [{"id": "2"}])
    assert read_run(tmp_path / "abc").questions["fda"][0] == {"id": "1"}


def test_what_a_full_disk_refuses_is_not_tried_again_at_the_end(tmp_path):
    """The file is closed while the error is on its way: no second error, no line twice."""

    class Full(io.FileIO):
        room = 40

        def write(self, data):
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = super().write(bytes(data)[: self.room])
            self.room -= written
            return written

    def stopped():
        with RunWriter(tmp_path, dict(INFO)) as writer:
            writer.append("fda", [{"id": "1"}])
            writer._files["fda"].close()
            writer._files["fda"] = Full(tmp_path / "abc" / "fda.jsonl", "ab")
            writer.append("fda", [{"id": "2"}, {"id": "3", "output": "x" * 99}])

    with pytest.raises(RunError, match="it continues where it stopped"):
        stopped()
    with RunWriter(tmp_path, dict(INFO)) as writer:
        assert [line["id"] for line in writer.answered("fda")] == ["1", "2"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_is_full_to_the_end(tmp_path):
    writer = RunWriter(tmp_path, dict(INFO))
    with writer:
        (tmp_path / "abc" / "fda.jsonl").symlink_to("/dev/full")
        with pytest.raises(RunError, match="the disk is full"):
            writer.append("fda", [{"id": "1"}])
    assert not (tmp_path / "abc" / "lock").exists()


def test_any_other_error_of_a_disk_is_one_sentence(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("pathlib.Path.mkdir", broken)
    with pytest.raises(RunError, match=r"cannot be used \(Input/output error\)"):
        write(tmp_path / "x", {"id": "1"})


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr("pathlib.Path.mkdir", denied)
    with pytest.raises(RunError, match="choose another folder with --out"):
        write(tmp_path / "x", {"id": "1"})


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(RunError, match="a file stands where a folder is needed"):
        write(tmp_path / "runs", {"id": "1"})


def test_numbers_that_json_does_not_know_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path, {"id": float("nan")})


def test_file_names_of_odd_tasks():
    assert answers_file("lm-eval:a/b c") == "lm-eval.a.b.c.jsonl"
