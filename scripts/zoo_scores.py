"""Runs without a word of the data that was asked: what can be published, and compared.

    python scripts/zoo_scores.py RUNS --out results/runs.tar.xz
    tar -xf results/runs.tar.xz        # mom-eval compare A B --runs runs/paper

Everything of RUNS, as scripts/zoo_results.py takes it, goes into one archive; in the lines of runs
question, answers and output are empty, so scores (to four decimals), ids and hashes are left. The
same runs give the same bytes.
"""

import io
import json
import lzma
import tarfile
from pathlib import Path

import click

WORDS = {"question": "", "answers": [], "output": "", "log_probabilities": None}
"""What becomes of the fields that hold words of documents, or a number for each answer."""
TABLES = ("mqar.csv", "routing.csv")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("runs", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", required=True, type=click.Path(path_type=Path))
def main(runs: Path, out: Path) -> None:
    """Write the archive OUT of RUNS."""
    found = [path for path in runs.glob("*/*/*") if path.suffix == ".jsonl" or _whole(path)]
    if not found:
        raise click.ClickException(f"{runs} holds no folders of runs; see scripts/zoo_results.py")
    # One question file after the other, so that what its lines have in common is near.
    found.sort(key=lambda path: (path.parent.parent.name, path.name, path.parent.name))
    with lzma.open(out, "wb", preset=9) as file, tarfile.open(fileobj=file, mode="w") as archive:
        for path in found:
            text = path.read_text("utf-8") if _whole(path) else _wordless(path)
            about = tarfile.TarInfo(str(Path("runs") / path.relative_to(runs)))
            about.size = len(text.encode())
            archive.addfile(about, io.BytesIO(text.encode()))
    click.echo(f"wrote {out}")


def _whole(path: Path) -> bool:
    return path.name in ("run.json", *TABLES)


def _wordless(path: Path) -> str:
    lines = (json.loads(line, parse_float=_short) for line in path.read_text("utf-8").splitlines())
    return "".join(json.dumps(line | WORDS) + "\n" for line in lines)


def _short(number: str) -> float:
    """Tables show two decimals; sixteen would be most of the archive."""
    return round(float(number), 4)


if __name__ == "__main__":
    main()
