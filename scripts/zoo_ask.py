"""Ask trained models of configs/zoo all that results/ is made of, several side by side on all GPUs.

    python scripts/zoo_ask.py trained/models/* --data $DATA --out runs
    python scripts/zoo_results.py runs --data $DATA --out results

runs then holds a folder a way of asking (WAYS): run folders as `mom-eval run --out` writes them,
rows made by code once; of mqar and routing a folder a model. Ablations are asked without the
control. What is there is not asked again, and what was stopped goes on; exits with 1 if a command
fails, whose words are in runs/.asking.
"""

import json
import math
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import click
import torch

from mom_eval.errors import MomEvalError
from mom_eval.models import ModelConfig
from mom_eval.models.load import read

WAYS: Final = {
    "paper": "run --data {data} --control blind",
    "ablations": "run --data {data}",
    "full": "run --data {data} --protocol full --context-length {whole}",
    "sample": "run --data sample --limit 200 --context-length 1024",
    "sample-full": "run --data sample --limit 200 --context-length 1024 --protocol full"
    " --control blind",
    "haystack": "run --data sample --tasks nq --limit 130 --haystack {hay} --depth 0,.5,1",
    "mqar": "mqar --lengths 256,512,1024 --pairs 8,16,32,64,128,256 --examples 500",
    "routing": "routing --data {data} --tasks fda,squad --limit 20",
}
"""Folder -> mom-eval's command. Of more than 130 questions NQ's sample has too little hay."""
TABLES: Final = ("mqar", "routing")
"""What gives a table a model, and no runs."""
WHOLE: Final = (2048, 8192)
"""Context lengths of whole documents."""
HAY: Final = (512, 1024, 2048, 4096, 8192, 16_384)
ASKING: Final = ".asking"
_KEEPING = threading.Lock()


class Job(NamedTuple):
    """One command of one model."""

    way: str
    model: Path
    words: tuple[str, ...]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument(
    "models",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--out", required=True, type=click.Path(path_type=Path))
@click.option("--ways", default=",".join(WAYS), show_default=True)
@click.option("--at-once", default=4, show_default=True, help="Commands that share a GPU.")
def main(models: tuple[Path, ...], data: Path, out: Path, ways: str, at_once: int) -> None:
    """Ask MODELS, folders of checkpoints."""
    asked = ways.split(",")
    if unknown := [way for way in asked if way not in WAYS]:
        raise click.ClickException(f"no way {unknown[0]!r}; known: {', '.join(WAYS)}")
    jobs = [job for job in _jobs(models, data.resolve(), asked) if not _answered(job, out)]
    places = [str(n) for n in range(torch.cuda.device_count())] or [""]
    free: queue.SimpleQueue[str] = queue.SimpleQueue()
    for place in places * at_once:
        free.put(place)
    with ThreadPoolExecutor(len(places) * at_once) as threads:
        done = threads.map(lambda job: _answer(job, out, free), jobs)
        failed = [
            f"{job.way} of {job.model.name}"
            for job, right in zip(jobs, done, strict=True)
            if not right
        ]
    if failed:
        raise click.ClickException(
            f"not asked: {', '.join(sorted(failed))}; see their .log in {out / ASKING}, and call"
            " this again"
        )


def _jobs(models: Sequence[Path], data: Path, ways: Sequence[str]) -> Iterator[Job]:
    """Way by way, so that what is stopped has all models of the first ones."""
    configs = {model: _config(model) for model in models}
    for way in ways:
        for model, config in configs.items():
            if _applies(way, model, config):
                fits = config.max_positions if config.attention_layers else math.inf
                # A haystack's question and answer stand behind it.
                hay = [length for length in HAY if length < fits]
                whole = [length for length in WHOLE if length <= fits]
                given = {"data": data, "whole": _listed(whole), "hay": _listed(hay)}
                words = (word.format_map(given) for word in WAYS[way].split())
                yield Job(way, model, tuple(words))


def _config(model: Path) -> ModelConfig:
    try:
        return read(model).model.config
    except MomEvalError as error:
        raise click.ClickException(str(error)) from error


def _listed(lengths: Sequence[int]) -> str:
    return ",".join(map(str, lengths))


def _applies(way: str, model: Path, config: ModelConfig) -> bool:
    if way == "routing":
        return config.memories is not None
    ablation = model.name.startswith("ablations-")
    return way == "ablations" if ablation else way != "ablations"


def _answered(job: Job, out: Path) -> bool:
    if job.way in TABLES:
        return (out / job.way / job.model.name).exists()
    return job.model.name in map(_label, (out / job.way).glob("*/run.json"))


def _label(run: Path) -> str:
    return json.loads(run.read_text("utf-8"))["label"]


def _answer(job: Job, out: Path, free: "queue.SimpleQueue[str]") -> bool:
    """Ask on a GPU that is free, and keep what is said; False where the command fails."""
    folder = out / ASKING / job.way / job.model.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = free.get()
    try:
        ended = _ask(job, folder, place)
    finally:
        free.put(place)
    click.echo(f"{job.way} of {job.model.name}: {'failed' if ended else 'asked'}")
    if not ended:
        _keep(job, folder, out / job.way)
    return not ended


def _ask(job: Job, folder: Path, place: str) -> int:
    """Its exit status."""
    command, *options = job.words
    model = f"{job.model.name}={job.model.resolve()}"
    named = [model] if job.way in TABLES else ["--model", model, "--batch-size", "64"]
    words = [sys.executable, "-m", "mom_eval", command, *named, *options, "--out", str(folder)]
    own = {"CUDA_VISIBLE_DEVICES": place} if place else {}
    with folder.with_name(f"{folder.name}.log").open("w", encoding="utf-8") as log:
        return subprocess.run(
            words,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "2", **own},
            check=False,
        ).returncode


def _keep(job: Job, folder: Path, to: Path) -> None:
    """Bring what was asked to the others of its way; a row made by code is there but once."""
    to.mkdir(parents=True, exist_ok=True)
    if job.way in TABLES:
        folder.rename(to / folder.name)
        return
    # The model's own last: one that is there has all its runs.
    runs = sorted(folder.glob("*/run.json"), key=lambda path: _label(path) == job.model.name)
    with _KEEPING:
        for run in runs:
            if not (to / run.parent.name).exists():
                run.parent.rename(to / run.parent.name)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
