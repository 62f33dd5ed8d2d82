"""docs/cli.md says what --help says; `python scripts/cli_docs.py` writes it anew."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script():
    spec = spec_from_file_location("cli_docs", ROOT / "scripts" / "cli_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_every_command_says_of_itself(script):
    written = (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert written == script.page(), "stale: run `python scripts/cli_docs.py`"


def test_every_command_stands_in_it_whatever_the_terminal(script, monkeypatch):
    wide = script.page()
    monkeypatch.setenv("COLUMNS", "40")
    assert script.page() == wide
    for path in ("mom-eval", "mom-eval run", "mom-eval bench model", "mom-eval report"):
        assert f"\n## {path}\n" in wide


def test_a_stale_page_is_noticed(script, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(script, "PAGE", tmp_path / "cli.md")
    assert script.run(["--check"]) == 1
    assert "run `python scripts/cli_docs.py`" in capsys.readouterr().out
    assert script.run([]) == 0
    assert script.run(["--check"]) == 0
    (tmp_path / "cli.md").write_text("old")
    assert script.run(["--check"]) == 1
