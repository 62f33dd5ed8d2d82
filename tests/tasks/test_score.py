"""Scores from golden cases, and bits per byte from arithmetic."""

import json
import math
from pathlib import Path

import pytest

from mom_eval.tasks.score import bits_per_byte, score

CASES = json.loads((Path(__file__).parent / "golden_scores.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["why"] for case in CASES])
def test_golden(case):
    scores = score(case["output"], case["answers"], None)
    assert scores.contains == case["contains"]
    assert scores.exact == case["exact"]
    assert scores.f1 == pytest.approx(case["f1"])
    assert scores.bits_per_byte is None


def test_bits_per_byte_is_of_the_cheapest_alias():
    # "ab" costs 4 bits over 2 bytes, "é" 3 bits over its 2 UTF-8 bytes.
    nats = [-4 * math.log(2), -3 * math.log(2)]
    assert bits_per_byte(nats, ["ab", "é"]) == pytest.approx(1.5)


def test_one_probability_an_alias():
    with pytest.raises(ValueError, match="zip"):
        bits_per_byte([-1.0], ["a", "b"])
