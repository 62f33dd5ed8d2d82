"""Documents of every kind of source."""

import gzip
import json
from copy import copy, deepcopy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from mom_eval.errors import DataError, SettingError
from mom_eval.evalsuite.train import recall_source, tokenized
from mom_eval.evalsuite.train.mixture import pack
from mom_eval.evalsuite.train.sources import MqarSource, RecallSource, TextSource
from mom_eval.tasks.mqar import IGNORE


def opened(source, tokens=None, *, seed=0, heldout=False):
    return source.reader(tokens, 400, seed, heldout=heldout)


def text_of(tokens, document):
    return tokens.tokenizer.decode(document.tokens)


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_pieces_of_a_text_ask_for_every_token_once_and_span_no_two_documents(
    tmp_path, tokens, name
):
    parts = ["The device is a meter. " * 9, "It was founded in 1884.", ""]
    raw = "\n\n\n\n".join(parts).encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    source = TextSource(file=str(tmp_path / name), length=16, separator="\n\n\n\n")
    reader = opened(source, tokens)
    assert reader.documents is not None
    pieces = [reader.document(number) for number in range(reader.documents)]
    assert max(len(piece.tokens) for piece in pieces) == 16
    whole = [[*tokens.encode(part), tokens.tokenizer.eos_token_id] for part in parts if part]
    asked = [label for piece in pieces for label in piece.labels]
    assert asked == [token for ids in whole for token in ids[1:]]
    read = [token for piece in pieces for token in piece.tokens]
    assert read == [token for ids in whole for token in ids[:-1]]


def test_a_text_read_twice_can_be_copied_the_second_time(tmp_path, tokens):
    parts = ["The device is a meter. " * 9, "It was founded in 1884."]
    (tmp_path / "a.txt").write_text("|".join(parts))
    source = TextSource(file=str(tmp_path / "a.txt"), length=17, separator="|", twice=True)
    reader = opened(source, tokens)
    assert reader.documents is not None
    read: list[int] = []
    for number in range(reader.documents):
        document = reader.document(number)
        both = [*document.tokens, document.labels[-1]]
        once = len(both) // 2
        assert once <= 8
        assert both[:once] == both[once:]
        assert np.array_equal(document.labels[:-1], document.tokens[1:])
        read += both[:once]
    end = tokens.tokenizer.eos_token_id
    assert read == [token for part in parts for token in [*tokens.encode(part), end]]
    with pytest.raises(ValueError, match="length = 1; it must be 2 or more"):
        TextSource(file="a.txt", length=1, twice=True)


@pytest.mark.parametrize(
    ("raw", "sentence"), [(b"\xff\xfe", "byte 1 is not UTF-8"), (b"", "is empty")]
)
def test_a_broken_text_is_one_sentence(tmp_path, tokens, raw, sentence):
    (tmp_path / "a.txt").write_bytes(raw)
    with pytest.raises(DataError, match=sentence):
        opened(TextSource(file=str(tmp_path / "a.txt"), length=8), tokens)


def test_a_text_of_one_token_is_one_sentence(tmp_path, tokens):
    (tmp_path / "a.txt").write_text("T")
    tokens.tokenizer.eos_token, eos = None, tokens.tokenizer.eos_token
    try:
        with pytest.raises(DataError, match=r"a.txt holds a single token; nothing follows it"):
            opened(TextSource(file=str(tmp_path / "a.txt"), length=8), tokens)
    finally:
        tokens.tokenizer.eos_token = eos


def test_a_missing_or_torn_file_is_one_sentence(tmp_path, tokens):
    with pytest.raises(DataError, match=r"none.txt cannot be read: No such file"):
        opened(TextSource(file=str(tmp_path / "none.txt"), length=8), tokens)
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"words " * 99)[:30])
    with pytest.raises(DataError, match="no whole gzip file"):
        opened(TextSource(file=str(tmp_path / "a.gz"), length=8), tokens)


