"""A run folder that was edited or comes from elsewhere is refused in one sentence."""

import json

import pytest

from mom_eval.errors import RunError
from mom_eval.results.store import RunWriter, read_runs

GONE = object()


@pytest.fixture
def folder(tmp_path, make):
    run = make()
    with RunWriter(tmp_path, run.info | {"schema": 1, "id": "abc"}) as writer:
        writer.append("fda", run.questions["fda"][:3])
    return tmp_path


def change(record, path, value):
    *above, last = path
    for key in above:
        record = record[key]
    if value is GONE:
        del record[last]
    else:
        record[last] = value


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (["label"], GONE, "run.json has no field 'label'"),
        (["kind"], None, "run.json has a 'kind' that is None"),
        (["setting"], [], r"run.json has a 'setting' that is \[\]"),
        (["setting", "protocol"], GONE, "run.json, setting has no field 'protocol'"),
        (["setting", "context_length"], "2048", "setting has a 'context_length' that is '2048'"),
        (["data", "source"], GONE, "run.json, data has no field 'source'"),
        (["data", "files", "fda"], "f00", "run.json, data, files, fda is no object"),
        (["data", "files", "fda", "sha256"], 7, "files, fda has a 'sha256' that is 7"),
        (["data", "files", "fda", "rows"], GONE, "files, fda has no field 'rows'"),
        (["seconds"], "long", "run.json has a 'seconds' that is 'long'"),
        (["tokens"], {"read": 1}, "run.json, tokens has no field 'written'"),
        (["model", "state_bytes"], "many", "run.json, model has a 'state_bytes' that is 'many'"),
        (["dropped"], 3, "run.json has a 'dropped' that is 3"),
        (["tasks"], "fda", "run.json is not what `mom-eval run` writes"),
    ],
)
def test_a_changed_run_is_named(folder, path, value, sentence):
    file = folder / "abc" / "run.json"
    info = json.loads(file.read_text())
    change(info, path, value)
    file.write_text(json.dumps(info))
    with pytest.raises(RunError, match=sentence) as caught:
        read_runs([folder])
    assert "remove" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (["contains"], GONE, "line 2 has no field 'contains'"),
        (["document"], 3, "line 2 has a 'document' that is 3"),
        (["bits_per_byte"], "1", "line 2 has a 'bits_per_byte' that is '1'"),
    ],
)
def test_a_changed_answer_is_named(folder, path, value, sentence):
    file = folder / "abc" / "fda.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    change(lines[1], path, value)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(RunError, match=rf"abc/fda\.jsonl, {sentence}"):
        read_runs([folder])


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_an_object_is_expected(folder, text):
    (folder / "abc" / "fda.jsonl").write_text(text + "\n")
    with pytest.raises(RunError, match=r"abc/fda\.jsonl, line 1 is no object"):
        read_runs([folder])
    (folder / "abc" / "run.json").write_text(text)
    with pytest.raises(RunError, match=r"run\.json is not what"):
        read_runs([folder])
