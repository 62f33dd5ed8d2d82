"""Which runs share a board, in what order, and what the notes own up to."""

import pytest

from mom_eval.errors import SettingError
from mom_eval.results.leaderboard import build
from mom_eval.results.published import MOM_PAPER
from mom_eval.results.statistics import average, mean, paired, proportion


def names(board) -> list[str]:
    return [row.name for row in board.rows]


def row_of(board, name):
    return next(row for row in board.rows if row.name == name)


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": "full"},
        {"context_length": 1024},
        {"answer_length": 32},
        {"repeat": 2},
        {"haystack": 4096, "depth": 0.5},
        {"control": "blind"},
        {"keep_dropped": True},
        {"bos": True},
        {"source": "hub"},
        {"source": "sample"},
        {"files": {"fda": "another sha"}},
        {"kind": "lm-eval"},
    ],
    ids=lambda change: "-".join(map(str, change)),
)
def test_what_differs_here_never_shares_a_board(make, lines, change):
    other = lines("fda", [1, 0])
    if change.get("kind") == "lm-eval":
        other = [{"task": "fda", "id": "1", "document": "1", "metrics": {"acc": 1.0}}]
    boards = build([make("a"), make("b", {"fda": other}, **change)])
    assert sorted(map(names, boards)) == [["a"], ["b"]]
    assert boards[0].title != boards[1].title


@pytest.mark.parametrize("change", [{"limit": 2}, {"seed": 5}])
def test_limit_and_an_unused_seed_do_not_part_runs(make, change):
    assert len(build([make("a"), make("b", **change)])) == 1


@pytest.mark.parametrize(
    "drawn",
    [{"source": "sample"}, {"haystack": 2048, "depth": 0.0}, {"control": "shuffled"}],
    ids=lambda drawn: next(iter(drawn)),
)
def test_the_seed_parts_runs_where_something_is_drawn(make, drawn):
    assert len(build([make("a", **drawn), make("b", seed=1, **drawn)])) == 2


def test_runs_of_other_tasks_join_the_board_whose_files_they_share(make, lines):
    both = {"fda": lines("fda", [1, 0]), "nq": lines("nq", [1, 0])}
    old = make("old", both, files={"fda": "1", "nq": "1"})
    new = make("new", both, files={"fda": "2", "nq": "2"})
    only = make("only nq", {"nq": lines("nq", [1, 1])}, files={"nq": "2"})
    assert sorted(sorted(names(board)) for board in build([only, old, new])) == [
        ["new", "only nq"],
        ["old"],
    ]


def test_rows_go_by_average_then_references_then_published(make, tasks):
    runs = [
        make("b", tasks(0.2)),
        make("a", tasks(0.6)),
        make("no average", {"fda": tasks(0.9)["fda"]}),
        make("head", tasks(0.8), kind="reference"),
    ]
    (board,) = build(runs, published="mom-paper")
    assert names(board)[:4] == ["a", "b", "no average", "head"]
    assert len(board.rows) == 4 + len(MOM_PAPER)
    assert {row.kind for row in board.rows[4:]} == {"published"}
    assert any("no average has no average: SWDE was not run" in note for note in board.notes)


def test_bits_per_byte_puts_the_lowest_first(make, lines):
    runs = [make(f"{bits}", {"fda": lines("fda", [1] * 100, bits)}) for bits in (2.0, 1.0, 3.0)]
    assert names(build(runs, metric="bits_per_byte")[0]) == ["1.0", "2.0", "3.0"]


def test_cells_and_averages_are_those_of_the_statistics(make, tasks):
    questions = tasks(0.4)
    (board,) = build([make("a", questions)])
    cell = board.rows[0].cells["nq"]
    documents = [line["document"] for line in questions["nq"]]
    for metric in ("contains", "exact", "f1"):
        assert cell.scores[metric] == proportion([q[metric] for q in questions["nq"]], documents)
    bits = [line["bits_per_byte"] for line in questions["nq"]]
    assert cell.scores["bits_per_byte"] == mean(bits, documents)
    averaged = [key for key in questions if key != "triviaqa"]
    parts = [board.rows[0].cells[key].scores["contains"] for key in averaged]
    assert board.rows[0].average.scores["contains"] == average(parts)


def test_a_task_of_few_questions_is_shown_but_not_averaged(make, tasks):
    (board,) = build([make("a", tasks(0.5))])
    assert [column.key for column in board.columns if not column.averaged] == ["triviaqa"]
    assert "TriviaQA (19)" in board.caption
    assert "triviaqa" in board.rows[0].cells


def test_without_questions_enough_there_is_no_average(make, tasks):
    (board,) = build([make("a", tasks(0.5, questions=39))])
    assert board.averaged == ()
    assert not board.rows[0].average.scores
    assert "no average, as no task has 40 questions" in board.caption


