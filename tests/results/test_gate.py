"""The gate's verdict: paired by question, one error rate for all of it, and what it could see."""

import numpy as np
import pytest

from mom_eval.results import gate
from mom_eval.results.baseline import Key, Score
from mom_eval.results.gate import ALL, BITS, CONTAINS, FAMILY_ERROR, TOLERANCE, Retest, judge
from mom_eval.results.gate_table import markdown

SHAPES = {"fda": 8, "swde": 6, "squad": 5, "nq": 2, "triviaqa": 1, "drop": 5}
"""Questions of one document, as in the sample."""
QUESTIONS = 100


def documents(task: str, questions: int = QUESTIONS) -> list[str]:
    return [f"{task}-{place // SHAPES[task]}" for place in range(questions)]


def retests(
    rng: np.random.Generator,
    model: str = "model",
    *,
    jitter: float = 1e-4,
    flipped: float = 0.003,
    drop: float = 0.0,
    lost: float = 0.0,
) -> list[Retest]:
    """A model asked twice. Bits change by heavy-tailed noise that the questions of a document
    partly share, and by `drop` on average, spread over documents as gate.SPREAD says; answers flip
    either way, and `lost` of the right ones get lost."""
    found = []
    for task in SHAPES:
        names = documents(task)
        _, places = np.unique(names, return_inverse=True)
        shape = 1 / gate.SPREAD**2
        harm = drop * rng.gamma(shape, 1 / shape, places.max() + 1)
        noise = rng.standard_t(3, QUESTIONS) + rng.standard_t(3, places.max() + 1)[places]
        bits = rng.gamma(2, 0.7, QUESTIONS)
        right = (rng.random(QUESTIONS) < 0.4).astype(float)
        now = np.where(rng.random(QUESTIONS) < flipped, 1 - right, right)
        now = np.where(rng.random(QUESTIONS) < lost, 0.0, now)
        then = {BITS: bits, CONTAINS: right}
        found.append(
            Retest(
                model,
                task,
                names,
                then,
                {BITS: bits + jitter * noise + harm[places], CONTAINS: now},
            )
        )
    return found


def only(found: gate.Gate, task: str, score: str) -> gate.Outcome:
    [one] = [one for one in found.outcomes if (one.task, one.score) == (task, score)]
    return one


@pytest.mark.parametrize(
    ("jitter", "flipped", "drop"),
    [
        (0.02, 0.02, 0.0),  # another precision: single questions move far, a few answers flip
        (0.05, 0.05, TOLERANCE[BITS]),  # the worst that is still no drop
    ],
)
def test_a_thousand_clean_gates_raise_hardly_an_alarm(jitter, flipped, drop):
    rng = np.random.default_rng(7)
    gates = 1_000
    alarms = sum(
        bool(judge(retests(rng, jitter=jitter, flipped=flipped, drop=drop)).fell)
        for _ in range(gates)
    )
    assert alarms <= FAMILY_ERROR * gates


def test_a_drop_of_the_size_that_is_called_detectable_is_detected():
    rng = np.random.default_rng(8)
    size = only(judge(retests(rng)), ALL, BITS).detectable
    assert size is not None
    assert size < 0.05
    caught = [only(judge(retests(rng, drop=size)), ALL, BITS).fell for _ in range(200)]
    assert np.mean(caught) >= gate.POWER - 0.05


def test_lost_answers_of_the_size_that_is_called_detectable_are_detected():
    rng = np.random.default_rng(9)
    size = only(judge(retests(rng)), ALL, CONTAINS).detectable
    assert size is not None
    caught = [
        # Of 40 % right answers, so many more are lost that the share of all is `size`.
        only(judge(retests(rng, flipped=0, lost=size / 0.4)), ALL, CONTAINS).fell
        for _ in range(100)
    ]
    assert np.mean(caught) >= gate.POWER - 0.1


