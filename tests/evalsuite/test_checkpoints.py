"""What `--model` names."""

import shutil

import pytest

from mom_eval.errors import ModelError
from mom_eval.evalsuite.checkpoints import check_unique, find


@pytest.fixture
def steps(tmp_path, tiny_llama):
    for number in (2, 10, 1):
        shutil.copytree(tiny_llama, tmp_path / "ckpts" / f"step-{number}")
    return tmp_path / "ckpts"


def test_folder(tiny_llama):
    (checkpoint,) = find(str(tiny_llama))
    assert (checkpoint.label, checkpoint.id, checkpoint.gguf_file) == (
        "tiny-llama",
        "tiny-llama",
        None,
    )


def test_label(tiny_llama):
    assert find(f"my model={tiny_llama}")[0].label == "my model"


def test_a_path_with_an_equals_sign_is_a_path(tiny_llama, tmp_path):
    shutil.copytree(tiny_llama, tmp_path / "lr=3")
    assert find(str(tmp_path / "lr=3"))[0].label == "lr=3"


def test_glob_in_the_order_of_numbers(steps):
    assert [c.label for c in find(f"{steps}/step-*")] == ["step-1", "step-2", "step-10"]
    assert find(f"mine={steps}/step-*")[0].label == "mine/step-1"


def test_hash_follows_the_weights(steps):
    one, two, ten = find(f"{steps}/step-*")
    (two.folder / "README.md").write_text("x")
    weights = ten.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert one.sha256() == two.sha256() != ten.sha256()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}/step-3", "did you mean step-"),
        ("{}/nothing-*", "no checkpoint matches"),
        ("{}/none.gguf", "there is no model at"),
        ("{}", "holds no config.json"),
        ("owner/name", "is not on this machine and the hub cannot be reached"),
        ("owner/name@v2", "is not on this machine"),
        ("bad name!/x", "neither a path nor a hub id"),
        ("gpt-like", "a hub id has the form owner/name"),
    ],
)
def test_what_is_not_there_is_said(steps, text, sentence):
    with pytest.raises(ModelError, match=sentence):
        find(text.format(steps))


def test_a_folder_without_weights(steps):
    (steps / "step-1" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="holds no weights"):
        find(str(steps / "step-1"))[0].sha256()


def test_a_file_that_is_no_gguf(steps):
    with pytest.raises(ModelError, match=r"neither a folder nor a \.gguf file"):
        find(str(steps / "step-1" / "config.json"))


def test_two_models_of_one_label(tiny_llama):
    with pytest.raises(ModelError, match="two models are called a"):
        check_unique(find(f"a={tiny_llama}") + find(f"a={tiny_llama}"))


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "modeling_mine.py"])
def test_hash_follows_what_says_how_the_weights_are_used(steps, name):
    one, two, _ = find(f"{steps}/step-*")
    assert one.sha256() == two.sha256()
    (two.folder / name).write_text("{}")
    assert one.sha256() != two.sha256()
