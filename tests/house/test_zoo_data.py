"""What checkpoints are trained on: parted by document, apart from the test, the same each time."""

import gzip
import json

import pytest
from click.testing import CliRunner

from mom_eval.tasks.recall import RECALL
from tests.house.scripts import script

zoo_data = script("zoo_data")


def rows(task, numbers):
    out = []
    for number in numbers:
        text = f"Document {number} of {task}. The code is K{number}X9."
        row = {"doc_id": f"{task}-{number}", "value": f"K{number}X9", "key": "code"}
        if task not in ("fda", "swde"):
            row |= {"context": text, "question": "what is the code", "answers": [row["value"]]}
            row |= {"title": "Codes", "text": f"{text} what is the code Answer:"}
        else:
            row |= {"file_name": f"{number}.txt", "text": f"{text}\ncode:"}
        out.append(row)
    return out


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))


@pytest.fixture
def data(tmp_path):
    """Sixty documents a task to train on, five to test on, forty books."""
    books = [f"Book {n}. It was a dark and stormy night, number {n}.\n" * 5 for n in range(40)]
    write(tmp_path / "data/corpus/books.txt.gz", "\n\n\n\n".join(books))
    for task in RECALL:
        trained = [(f"{task}.train", range(60))] if task in zoo_data.TASKS else []
        for name, numbers in (*trained, (task, range(100, 105))):
            lines = "".join(json.dumps(row) + "\n" for row in rows(task, numbers))
            write(tmp_path / f"data/recall/{name}.jsonl.gz", lines)
    return tmp_path / "data"


def run(data, out):
    books = data / "corpus" / "books.txt.gz"
    words = ["--data", str(data / "recall"), "--books", str(books), "--out", str(out)]
    return CliRunner().invoke(zoo_data.main, words)


def read(path, task):
    with gzip.open(path, "rt") as file:
        return [RECALL[task].document(json.loads(line)) for line in file]


def test_documents_are_parted_and_the_same_bytes_come_again(data, tmp_path):
    done = run(data, tmp_path / "a")
    assert done.exit_code == 0, done.output
    for task in ("fda", "squad", "swde"):
        kept, held = (
            read(tmp_path / f"a/recall/{name}.jsonl.gz", task) for name in (f"{task}.train", task)
        )
        assert len(kept) + len(held) == 60
        assert 0 < len(held) < 15
        assert not set(kept) & set(held)
    assert run(data, tmp_path / "b").exit_code == 0
    paths = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(paths) == 11
    for path in paths:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_a_document_of_the_test_is_refused(data, tmp_path):
    lines = "".join(json.dumps(row) + "\n" for row in rows("fda", [7, 200]))
    write(data / "recall/fda.jsonl.gz", lines)
    done = run(data, tmp_path / "out")
    assert done.exit_code == 1
    assert "1 documents of fda.train stand in fda too" in done.output


def test_no_book_is_a_document_of_any_test(data, tmp_path):
    book = "Book 7. It was a dark and stormy night, number 7.\n" * 5
    row = rows("nq", [1])[0] | {"context": book, "text": f"{book} what is the code Answer:"}
    write(data / "recall/nq.jsonl.gz", json.dumps(row) + "\n")
    done = run(data, tmp_path / "out")
    assert done.exit_code == 1
    assert "1 documents of books stand in nq too" in done.output


def test_digits_stand_alone_and_every_byte_comes_back():
    tokenizer = zoo_data.tokenizer(["The device K1234 was cleared. " * 40])
    ids = tokenizer.encode("K1234 \u00e9\U0001f600\x00", add_special_tokens=False)
    assert tokenizer.decode(ids) == "K1234 \u00e9\U0001f600\x00"
    assert [tokenizer.decode([one]) for one in ids[:5]] == ["K", "1", "2", "3", "4"]
    assert tokenizer.eos_token_id == 0
