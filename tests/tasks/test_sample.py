"""The embedded sample: fields, lengths, splits, and how little the trivial answers score."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mom_eval.tasks import TASKS
from mom_eval.tasks.sample import FEWEST_TOKENS, generate, pieces
from mom_eval.tasks.sample.drop_topics import SIEGES
from mom_eval.tasks.sample.nq_topics import TOPICS as NQ_TOPICS
from mom_eval.tasks.sample.prose import Topic
from mom_eval.tasks.sample.squad_topics import TOPICS as SQUAD_TOPICS
from mom_eval.tasks.sample.trivia_topics import TOPICS as TRIVIA_TOPICS
from mom_eval.tasks.sample.triviaqa import aliases
from mom_eval.tasks.sample.world import World, split_of
from mom_eval.tasks.schema import checked

BY_KEY = ("fda", "swde")
ALL_TOPICS = (*SQUAD_TOPICS, *NQ_TOPICS, *TRIVIA_TOPICS, *SIEGES)
FIELDS = {
    "fda": {"file_name", "key", "value", "text"},
    "swde": {"file_name", "key", "value", "text"},
    "squad": {"title", "context", "question", "answers", "text", "value"},
    "nq": {"context", "question", "orig_question", "answers"},
    "triviaqa": {"context", "question", "orig_question", "answers"},
    "drop": {"context", "question", "orig_question", "answers"},
}
wild = {
    "task": st.sampled_from(list(TASKS)),
    "split": st.sampled_from(["test", "train"]),
    "seed": st.integers(),
    "questions": st.integers(1, 9),
    "tokens": st.integers(FEWEST_TOKENS, 1500),
}


def document(task: str, row: dict) -> str:
    """The document without its question."""
    if task == "fda":
        return row["text"].rpartition("\n")[0]
    if task == "swde":
        return row["text"].partition("\n\nSummary of information above...\n")[0]
    return row["context"]


def answers(row: dict) -> list[str]:
    return row["answers"] if "answers" in row else [row["value"]]


def asked(row: dict) -> str:
    return row["question"] if "question" in row else row["key"]


@given(st.text())
def test_pieces_joined_are_the_text(text: str):
    assert "".join(pieces(text)) == text


def test_a_piece_is_a_word_or_a_mark_with_its_space():
    assert pieces("A  cat, 1,5\n\nÉte's") == [
        *("A", " ", " cat", ",", " 1", ",", "5", "\n", "\n", "Éte", "'", "s"),
    ]


@given(**wild)
@settings(max_examples=60, deadline=None)
def test_every_row_is_sound(task: str, split: str, seed: int, questions: int, tokens: int):
    rows = generate(task, split, seed=seed, questions=questions, tokens=tokens)
    assert len(rows) == questions
    assert len({row["doc_id"] for row in rows}) == questions
    assert len({(document(task, row), asked(row)) for row in rows}) == questions
    for row in rows:
        assert checked(task, row, "here") == row
        assert set(row) == FIELDS[task] | {"doc_id", "source"}
        text = document(task, row)
        assert row["source"] == "synthetic"
        assert "synthetic" not in text
        assert answers(row)[0] in text
        assert not any(answer.lower() in asked(row).lower() for answer in answers(row))
        assert abs(len(pieces(text)) - tokens) <= max(40, 0.03 * tokens)
        assert not [slip for slip in ("{", "}", "|}", "..", "  ", " .", " ,") if slip in text]


@pytest.mark.parametrize("task", TASKS)
def test_a_long_document_has_its_length(task: str):
    (row,) = generate(task, questions=1, tokens=20_000)
    assert abs(len(pieces(document(task, row))) - 20_000) <= 0.01 * 20_000


@pytest.mark.parametrize("task", TASKS)
def test_rows_depend_on_the_arguments_alone(task: str):
    rows = generate(task, seed=3, questions=12)
    assert generate(task, seed=3, questions=12) == rows
    assert generate(task, seed=3, questions=5) == rows[:5]
    assert generate(task, seed=4, questions=12) != rows
    assert generate(task, "train", seed=3, questions=12) != rows


def test_rows_are_the_same_on_every_machine():
    row = generate("drop", seed=1, questions=1)[0]
    assert row["context"].startswith("The siege of Nelilabbey was part of the long war between")
    assert row["context"].endswith("soldiers deserted in January, most of them unpaid.")
    assert row["question"] == "Who led the army of Eroleria?"
    assert row["answers"] == ["Albert Ardale"]


@pytest.mark.parametrize("task", ["fda", "swde", "squad", "drop"])
def test_documents_are_asked_several_questions(task: str):
    rows = generate(task, questions=60)
    assert len({document(task, row) for row in rows}) <= 20


@pytest.mark.parametrize("task", TASKS)
def test_splits_share_no_name_and_no_answer(task: str, monkeypatch: pytest.MonkeyPatch):
    drawn: dict[str, set[str]] = {"test": set(), "train": set()}
    draw = World.draw

    def spy(world: World, make: Callable[[], str]) -> str:
        value = draw(world, make)
        drawn[world.split].add(value)
        return value

    monkeypatch.setattr(World, "draw", spy)
    rows = {split: generate(task, split, questions=150) for split in ("test", "train")}
    assert min(map(len, drawn.values())) > 200
    assert not drawn["test"] & drawn["train"]
    said = {split: {a for row in rows[split] for a in answers(row)} for split in rows}
    assert not said["test"] & said["train"]


def test_what_is_kept_for_an_answer_is_not_drawn_again():
    world = World(random.Random(0), "train")
    owned = {str(number) for number in range(40) if split_of(str(number)) == "train"}
    kept = {world.keep_text("{0..39}") for _ in range(len(owned) - 1)}
    (last,) = owned - kept
    assert {world.draw(lambda: str(world.rng.randint(0, 39))) for _ in range(20)} == {last}
    assert world.keep_text("{0..39}") == last
    with pytest.raises(ValueError, match="no new value"):
        world.keep_text("{0..39}")


def test_the_test_split_owns_a_quarter():
    share = sum(split_of(str(number)) == "test" for number in range(4000)) / 4000
    assert 0.2 < share < 0.3


def contains(output: str, row: dict) -> bool:
    return any(answer.lower() in output.lower() for answer in answers(row))


def commonest(rows: list[dict]) -> dict[str, str]:
    """Key (one for all where a task has none) -> its commonest answer."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row.get("key", ""), Counter())[answers(row)[0]] += 1
    return {key: counter.most_common(1)[0][0] for key, counter in counts.items()}