def test_a_reference_with_many_questions_does_not_make_an_average(make, tasks):
    runs = [make("a", tasks(0.5, questions=20)), make("head", tasks(0.5), kind="reference")]
    assert build(runs)[0].averaged == ()


def test_rows_that_answered_different_questions_are_told(make, lines):
    some, all_ = lines("fda", [1, 0] * 50)[:30], lines("fda", [1, 0] * 50)
    (board,) = build([make("a", {"fda": all_}), make("b", {"fda": some})])
    assert (
        "FDA: not the same questions in every row, 30 in common; they answered 100 (a), 30 (b)."
        in board.notes
    )
    assert any("b has no average: FDA has 30 questions" in note for note in board.notes)
    assert not any("not the same" in note for note in build([make("a"), make("b")])[0].notes)


def test_of_two_runs_of_one_model_the_one_with_most_questions_counts(make, lines):
    short = {"fda": lines("fda", [1] * 10), "nq": lines("nq", [1] * 120)}
    long = {"fda": lines("fda", [0] * 110), "nq": lines("nq", [0] * 100)}
    for runs in ([make("a", short), make("a", long)], [make("a", long), make("a", short)]):
        (board,) = build(runs)
        assert len(board.rows) == 1
        assert board.rows[0].cells["fda"].scores["contains"].value == 0
        assert board.rows[0].cells["nq"].scores["contains"].value == 1


def test_two_models_of_one_label_are_told_apart(make):
    runs = [make("a", weights="0123456789"), make("a", weights="abcdefghij"), make("c")]
    assert sorted(names(build(runs)[0])) == ["a (01234567)", "a (abcdefgh)", "c"]
    runs = [make("a", dtype="float32"), make("a", dtype="bfloat16")]
    assert sorted(names(build(runs)[0])) == ["a (bfloat16)", "a (float32)"]
    runs = [make("a", backend="hf"), make("a", backend="own")]
    assert sorted(names(build(runs)[0])) == ["a (hf)", "a (own)"]


def test_references_join_boards_with_and_without_bos(make):
    runs = [make("a"), make("b", bos=True), make("head", kind="reference")]
    assert [names(board) for board in build(runs)] == [["a", "head"], ["b", "head"]]


def test_net_is_paired_on_the_question_ids(make, lines):
    plain, blind = lines("fda", [1, 1, 0] * 40), lines("fda", [0, 1, 0] * 40)
    runs = [make("a", {"fda": plain}), make("a", {"fda": blind[::-1]}, control="blind"), make("b")]
    first, second = build(runs)
    row = row_of(first, "a")
    documents = [line["document"] for line in plain]
    expected = paired([1, 1, 0] * 40, [0, 1, 0] * 40, documents)
    assert row.cells["fda"].net == {"blind": expected}
    assert row.average.net == {"blind": expected}
    assert not row_of(first, "b").cells["fda"].net
    assert (second.group.control, names(second)) == ("blind", ["a"])


def test_net_over_fewer_questions_says_so_and_is_not_averaged(make, lines):
    plain = lines("fda", [1] * 120)
    runs = [make("a", {"fda": plain}), make("a", {"fda": plain[:30]}, control="blind")]
    board = build(runs)[0]
    assert board.rows[0].cells["fda"].net["blind"].questions == 30
    assert not board.rows[0].average.net
    assert "a, net scores rest on fewer questions: FDA 30 of 120." in board.notes


@pytest.mark.parametrize(
    "change",
    [{"context_length": 512}, {"weights": "others"}, {"files": {"fda": "another"}}],
    ids=lambda change: next(iter(change)),
)
def test_a_control_of_something_else_gives_no_net(make, change):
    boards = build([make("a"), make("a", control="blind", **change)])
    assert not next(b for b in boards if b.group.control is None).controls


def test_net_of_bits_per_byte_leaves_out_what_was_not_measured(make, lines):
    plain, blind = lines("fda", [1] * 6, 1.0), lines("fda", [1] * 6, 3.0)
    blind[0]["bits_per_byte"] = None
    runs = [make("a", {"fda": plain}), make("a", {"fda": blind}, control="blind")]
    score = build(runs, metric="bits_per_byte")[0].rows[0].cells["fda"].net["blind"]
    assert (score.value, score.questions) == (-2.0, 5)


def test_reasons_and_counts_become_notes(make, lines):
    questions = {"fda": lines("fda", [1] * 100), "nq": lines("nq", [1] * 100)}
    counts = {"dropped": {"fda": {"key of one character": 3}}, "missing_answer": {"nq": 4}}
    more = {"dropped": {"fda": {"key of one character": 3}}, "missing_answer": {"nq": 5}}
    reference = make(
        "lookup",
        {"fda": lines("fda", [1] * 100, None)},
        kind="reference",
        info={"no_score": {"nq": "NQ has no key"}, "dropped": counts["dropped"]},
    )
    runs = [make("a", questions, info=counts), make("b", questions, info=more), reference]
    notes = build(runs)[0].notes
    assert "No score: lookup on NQ: NQ has no key." in notes
    assert "Not asked: FDA 3 (key of one character)." in notes
    assert any(note.endswith("was kept: NQ 4 (a), 5 (b).") for note in notes)
    assert not any("lookup has no average" in note for note in notes)


