"""docs/adding.md says what works: its family keeps the laws, its layout is written and read."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file

from mom_eval.models import FAMILIES, ModelConfig, load, names, published_config, save
from mom_eval.models.cost import cost
from mom_eval.models.describe import families
from tests.models.laws import lawful
from tests.models.shapes import MEMORIES, new_model

PAGE = Path(__file__).resolve().parents[2] / "docs" / "adding.md"
FAMILY, LAYOUT = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.M)
NAME = "simple_gla"


@pytest.fixture(autouse=True, scope="module")
def _added(tmp_path_factory):
    """The family of the page is one of ours while these tests run."""
    path = tmp_path_factory.mktemp("families") / f"{NAME}.py"
    path.write_text(FAMILY, "utf-8")
    spec = importlib.util.spec_from_file_location(f"added_{NAME}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and `describe` look it up there
    spec.loader.exec_module(module)
    with patch.dict(FAMILIES, {NAME: module.SimpleGLA}):
        yield
    del sys.modules[spec.name]


def config_of(memories: str) -> ModelConfig:
    return ModelConfig(
        vocab_size=50,
        hidden_size=32,
        num_layers=2,
        family=NAME,
        options=FAMILIES[NAME].Options(num_heads=2),
        memories=MEMORIES[memories],
        intermediate_size=48,
        init_std=0.3,
    )


def test_the_page_is_a_page():
    words = re.sub(r"^```.*?^```", "", PAGE.read_text("utf-8"), flags=re.DOTALL | re.M)
    assert len(words.splitlines()) < 60


@pytest.mark.parametrize("memories", MEMORIES)
def test_the_family_keeps_the_laws(memories: str):
    lawful(new_model(config_of(memories)).double(), 1e-12)


def test_the_family_is_its_equation():
    """Token by token, from the columns, as the page's docstring has it."""
    family = FAMILIES[NAME](FAMILIES[NAME].Options(num_heads=1), 4, 1e-6).double()
    torch.manual_seed(0)
    c = {name: torch.randn(6, 4).double() for name in ("q", "k", "v", "gate")}
    c["a"] = torch.randn(6, 1).double()
    at = (torch.tensor([0, 6]), torch.arange(6), torch.tensor([0]), None)
    o, _ = family.recur(c, sys.modules[FAMILIES[NAME].__module__].Stream(*at), {"s": None})
    S, want = torch.zeros(4, 4).double(), []
    for t in range(6):
        S = torch.sigmoid(c["a"][t]) ** (1 / 16) * S + torch.outer(c["k"][t], c["v"][t])
        want.append(S.T @ c["q"][t] / 2)
    assert torch.allclose(o[:, 0], torch.stack(want), rtol=1e-12)


@pytest.mark.parametrize("memories", ["1", "4", "4+shared"])
def test_the_family_is_saved_costed_and_listed(memories: str, tmp_path):
    model, tokens = new_model(config_of(memories)), torch.arange(20)
    assert torch.equal(load(save(model, tmp_path))(tokens).logits, model(tokens).logits)
    assert cost(model.config).parameters == sum(p.numel() for p in model.parameters())
    (line,) = [line for line in families() if line["name"] == NAME]
    assert (line["title"], line["arxiv"]) == ("Simple GLA", "2405.05254")


def test_the_layout_is_written_and_read(tmp_path):
    model, tokens = new_model(config_of("1")), torch.arange(20)
    tables = (names.FLA, published_config.DEFAULTS, sys.modules[save.__module__].ARCHITECTURES)
    with patch.dict(tables[0]), patch.dict(tables[1]), patch.dict(tables[2]):
        exec(compile(LAYOUT, str(PAGE), "exec"), {})
        back = load(save(model, tmp_path))
    assert torch.equal(back(tokens).logits, model(tokens).logits)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == NAME
    assert "model.layers.1.attn.gk_proj.bias" in load_file(tmp_path / "model.safetensors")
