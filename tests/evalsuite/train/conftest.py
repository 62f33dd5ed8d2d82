"""A small training that takes a second."""

import pytest

from mom_eval.evalsuite.train import read

SMALL = """
[model]
family = "gated_deltanet"
vocab_size = 40
hidden_size = 16
num_layers = 2
intermediate_size = 16

[model.options]
num_heads = 1
head_dim = 8

[model.memories]
num_memories = 3
top_k = 2

[train]
steps = 12
batch_tokens = 96
accumulate = 2
rate = 1e-2
warmup = 3
balance = 0.01
z_loss = 0.001
heldout_every = 5
heldout_tokens = 64
save_every = 4
device = "cpu"

[[data]]
kind = "mqar"
length = 16
pairs = 2

[[data]]
kind = "mqar"
length = 24
pairs = 3
weight = 3.0

[[heldout]]
kind = "mqar"
length = 16
pairs = 2
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def small(tmp_path):
    """Writes the configuration, with texts in it replaced, and returns its path."""

    def write(*changes: tuple[str, str], name: str = "small.toml"):
        text = SMALL
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new, 1)
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.fixture
def config(small):
    """The same, read."""
    return lambda *changes: read(small(*changes))