def test_an_unfinished_run_is_shown_and_told(make):
    (board,) = build([make("a", info={"finished": None})])
    assert "Not finished, run again to continue: a." in board.notes


def test_synthetic_data_is_in_the_title_and_a_note(make):
    (board,) = build([make("a", source="sample")])
    assert "synthetic sample, not the real tasks" in board.title
    assert any("synthetic" in note for note in board.notes)


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": "full"},
        {"context_length": 1024},
        {"repeat": 2},
        {"source": "sample"},
        {"haystack": 2048, "depth": 0.5},
    ],
    ids=lambda change: next(iter(change)),
)
def test_published_rows_stay_out_where_they_do_not_fit(make, change):
    (board,) = build([make("a", **change)], published="mom-paper")
    assert names(board) == ["a"]
    assert any("left out" in note for note in board.notes)


def test_published_rows_have_no_interval_and_our_tasks_average(make, tasks):
    (board,) = build([make("a", tasks(0.5))], published="mom-paper")
    row = row_of(board, "MoM 1.3B/100B")
    scores = {key: cell.scores["contains"] for key, cell in row.cells.items()}
    assert (scores["fda"].value, scores["fda"].low) == (pytest.approx(0.4114), None)
    own = [0.4114, 0.3430, 0.3708, 0.2411, 0.2103]
    assert row.average.scores["contains"].value == pytest.approx(sum(own) / 5)
    assert any(note.startswith("Published rows: MoM paper") for note in board.notes)


def test_the_papers_averages_are_the_means_of_its_rows():
    assert len(MOM_PAPER) == 14
    for row in MOM_PAPER:
        assert sum(row.scores.values()) / 6 == pytest.approx(row.average, abs=0.0051), row


def test_lm_evals_own_tasks_make_a_board_by_metric(make):
    found = [
        {"task": "x", "id": str(n), "document": str(n), "filter": "none"}
        | {"metrics": {"em": n % 2, "words": n * 1.0}}
        for n in range(8)
    ]
    results = {"em,none": {"value": 0.5, "mean": True}, "words,none": {"value": 3.5, "mean": True}}
    (board,) = build([make("a", {"x": found}, kind="lm-eval", info={"results": {"x": results}})])
    assert [column.key for column in board.columns] == ["x em", "x words"]
    cells = board.rows[0].cells
    documents = [str(n) for n in range(8)]
    assert cells["x em"].scores["score"] == proportion([n % 2 for n in range(8)], documents)
    assert cells["x words"].scores["score"] == mean([float(n) for n in range(8)], documents)


def test_what_lm_eval_does_not_average_is_shown_as_it_reports_it_without_an_interval(make):
    """A perplexity is exp of minus the mean log probability, F1 of a corpus no mean at all."""
    found = [
        {"task": "x", "id": f"{n}-{kind}", "document": str(n), "filter": kind}
        | {
            "metrics": {"perplexity": -3.0, "em": None if n else 1.0}
            if kind == "none"
            else {"em": 0}
        }
        for n in range(8)
        for kind in ("none", "strict")
    ]
    results = {
        "perplexity,none": {"value": 20.1, "mean": False},
        "em,none": {"value": None, "mean": True},
        "em,strict": {"value": 0.0, "mean": True},
        "f1,none": {"value": 0.7, "mean": False},
    }
    (board,) = build([make("a", {"x": found}, kind="lm-eval", info={"results": {"x": results}})])
    cells = board.rows[0].cells
    assert [c.key for c in board.columns] == ["x em", "x em,strict", "x f1", "x perplexity"]
    for key, value in (("x perplexity", 20.1), ("x f1", 0.7)):
        score = cells[key].scores["score"]
        assert (score.value, score.low, score.high, score.questions) == (value, None, None, 8)
    assert cells["x em"].scores == {}
    assert cells["x em"].reason == "lm-eval reports no finite number"
    assert cells["x em,strict"].scores["score"] == proportion([0] * 8, [str(n) for n in range(8)])


def test_a_run_without_answers_makes_no_board(make):
    assert build([make("a", {})]) == []


def test_unknown_names_are_refused(make):
    with pytest.raises(SettingError, match="mom-paper"):
        build([make("a")], published="mom-papers")
    with pytest.raises(ValueError, match="contains"):
        build([make("a")], metric="contain")