def baselines(task: str) -> dict[str, float]:
    """Share of questions that answers made without reading get right."""
    rows = generate(task, questions=400)
    prior = commonest(generate(task, "train", questions=1500))
    outputs = {
        "head": lambda row: "".join(pieces(document(task, row))[:48]),
        "echo": lambda row: asked(row) + row.get("text", "")[-80:] * (task == "squad"),
        "prior": lambda row: prior.get(row.get("key", ""), ""),
    }
    return {
        name: sum(contains(output(row), row) for row in rows) / len(rows)
        for name, output in outputs.items()
    }


@pytest.mark.parametrize("task", TASKS)
def test_answers_made_without_reading_score_low(task: str):
    scores = baselines(task)
    assert scores["head"] < 0.12
    assert scores["echo"] < 0.02
    assert scores["prior"] < 0.02


@pytest.mark.parametrize("task", TASKS)
def test_answers_stand_anywhere(task: str):
    fifths: Counter[int] = Counter()
    for row in generate(task, questions=500, tokens=400):
        text = document(task, row)
        fifths[5 * text.index(answers(row)[0]) // len(text)] += 1
    # The opening holds no answer and fills about half of the first fifth.
    assert fifths[0] > 15
    assert all(60 < fifths[fifth] < 170 for fifth in range(1, 5))


@pytest.mark.parametrize("task", TASKS)
def test_the_answer_stands_once(task: str):
    rows = generate(task, questions=200, tokens=600)
    again = sum(document(task, row).count(answers(row)[0]) > 1 for row in rows)
    assert again <= 4


@pytest.mark.parametrize("topic", ALL_TOPICS, ids=lambda topic: topic.title)
def test_questions_name_their_subject_and_sentences_their_answer(topic: Topic):
    """A long document treats several subjects: without its name a question has two answers."""
    names = {f"{{{name}}}" for name in topic.names}
    for relation in topic.relations:
        assert relation.sentence.count("{answer}") == 1
        assert any(name in relation.question for name in names), relation.question
        if relation.statement:
            assert any(name in relation.statement for name in names), relation.statement
            assert relation.statement[-1] not in ".?: "


def test_aliases_hold_the_answer_and_shorter_forms():
    assert aliases("person", "Ada Harwick") == [
        *("Ada Harwick", "Harwick", "A. Harwick", "Harwick, Ada"),
    ]
    assert aliases("company", "Calex & Sons")[:2] == ["Calex & Sons", "Calex"]
    assert aliases("river", "Selane") == ["Selane", "River Selane", "Selane River"]
    assert aliases("title", "The Glass Tide")[:2] == ["The Glass Tide", "Glass Tide"]


@pytest.mark.parametrize(
    "arguments",
    [("squadd",), ("nq", "validation")],
)
def test_unknown_names_are_mistakes(arguments: tuple[str, ...]):
    with pytest.raises(ValueError, match="known: "):
        generate(*arguments)


@pytest.mark.parametrize("number", [{"questions": 0}, {"tokens": FEWEST_TOKENS - 1}])
def test_numbers_out_of_range_are_mistakes(number: dict[str, Any]):
    with pytest.raises(ValueError, match="need 1 and 128"):
        generate("nq", **number)
