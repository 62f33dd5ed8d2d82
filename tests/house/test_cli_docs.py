"""docs/cli.md says what --help says; `python scripts/cli_docs.py` writes it anew."""

from tests.house.scripts import SCRIPTS, script

cli_docs = script("cli_docs")


def test_the_page_is_what_every_command_says_of_itself():
    written = (SCRIPTS.parent / "docs" / "cli.md").read_text("utf-8")
    assert written == cli_docs.page(), "stale: run `python scripts/cli_docs.py`"


def test_every_command_stands_in_it_whatever_the_terminal(monkeypatch):
    wide = cli_docs.page()
    monkeypatch.setenv("COLUMNS", "40")
    assert cli_docs.page() == wide
    for path in ("mom-eval", "mom-eval run", "mom-eval bench model", "mom-eval report"):
        assert f"\n## {path}\n" in wide


def test_a_stale_page_is_noticed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cli_docs, "PAGE", tmp_path / "cli.md")
    assert cli_docs.run(["--check"]) == 1
    assert "run `python scripts/cli_docs.py`" in capsys.readouterr().out
    assert cli_docs.run([]) == 0
    assert cli_docs.run(["--check"]) == 0
    (tmp_path / "cli.md").write_text("old")
    assert cli_docs.run(["--check"]) == 1
