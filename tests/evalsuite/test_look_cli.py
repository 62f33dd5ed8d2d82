"""`mom-eval ppl` and `mom-eval routing` as a user meets them."""

import json

import pytest
from click.testing import CliRunner

from mom_eval.cli import main
from mom_eval.models.save import save
from tests.conftest import TEXT
from tests.models.shapes import config_of, new_model


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT * 4, "utf-8")
    return path


def cli(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_ppl(tiny_mom, text, tmp_path):
    words = ["ppl", tiny_mom, "--text", text, "--lengths", "16,64", "--out", tmp_path / "out"]
    table, as_json = cli(*words), cli(*words, "--json")
    assert table.exit_code == as_json.exit_code == 0, table.output
    assert "Bits per byte of tiny-mom" in table.stdout
    assert [line.split("|")[1].strip() for line in table.stdout.splitlines()[6:8]] == ["16", "64"]
    kept = json.loads(as_json.stdout)
    assert [row["length"] for row in kept["lengths"]] == [16, 64]
    assert kept == json.loads((tmp_path / "out" / "ppl.json").read_text("utf-8"))
    written = [line.rsplit("/", 1)[1] for line in table.stderr.splitlines()]
    assert written == ["ppl.csv", "ppl.json", "ppl.png", "ppl.svg"]


def test_routing(tiny_mom, tmp_path):
    words = ["routing", tiny_mom, "--tasks", "nq", "--limit", 2, "--out", tmp_path / "out"]
    table, as_json = cli(*words, "--data", "sample"), cli(*words, "--data", "sample", "--json")
    assert table.exit_code == as_json.exit_code == 0, table.output
    assert "Routing of tiny-mom" in table.stdout
    kept = json.loads(as_json.stdout)
    assert [layer["layer"] for layer in kept["layers"]] == [0, 1]
    assert kept == json.loads((tmp_path / "out" / "routing.json").read_text("utf-8"))
    written = [line.rsplit("/", 1)[1] for line in table.stderr.splitlines()]
    assert written == ["routing.csv", "routing.json", "routing.png", "routing.svg"]


PPL = {
    "model": ({"model": "./no/such"}, "there is no model at ./no/such"),
    "layout": ({"model": "tiny_llama"}, "looks inside those alone"),
    "glob": ({"model": "glob"}, "names 2 models"),
    "text": ({"--text": "/no/text"}, "/no/text cannot be read"),
    "short": ({"--lengths": "16,100000"}, "the longest context 100,000"),
    "length": ({"--lengths": "1,16"}, "--lengths 1 leaves no token to predict"),
    "limit": ({"--limit": "0"}, "--limit 0 reads no span"),
    "device": ({"--device": "abacus"}, "do not run on a device 'abacus'"),
    "tokenizer": ({"--tokenizer": "/no/tokenizer"}, "no tokenizer could be loaded"),
    "out": ({"--out": "/dev/null"}, "a file stands where a folder is needed"),
}
ROUTING = {
    "model": ({"model": "./no/such"}, "there is no model at ./no/such"),
    "layout": ({"model": "tiny_llama"}, "looks inside those alone"),
    "router": ({"model": "plain"}, "plain (gated_deltanet) has no router"),
    "task": ({"--tasks": "fdaa"}, "did you mean fda"),
    "lm-eval": ({"--tasks": "lm-eval:drop"}, "name recall tasks"),
    "data": ({"--data": "/no/such/folder"}, "there is no folder /no/such/folder"),
    "context": ({"--context-length": "60"}, "leaves no room beside an answer of 48"),
    "limit": ({"--limit": "0"}, "--limit 0 asks no question"),
    "out": ({"--out": "/dev/null"}, "a file stands where a folder is needed"),
}


@pytest.mark.parametrize(
    ("command", "change", "sentence"),
    [("ppl", *case) for case in PPL.values()] + [("routing", *case) for case in ROUTING.values()],
    ids=[*(f"ppl-{name}" for name in PPL), *(f"routing-{name}" for name in ROUTING)],
)
def test_bad_input_is_one_sentence_and_exit_1(
    tiny_mom, tiny_llama, tokenizer, text, tmp_path, command, change, sentence
):
    base = {
        "ppl": {"--text": text, "--lengths": "16,32", "--limit": 2},
        "routing": {"--data": "sample", "--tasks": "nq", "--limit": 1},
    }[command] | {"model": tiny_mom}
    given = base | change
    model = given.pop("model")
    if model == "plain":
        model = save(new_model(config_of("gated_deltanet")), tmp_path / "plain")
        tokenizer.save_pretrained(model)
    elif model == "glob":
        for name in "ab":
            (tmp_path / "ckpts" / name).mkdir(parents=True)
            (tmp_path / "ckpts" / name / "config.json").write_text("{}")
        model = tmp_path / "ckpts" / "*"
    elif model == "tiny_llama":
        model = tiny_llama
    result = cli(command, model, *(word for pair in given.items() for word in pair))
    assert result.exit_code == 1, result.output
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert sentence in last
    assert "Traceback" not in result.stderr
