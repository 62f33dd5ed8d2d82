"""Train the models of configs/zoo side by side on all GPUs.

    export ZOO=FOLDER        # of scripts/zoo_data.py
    python scripts/zoo_train.py configs/zoo/*/*.toml --out trained
    mom-eval run --model 'trained/models/*' --data $DATA

A model <folder>-<config> (small-gla) is trained into trained/<model>, and its last checkpoint is
trained/models/<model>; what it says goes to trained/<model>.log. Several share a GPU, with the
cores parted among them; what they read is made before, once, with all cores. With
`--set rate=1e-3,2e-3` each is trained in several ways, as <model>-rate-1e-3. A model whose folder
is there already is not trained again, and said to be; exits with 1 if a training fails.
"""

import itertools
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import torch

from mom_eval.errors import MomEvalError
from mom_eval.evalsuite.train.config import Config, read
from mom_eval.tasks.tokens import load_tokens


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("configs", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--out", required=True, type=click.Path(path_type=Path))
@click.option("--set", "values", default="", help="NAME=VALUE,... instead of the file's.")
@click.option("--at-once", default=3, show_default=True, help="Trainings that share a GPU.")
@click.option("--gpus", default="", help="Their numbers, with commas.  [default: all]")
def main(configs: tuple[Path, ...], out: Path, values: str, at_once: int, gpus: str) -> None:
    """Train CONFIGS."""
    (out / "models").mkdir(parents=True, exist_ok=True)
    jobs: queue.SimpleQueue[tuple[str, Path]] = queue.SimpleQueue()
    asked: list[Path] = []
    key, _, some = values.partition("=")
    for value, config in itertools.product(some.split(","), configs):
        name = f"{config.parent.name}-{config.stem}" + (f"-{key}-{value}" if key else "")
        path = _with(config, key, value, out / f"{name}.toml")
        jobs.put((name, path))
        if not (out / name).exists():
            asked.append(path)
    places = gpus.split(",") if gpus else [str(n) for n in range(torch.cuda.device_count())]
    if not places:
        raise click.ClickException("no GPU is there to train on")
    _make_documents(asked)
    cores = sorted(os.sched_getaffinity(0))
    count = len(places) * at_once
    failed: list[str] = []
    workers = [
        # Of more trainings than cores each may take any.
        threading.Thread(target=_work, args=(jobs, out, gpu, cores[number::count] or cores, failed))
        for number, gpu in enumerate(places * at_once)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed:
        raise click.ClickException(
            f"not trained: {', '.join(sorted(failed))}; see their .log in {out}, and remove their"
            " folders to train them again"
        )


def _make_documents(configs: Iterable[Path]) -> None:
    """What is kept of a source for all who read it; side by side each would make the same."""
    begin, made = time.monotonic(), set()
    for path in configs:
        try:
            _make_documents_of(read(path), made)
        except MomEvalError as error:
            # Its own training fails, and no other does.
            click.echo(f"{path.stem}: {error}")
    click.echo(f"{len(made)} sources read in {time.monotonic() - begin:.0f} s")


def _make_documents_of(config: Config, made: set[Any]) -> None:
    """But for those that are `made`."""
    if config.model is None:
        return  # It goes on with a checkpoint, whose tokenizer it reads then.
    tokens = load_tokens(config.tokenizer) if config.tokenizer else None
    seed, vocab = config.train.seed, config.model.vocab_size
    for heldout, sources in ((False, config.data), (True, config.heldout)):
        for source in sources:
            key = repr(source), config.tokenizer, seed, heldout
            if key not in made:
                made.add(key)
                source.reader(tokens, vocab, seed, heldout=heldout)


def _with(config: Path, key: str, value: str, to: Path) -> Path:
    """The configuration with another value, or as it is."""
    text = config.read_text("utf-8")
    if key:
        text, found = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
        if found != 1:
            raise click.ClickException(f"{config} sets {key} {found} times; once can be changed")
    to.write_text(text, "utf-8")
    return to


def _work(
    jobs: "queue.SimpleQueue[tuple[str, Path]]",
    out: Path,
    gpu: str,
    cores: list[int],
    failed: list[str],
) -> None:
    """One training after the other."""
    while True:
        try:
            name, config = jobs.get_nowait()
        except queue.Empty:
            return
        try:
            (out / name).mkdir()
        except FileExistsError:
            click.echo(f"{name}: {out / name} is there, so it is not trained again")
            continue
        begin = time.monotonic()
        ended = _train(config, out / name, gpu, cores)
        click.echo(f"{name}: {time.monotonic() - begin:.0f} s, exit {ended}")
        if ended:
            failed.append(name)
        else:
            last = max((out / name).glob("step-*"), key=lambda path: int(path.name.split("-")[1]))
            shutil.copytree(last, out / "models" / name)


def _train(config: Path, folder: Path, gpu: str, cores: list[int]) -> int:
    """Its exit status."""
    command = [sys.executable, "-m", "mom_eval", "train", str(config), "--out", str(folder)]
    with folder.with_name(f"{folder.name}.log").open("w", encoding="utf-8") as log:
        return subprocess.run(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": gpu, "OMP_NUM_THREADS": "2"},
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
            check=False,
        ).returncode


if __name__ == "__main__":
    main()
