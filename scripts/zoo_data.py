"""What the shipped checkpoints are trained on, out of local data: train, validation, tokenizer.

    python scripts/zoo_data.py --data $DATA --books $BOOKS --out FOLDER

DATA is the folder of the six tasks, as everywhere, BOOKS a text file, gzipped, four newlines
between two books. A tenth of the documents, by hash, is validation: every choice is made there.
FOLDER then holds

    books.txt.gz, books.valid.txt.gz      books, four newlines between two
    recall/<task>.train.jsonl.gz          questions of fda, squad and swde to train on
    recall/<task>.jsonl.gz                those held out, as `mom-eval train` looks for them
    tokenizer/                            byte-level BPE of 4,096, trained on books, fda and squad
    manifest.json                         documents, questions, bytes and hashes of all that

No document of a test file may be among them: it is looked for by hash, and found is an error. The
tokenizer sees no SWDE, whose pages may not be passed on.
"""

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from mom_eval.tasks import files
from mom_eval.tasks.recall import RECALL

TASKS = ("fda", "squad", "swde")
OF_TOKENIZER = ("fda", "squad")
BETWEEN = "\n\n\n\n"
VOCABULARY = 4096
END = "<|end|>"
VALIDATION = 10
"""One document in so many."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--books", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(data: Path, books: Path, out: Path) -> None:
    """Write FOLDER; the same data give the same bytes."""
    (out / "recall").mkdir(parents=True, exist_ok=True)
    made: dict[str, Any] = {}
    tests, whole = _tests(data), _books(books)
    _check_apart("books", whole, tests)
    for name, some in zip(("books", "books.valid"), _parted(whole), strict=True):
        path = out / f"{name}.txt.gz"
        _write(path, BETWEEN.join(some))
        made[path.name] = _about(path, some)
    texts = list(_parted(whole)[0])
    for task in TASKS:
        rows = list(files.read_rows(data / f"{task}.train.jsonl.gz", task))
        document = RECALL[task].document
        _check_apart(f"{task}.train", map(document, rows), tests)
        for name, some in zip((f"{task}.train", task), _parted(rows, document), strict=True):
            path = out / "recall" / f"{name}.jsonl.gz"
            _write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in some))
            own = list(dict.fromkeys(map(document, some)))
            made[f"recall/{path.name}"] = _about(path, own) | {"questions": len(some)}
            if task in OF_TOKENIZER and name != task:
                texts += own
    tokenizer(texts).save_pretrained(out / "tokenizer")
    made["tokenizer"] = {"sha256": files.sha256(out / "tokenizer" / "tokenizer.json")}
    (out / "manifest.json").write_text(json.dumps(made, indent=1) + "\n", "utf-8")
    for name, about in made.items():
        click.echo(f"{name}  {json.dumps(about)}")


def tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE; digits stand alone, since numbers are copied and not understood."""
    bpe = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    parts = [digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    bpe.pre_tokenizer = pre_tokenizers.Sequence(parts)  # pyright: ignore[reportAttributeAccessIssue]
    bpe.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END)


def held_out(document: str) -> bool:
    """Is it validation? One in `VALIDATION` is, whatever the others are."""
    return int.from_bytes(_hash(document)[:8], "big") % VALIDATION == 0


def _books(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().split(BETWEEN)


def _parted(items: list[Any], document: Any = str) -> tuple[list[Any], list[Any]]:
    """What is trained on, and what is held out."""
    kept, held = [], []
    for item in items:
        (held if held_out(document(item)) else kept).append(item)
    return kept, held


def _tests(folder: Path) -> dict[bytes, str]:
    """Hashes of all documents that are for the test alone, of the six tasks, and whose they are."""
    return {
        _hash(of.document(row)): task
        for task, of in RECALL.items()
        for row in files.read_rows(folder / f"{task}.jsonl.gz", task)
    }


def _check_apart(name: str, documents: Iterable[str], tests: Mapping[bytes, str]) -> None:
    found = [tests[key] for key in set(map(_hash, documents)) if key in tests]
    if found:
        where = ", ".join(sorted(set(found)))
        raise click.ClickException(
            f"{len(found)} documents of {name} stand in {where} too, which is for the test alone;"
            " take them out of one of the two"
        )


def _hash(document: str) -> bytes:
    return hashlib.sha256(document.strip().encode()).digest()


def _write(path: Path, text: str) -> None:
    """With nothing of the time or the name in the file."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(text.encode())


def _about(path: Path, documents: list[str]) -> dict[str, Any]:
    return {
        "documents": len(documents),
        "bytes": sum(len(document.encode()) for document in documents),
        "sha256": files.sha256(path),
    }


if __name__ == "__main__":
    main()
