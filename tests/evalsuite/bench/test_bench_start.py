"""Fresh processes: which kernels each finds, and what is said where one fails."""

import sys

import pytest

from mom_eval.errors import SettingError
from mom_eval.evalsuite.bench import start
from mom_eval.results.bench_start import PHASES, Start, markdown


def test_each_process_has_an_empty_cache_but_the_last(monkeypatch):
    seen = []

    def process(asked, cache):
        seen.append(cache)
        return "mom-tiny", dict.fromkeys(PHASES, float(len(seen)))

    monkeypatch.setattr(start, "_process", process)
    found = start.bench_start("mom-tiny", runs=3, device="cpu")
    assert len(set(seen[:3])) == 3
    assert seen[3] == seen[2]
    assert [one["load_s"] for one in found.cold] == [1.0, 2.0, 3.0]
    assert found.warm["load_s"] == 4.0


def test_a_process_keeps_its_kernels_where_it_is_told(monkeypatch, tmp_path):
    show = "import os, sys; sys.exit(os.environ['TRITON_CACHE_DIR'])"
    monkeypatch.setattr(sys, "executable", _script(tmp_path, show))
    with pytest.raises(SettingError, match="a fresh process failed, exit 1: /a/cache"):
        start._process({}, "/a/cache")


def test_a_process_that_is_killed_is_named(monkeypatch, tmp_path):
    kill = "import os; os.kill(os.getpid(), 9)"
    monkeypatch.setattr(sys, "executable", _script(tmp_path, kill))
    with pytest.raises(SettingError, match="ended by SIGKILL; was memory short"):
        start._process({}, "/a/cache")


def _script(folder, code):
    """Stands in for Python, and runs this whatever it is asked."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\n{code}\n", "utf-8")
    path.chmod(0o755)
    return str(path)


def test_the_table_has_medians_and_sums():
    cold = [dict.fromkeys(PHASES, seconds) for seconds in (1.0, 5.0, 2.0)]
    about = {
        "device": "NVIDIA H200",
        "dtype": "bfloat16",
        "kernels": "auto",
        "random_weights": True,
        "compiles": True,
        "versions": {"torch": "2.11", "triton": "3.6"},
    }
    given = Start(
        label="mom-340m", prompt=2000, cold=cold, warm=dict.fromkeys(PHASES, 0.5), about=about
    )
    cells = [line.split("|")[2:-1] for line in markdown(given).splitlines() if "|" in line]
    found = [[cell.strip() for cell in line] for line in cells]
    assert found[2] == ["2.00", "1.00", "5.00", "0.50"]
    assert found[-2] == ["6.00", "3.00", "15.00", "1.50"], "without imports and the context"
    assert found[-1] == ["10.00", "5.00", "25.00", "2.50"]
