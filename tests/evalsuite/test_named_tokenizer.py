"""What `--tokenizer` names: a folder goes before what ships, and that before the hub."""

from copy import deepcopy

import pytest

from mom_eval.errors import ModelError
from mom_eval.evalsuite import named_tokenizer as module
from mom_eval.evalsuite.named_tokenizer import named_tokenizer


@pytest.fixture
def ships(monkeypatch, tiny_llama):
    """A checkpoint that ships, called `small`."""
    monkeypatch.setattr(module, "shipped", lambda: {"small": tiny_llama})


def test_that_of_a_checkpoint_that_ships(ships, tokenizer):
    found = named_tokenizer("small")
    assert found.encode("Panel: 24") == tokenizer.encode("Panel: 24", add_special_tokens=False)


def test_a_folder_of_that_name_goes_before_it(ships, tokenizer, tmp_path, monkeypatch):
    larger = deepcopy(tokenizer)
    larger.add_tokens(["Panel"])
    larger.save_pretrained(tmp_path / "small")
    monkeypatch.chdir(tmp_path)
    assert len(named_tokenizer("small").tokenizer) == len(tokenizer) + 1


def test_what_is_nowhere_is_one_sentence(ships):
    with pytest.raises(ModelError, match="no tokenizer could be loaded from large"):
        named_tokenizer("large")


def test_that_in_a_gguf_file_and_that_of_the_hub(ships, monkeypatch, tokens, tmp_path):
    asked = []

    def load_tokens(name, **options):
        asked.append((name, options))
        return tokens

    monkeypatch.setattr(module, "load_tokens", load_tokens)
    with pytest.raises(ModelError, match=r"there is no file model\.gguf to take a tokenizer"):
        named_tokenizer("model.gguf")
    (tmp_path / "model.gguf").touch()
    for text in (f"{tmp_path}/model.gguf", "owner/name"):
        assert named_tokenizer(text) is tokens
    assert asked == [
        (str(tmp_path), {"gguf_file": "model.gguf"}),
        ("owner/name", {"trust_remote_code": False}),
    ]