def test_one_task_of_one_model_that_fell_is_named():
    rng = np.random.default_rng(1)
    found = [*retests(rng, "good"), *retests(rng, "bad")]
    place = next(i for i, one in enumerate(found) if (one.model, one.task) == ("bad", "triviaqa"))
    now = dict(found[place].now)
    now[BITS] = now[BITS] + 0.3
    found[place] = found[place]._replace(now=now)
    fell = judge(found).fell
    assert {(one.model, one.task, one.score) for one in fell} == {
        ("bad", "triviaqa", BITS),
        ("bad", ALL, BITS),
    }
    text = markdown(judge(found))
    assert text.startswith("## Regression gate: worse than the baseline: bad\n")
    assert "| bad   | TriviaQA  | bits per byte |" in text


def test_improvements_are_reported_and_raise_no_alarm():
    rng = np.random.default_rng(2)
    better = judge(retests(rng, drop=-0.2))
    assert not better.fell
    assert only(better, ALL, BITS).rose
    text = markdown(better)
    assert text.startswith("## Regression gate: nothing fell\n")
    assert "Better, which is no alarm" in text


def test_few_questions_are_said_to_be_few():
    rng = np.random.default_rng(3)
    few = [
        one._replace(
            documents=one.documents[:8],
            then={name: values[:8] for name, values in one.then.items()},
            now={
                name: values[:8] + (0.05 if name == BITS else 0) for name, values in one.now.items()
            },
        )
        for one in retests(rng, jitter=0.3)
    ]
    found = judge(few)
    assert not found.fell
    assert only(found, "fda", BITS).detectable is None  # eight questions of one document
    text = markdown(found)
    assert "Too few questions to detect a drop of 0.100 (bits per byte): all tasks, FDA" in text
    assert "too few questions to tell: model on" in text
    assert text.startswith("## Regression gate: nothing fell for sure, undecided drops: 2\n")
    blunt = (
        "Drops as small as the tolerance are sure to be detected of no task, nor of all together"
    )
    assert f"{blunt}: 0.010 (bits per byte)" in text


def test_a_single_document_is_never_a_drop():
    ones = np.ones(8)
    one = Retest(
        "m", "fda", ["d"] * 8, {BITS: ones, CONTAINS: ones}, {BITS: 9 * ones, CONTAINS: 0 * ones}
    )
    found = judge([one])
    assert not found.fell
    assert only(found, "fda", BITS).unsure
    assert "+8.000" in markdown(found)


def test_questions_are_paired_by_id_in_any_order():
    lines = [
        {
            "task": task,
            "id": f"{task}{place}",
            "document": f"{task}{place // 2}",
            "prompt_hash": "p",
            "contains": place % 2,
            "bits_per_byte": float(place),
        }
        for task in ("nq", "fda")
        for place in range(20)
    ]
    scores = {
        Key(line["task"], line["id"]): Score("p", line["contains"], line["bits_per_byte"])
        for line in lines
    }
    np.random.default_rng(0).shuffle(lines)
    found = gate.retests_of("m", scores, lines)
    assert [one.task for one in found] == ["fda", "nq"]
    for one in found:
        for name in (BITS, CONTAINS):
            np.testing.assert_array_equal(one.then[name], one.now[name])
    assert all(one.drop.value == 0 for one in judge(found).outcomes)


def test_what_moved_and_is_not_worse_is_said():
    rng = np.random.default_rng(5)
    assert "moved" not in markdown(judge(retests(rng, jitter=1e-5)))
    moved = judge(retests(rng, jitter=0.02))
    assert not moved.fell
    assert "of the same weights and code moves them: model by 0.0" in markdown(moved)


def test_remarks_end_the_verdict():
    rng = np.random.default_rng(4)
    assert markdown(judge(retests(rng), ["m is not as in the baseline: other weights."])).endswith(
        "- m is not as in the baseline: other weights.\n"
    )