def test_synthetic_recall_ends_in_the_answer_and_goes_on_without_end(tokens):
    source = RecallSource(data="sample", length=512, tasks=("fda", "nq"), answers_only=True)
    reader = opened(source, tokens)
    assert reader.documents is None
    texts = set()
    for number in (0, 1, 63, 64, 65, 200):
        document = reader.document(number)
        assert len(document.tokens) == len(document.labels) <= 512
        asked = document.labels != IGNORE
        answer = tokens.tokenizer.decode(document.labels[asked])
        assert answer.startswith(" ")
        assert answer.endswith("\n")
        assert answer.strip() in text_of(tokens, document)
        assert np.array_equal(document.labels[asked][:-1], document.tokens[1:][asked[:-1]])
        texts.add(text_of(tokens, document))
    assert len(texts) == 6


def test_recall_questions_ask_for_every_token_unless_told_otherwise(tokens):
    document = opened(RecallSource(data="sample", length=512, tasks=("nq",)), tokens).document(0)
    assert np.array_equal(document.labels[:-1], document.tokens[1:])


@pytest.mark.parametrize("documents", [None, 4])
def test_tokens_of_an_answer_count_as_often_as_told(tokens, documents):
    source = RecallSource(data="sample", length=512, tasks=("nq",), documents=documents)
    plain = pack([opened(source, tokens).document(0)])
    answer = pack([opened(replace(source, answers_only=True), tokens).document(0)])
    batch = pack([opened(replace(source, emphasis=3), tokens).document(0)])
    at, times = batch.at.unique(return_counts=True)
    assert torch.equal(at, plain.at)
    assert torch.equal(at[times == 3], answer.at)
    assert set(times.tolist()) == {1, 3}
    assert torch.equal(batch.labels, plain.labels[batch.at])
    with pytest.raises(ValueError, match="emphasis = 0; it must be 1 or more"):
        replace(source, emphasis=0)


def test_synthetic_recall_holds_out_other_names_than_it_trains_on(tokens):
    source = RecallSource(data="sample", length=512, tasks=("fda",))
    trained, held = (opened(source, tokens, heldout=heldout) for heldout in (False, True))
    assert text_of(tokens, trained.document(0)) != text_of(tokens, held.document(0))
    other = opened(source, tokens, seed=1)
    assert text_of(tokens, trained.document(0)) != text_of(tokens, other.document(0))


def test_several_questions_on_a_document_stand_behind_each_others_answers(tokens):
    source = RecallSource(data="sample", length=2048, tasks=("fda",), asked=4, answers_only=True)
    reader, counts = opened(source, tokens), []
    for number in range(32):
        document = reader.document(number)
        asked = np.flatnonzero(document.labels != IGNORE)
        ends = np.flatnonzero(np.diff(asked) > 1) + 1
        answers = [tokens.tokenizer.decode(document.labels[part]) for part in np.split(asked, ends)]
        prompt = tokens.tokenizer.decode(document.tokens[: asked[0] + 1])
        for answer in answers:
            assert answer.startswith(" ")
            assert answer.endswith("\n")
            assert answer.strip().lower() in prompt.lower()
        assert len(set(answers)) == len(answers)
        counts.append(len(answers))
    assert max(counts) == 4


def test_questions_of_which_the_window_has_lost_the_answer_are_asked_on_another(tmp_path, tokens):
    words = " ".join(f"w{n}." for n in range(400))
    context = f"The code of the head is H1X. {words} The code of the end is E2X."
    rows = [
        {"doc_id": str(n), "context": context, "question": f"asked {n}", "answers": [answer]}
        for n, answer in enumerate(("H1X", "E2X", "H1X. w0"))
    ]
    for name in ("nq", "nq.train"):
        some = rows if name != "nq" else [{**rows[0], "context": f"Other. {context}"}]
        lines = "".join(json.dumps(one) + "\n" for one in some)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    source = RecallSource(data=str(tmp_path), length=256, tasks=("nq",), asked=8)
    reader = opened(source, tokens)
    texts = [text_of(tokens, reader.document(place)) for place in range(reader.documents or 0)]
    assert sorted(text.count("asked ") for text in texts) == [1, 2]
    assert sum("asked 1 E2X" in text for text in texts) == 1


def row(number):
    return {
        "doc_id": str(number),
        "context": f"Record {number}. The code of it is K{number}X9.",
        "question": f"what is code {number}",
        "answers": [f"K{number}X9"],
    }


