"""Options -> runs."""

import sys
from pathlib import Path

import pytest

from mom_eval.errors import SettingError
from mom_eval.evalsuite.plan import Grid, command_line, run_id, settings, task_names
from mom_eval.tasks.setting import Setting


def test_recall_is_all_six_and_order_is_the_papers():
    assert task_names("recall") == (["fda", "swde", "squad", "nq", "triviaqa", "drop"], [])
    assert task_names("drop, fda,fda") == (["fda", "drop"], [])


def test_lm_evals_own_tasks_stay_apart():
    assert task_names("fda,lm-eval:triviaqa,lm-eval:drop") == (["fda"], ["triviaqa", "drop"])


def test_unknown_task_names_the_nearest():
    with pytest.raises(SettingError, match="did you mean squad"):
        task_names("squadd")


def test_lengths_and_controls_multiply():
    found = settings(Setting(limit=5), Grid((512, 1024), (), (), ("blind",)))
    assert [(s.context_length, s.control) for s in found] == [
        (512, None),
        (512, "blind"),
        (1024, None),
        (1024, "blind"),
    ]
    assert {s.limit for s in found} == {5}


def test_haystacks_and_depths_multiply():
    found = settings(Setting(), Grid((), (500, 900), (0.0, 1.0)))
    assert [(s.haystack, s.depth) for s in found] == [
        (500, 0.0),
        (500, 1.0),
        (900, 0.0),
        (900, 1.0),
    ]


@pytest.mark.parametrize(
    "grid",
    [
        Grid((), (500,)),
        Grid((), (), (0.5,)),
        Grid((), (500,), (0.5,), ("blind",)),
        Grid((2048,), (500,), (0.5,)),
    ],
)
def test_what_does_not_go_together(grid):
    with pytest.raises(SettingError, match="--haystack"):
        settings(Setting(), grid)


def test_run_id_does_not_depend_on_the_order_of_keys():
    assert run_id({"a": 1, "b": 2}) == run_id({"b": 2, "a": 1}) != run_id({"a": 1, "b": 3})


DEFAULTS = {"data": None, "limit": None, "force": False, "out": "runs", "tasks": "recall"}


def test_the_command_is_made_of_the_options_and_holds_no_path(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/x/python", "--token", "secret"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ckpts" / "a").mkdir(parents=True)
    given = {
        "model": ["A=/m/ckpt", "owner/name@v2", "ckpts/a", f"B={tmp_path}/step-*"],
        "tasks": f"nq,lm-eval:{tmp_path}/my.yaml",
        "data": "/home/me/data",
        "limit": 3,
        "depth": (0.0, 1.0),
        "control": ("blind", "shuffled"),
        "force": True,
        "out": Path("runs"),
    }
    assert command_line(given, DEFAULTS) == (
        "mom-eval run --model A=ckpt --model owner/name@v2 --model a --model 'B=step-*'"
        " --tasks nq,lm-eval:my.yaml --data data --limit 3 --depth 0.0,1.0 --control blind"
        " --control shuffled --force"
    )


def test_a_model_in_memory_goes_by_its_type():
    assert command_line({"model": object()}, DEFAULTS) == "mom-eval run --model object"
