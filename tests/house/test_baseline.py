"""The baseline in the repository is that of the checkpoints that ship: neither changes alone."""

from pathlib import Path

import pytest

from mom_eval.evalsuite import checkpoints
from mom_eval.evalsuite.regress import QUESTIONS, asked_of
from mom_eval.models.zoo import shipped
from mom_eval.results import TASK_NAMES
from mom_eval.results.baseline import read
from mom_eval.tasks.tokens import load_tokens

BASELINE = read(Path(__file__).resolve().parents[2] / "results" / "baseline")
ANEW = "write the baseline anew: mom-eval regress --write results/baseline"


def test_it_holds_what_ships_and_asks_what_is_asked():
    assert [*BASELINE.models] == [*shipped()], ANEW
    assert BASELINE.asked == asked_of(QUESTIONS, 0), ANEW


@pytest.mark.parametrize("name", shipped())
def test_it_is_of_the_weights_that_ship(name):
    [found] = checkpoints.find(name)
    known = BASELINE.models[name]
    assert known["weights_sha256"] == found.sha256(), ANEW
    assert known["tokenizer_sha256"] == load_tokens(str(found.folder)).sha256, ANEW
    assert len(BASELINE.scores(name)) == QUESTIONS * len(TASK_NAMES)