def test_recall_files_train_on_train_and_hold_out_the_test_file(tmp_path, tokens):
    for name, numbers in (("nq", range(3)), ("nq.train", range(10, 15))):
        lines = "".join(json.dumps(row(number)) + "\n" for number in numbers)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    source = RecallSource(data=str(tmp_path), length=256, tasks=("nq",))
    for heldout, numbers in ((False, range(10, 15)), (True, range(3))):
        reader = opened(source, tokens, heldout=heldout)
        assert reader.documents == len(numbers)
        texts = [text_of(tokens, reader.document(place)) for place in range(len(numbers))]
        assert all(any(f"Record {number}." in text for text in texts) for number in numbers)
    (tmp_path / "nq.train.jsonl").unlink()
    with pytest.raises(DataError, match=r"holds no nq.train.\*; leave nq out of tasks"):
        opened(source, tokens)


def test_a_question_is_trained_on_with_an_answer_that_its_prompt_holds_or_not_at_all(
    tmp_path, tokens
):
    aliased = row(1) | {"answers": ["the first code", "k1x9"]}
    lost = row(2) | {"answers": ["elsewhere"]}
    lines = "".join(json.dumps(one) + "\n" for one in (aliased, lost, row(3)))
    (tmp_path / "nq.train.jsonl").write_text(lines)
    (tmp_path / "nq.jsonl").write_text(json.dumps(row(4)) + "\n")
    reader = opened(RecallSource(data=str(tmp_path), length=256, tasks=("nq",)), tokens)
    assert (reader.documents, reader.left_out) == (2, 1)
    assert reader.account == (
        "1 question is left out, since no answer stands in the prompt; the others make 2 documents"
    )
    ends = {text_of(tokens, reader.document(place)).split("? ")[-1] for place in range(2)}
    assert {end.split(" ")[-1] for end in ends} == {"k1x9", "K3X9"}
    (tmp_path / "nq.train.jsonl").write_text(json.dumps(lost) + "\n")
    with pytest.raises(DataError, match=r"no prompt of 256 tokens from .* holds its answer; take"):
        opened(RecallSource(data=str(tmp_path), length=256, tasks=("nq",)), tokens)


def test_no_document_is_trained_on_that_is_held_out(tmp_path, tokens):
    (tmp_path / "nq.train.jsonl").write_text(json.dumps(row(1)) + "\n" + json.dumps(row(2)) + "\n")
    (tmp_path / "nq.jsonl").write_text(json.dumps(row(2) | {"question": "another"}) + "\n")
    with pytest.raises(DataError, match=r"1 documents of .* held out in nq.* begins 'Record 2"):
        opened(RecallSource(data=str(tmp_path), length=256, tasks=("nq",)), tokens)


def never():
    raise AssertionError("made anew")


