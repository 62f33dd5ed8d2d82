"""Files, functions and names stay within the house rules, and what is public says what it does."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES = 400
FUNCTION_LINES = 60
# Names that say nothing of what is in the file, and so collect everything.
EMPTY_NAMES = {"utils.py", "util.py", "common.py", "base.py", "misc.py", "helpers.py"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(*folders: str) -> list[Path]:
    """Every Python file of these folders of the repository."""
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


def too_long(source: str, name: str) -> list[str]:
    """A sentence for the file, and for each function, that has more lines than allowed."""
    lines = len(source.splitlines())
    found = [f"{name}: {lines} lines, {FILE_LINES} allowed"] if lines > FILE_LINES else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            # From `def`: the decorators above it are the command line's options, not its logic.
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                allowed = f"{length} lines, {FUNCTION_LINES} allowed"
                found.append(f"{name}:{node.lineno}: {node.name} has {allowed}")
    return found


def undocumented(source: str, name: str) -> list[str]:
    """A sentence for the module and each public class, method or function without a docstring."""
    found = []
    waiting: list[ast.Module | ast.ClassDef] = [ast.parse(source)]
    while waiting:
        parent = waiting.pop()
        if isinstance(parent, ast.Module) and not ast.get_docstring(parent):
            found.append(f"{name}: the module has no docstring")
        for node in parent.body:
            if not isinstance(node, ast.ClassDef | Function) or node.name.startswith("_"):
                continue
            inherits = any(ast.unparse(mark).endswith("override") for mark in node.decorator_list)
            if not ast.get_docstring(node) and not inherits:
                found.append(f"{name}:{node.lineno}: {node.name} has no docstring")
            if isinstance(node, ast.ClassDef):
                waiting.append(node)
    return found


def test_files_and_functions_are_short():
    files = python_files("mom_eval", "tests", "scripts")
    assert files
    wrong = [
        line
        for file in files
        for line in too_long(file.read_text("utf-8"), file.relative_to(ROOT).as_posix())
    ]
    assert not wrong, "\n".join(wrong)


def test_public_names_have_docstrings():
    wrong = [
        line
        for file in python_files("mom_eval")
        for line in undocumented(file.read_text("utf-8"), file.relative_to(ROOT).as_posix())
    ]
    assert not wrong, "\n".join(wrong)


def test_no_file_has_an_empty_name():
    files = python_files("mom_eval", "tests", "scripts")
    assert [file for file in files if file.name in EMPTY_NAMES] == []


def test_a_long_file_and_a_long_function_are_found():
    assert too_long("x = 1\n" * FILE_LINES, "a.py") == []
    assert too_long("x = 1\n" * (FILE_LINES + 1), "a.py") == ["a.py: 401 lines, 400 allowed"]
    body = "    x = 1\n" * FUNCTION_LINES
    assert too_long(f"class A:\n  def f():\n{body}", "a.py") == [
        "a.py:2: f has 61 lines, 60 allowed"
    ]
    assert too_long(f"@option\n@option\ndef f():\n{body[10:]}", "a.py") == []


def test_a_missing_docstring_is_found():
    source = '"""Module."""\nclass A:\n  """Class."""\n  def f(self): ...\n  def _g(self): ...\n'
    assert undocumented(source, "a.py") == ["a.py:4: f has no docstring"]
    assert undocumented("x = 1", "a.py") == ["a.py: the module has no docstring"]
    assert undocumented('"""M."""\ndef f():\n  """Do."""\n  def inner(): ...', "a.py") == []