def test_what_a_file_gives_is_kept_until_it_or_a_setting_changes(tmp_path, tokens, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("The device is a meter. " * 9)
    first = opened(TextSource(file=str(path), length=16), tokens)
    with monkeypatch.context() as patched:
        patched.setattr(TextSource, "_pieces", lambda *_: never())
        again = opened(TextSource(file=str(path), length=16), tokens)
        assert first.documents == again.documents
        for n in range(first.documents):
            assert all(map(np.array_equal, first.document(n), again.document(n)))
        with pytest.raises(AssertionError):
            opened(TextSource(file=str(path), length=17), tokens)
        other = copy(tokens)
        other.tokenizer = deepcopy(tokens.tokenizer)
        other.tokenizer.eos_token = "e"
        with pytest.raises(AssertionError):
            opened(TextSource(file=str(path), length=16), other)
        path.write_text("The device is no meter. " * 9)
        with pytest.raises(AssertionError):
            opened(TextSource(file=str(path), length=16), tokens)


ANSWER = np.array([False, False, True])


def test_what_is_kept_and_broken_is_made_anew(tmp_path, monkeypatch):
    made = tokenized.joined([(np.array([1, 2, 70_000]), ANSWER), (np.array([5, 6]), ANSWER[1:])], 3)
    assert tokenized.kept({"a": 1}, lambda: made) is made
    (path,) = tokenized._folder().iterdir()
    found = tokenized.kept({"a": 1}, never)
    assert (found.left_out, found.documents, found.ids.dtype) == (3, 2, np.uint32)
    tokens, labels, times = found.document(0, 2, 0)
    assert (tokens.tolist(), labels.tolist()) == ([1, 2], [IGNORE, 70_000])
    assert times is not None
    assert times.tolist() == [0, 2]
    for broken in (b"", path.read_bytes()[:-30], b"PK"):
        path.write_bytes(broken)
        assert tokenized.kept({"a": 1}, lambda: made) is made
    assert [one.name for one in tokenized._folder().iterdir()] == [path.name]
    monkeypatch.setenv("XDG_CACHE_HOME", str(path))
    assert tokenized.kept({"a": 1}, lambda: made) is made


def test_what_is_kept_hangs_on_the_code(monkeypatch):
    made = tokenized.joined([(np.array([1, 2]), ANSWER[1:])])
    tokenized.kept({"a": 1}, lambda: made)
    monkeypatch.setattr(tokenized, "_code", lambda: "other")
    assert tokenized.kept({"a": 1}, lambda: made) is made


def test_synthetic_prompts_hold_their_answers_though_windows_lose_some(tokens):
    source = RecallSource(data="sample", length=256, tasks=("triviaqa", "drop"), answers_only=True)
    reader = opened(source, tokens)
    documents = [reader.document(number) for number in range(64)]
    assert len({text_of(tokens, document) for document in documents}) == 64
    for document in documents:
        answer = tokens.tokenizer.decode(document.labels[document.labels != IGNORE]).strip()
        assert text_of(tokens, document).lower().count(answer.lower()) > 1
    short = RecallSource(data="sample", length=96, tasks=("triviaqa",))
    with pytest.raises(SettingError, match=r"prompts of 96 tokens hold too few .* to triviaqa"):
        opened(short, tokens).document(0)


class Pairs:
    """Two characters a token, so a prompt of odd length shares its last token with the answer."""

    def encode_with_spans(self, text):
        pairs = zip(text[::2], text[1::2] + "~", strict=False)
        ids = [ord(a) * 256 + ord(b) for a, b in pairs]
        return ids, [(2 * place, 2 * place + 2) for place in range(len(ids))]


def lot(prompt, answer) -> Any:
    return [SimpleNamespace(prompt=prompt, answers=(answer,))]


@pytest.mark.parametrize(("prompt", "first"), [("Code:", ": "), ("Codes:", " K")])
def test_the_answer_begins_where_the_tokens_of_prompt_and_text_part(prompt, first):
    source = RecallSource(data="sample", length=96, answers_only=True)
    ids, asked = source._ids(lot(prompt, "K9"), cast(Any, Pairs()))
    assert divmod(int(ids[asked][0]), 256) == tuple(map(ord, first))


def test_an_answer_beyond_the_length_is_cut(tokens):
    source = RecallSource(data="sample", length=96, answers_only=True)
    ids, asked = source._ids(lot("Code:", "K9 " * 200), tokens)
    assert len(ids) == len(asked) == 96


def test_so_many_synthetic_documents_are_those_without_end_and_made_once(tokens, monkeypatch):
    fresh = opened(RecallSource(data="sample", length=256, tasks=("nq", "fda")), tokens)
    source = RecallSource(data="sample", length=256, tasks=("nq", "fda"), documents=70)
    reader = opened(source, tokens)
    assert reader.documents == 70
    for number in (0, 63, 64, 69):
        for one, other in zip(reader.document(number), fresh.document(number), strict=True):
            assert np.array_equal(one, other)
    monkeypatch.setattr(recall_source, "in_processes", lambda *_: never())
    assert np.array_equal(opened(source, tokens).document(69).tokens, fresh.document(69).tokens)
    with pytest.raises(AssertionError):
        opened(replace(source, asked=2), tokens)


def test_mqar_holds_out_other_examples_and_says_what_does_not_fit():
    source = MqarSource(length=32, pairs=4)
    trained, held = (opened(source, heldout=heldout) for heldout in (False, True))
    first, again = trained.document(300), opened(source).document(300)
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first.tokens, held.document(300).tokens)
    with pytest.raises(SettingError, match="mqar 32/9: 9 pairs"):
        opened(MqarSource(length=32, pairs=9))
