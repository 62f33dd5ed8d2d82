"""The loop: batches, losses, steps, and what is kept of them.

All a step depends on is in `resume.safetensors` (weights, optimizer, how much was drawn) and in the
seed, so a training that was killed goes on with the same losses; on a CPU to the last bit.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mom_eval.errors import RunError, SettingError
from mom_eval.evalsuite.checkpoints import find
from mom_eval.evalsuite.memory import out_of_memory
from mom_eval.evalsuite.subjects import pick_device
from mom_eval.evalsuite.train.ahead import spare_cores
from mom_eval.evalsuite.train.config import Config, Training
from mom_eval.evalsuite.train.folder import Folder
from mom_eval.evalsuite.train.heldout import Heldout
from mom_eval.evalsuite.train.mixture import Batch, Mixture
from mom_eval.evalsuite.train.optimizer import Optimizer, rate
from mom_eval.evalsuite.train.progress import training_bar
from mom_eval.models import LM, cast, load
from mom_eval.models.ahead import compile_gradients
from mom_eval.models.balance import load_balance, z_loss
from mom_eval.tasks.tokens import HFTokens, load_tokens


class Trained(NamedTuple):
    """What a training has left."""

    steps: int
    checkpoint: Path


class Interrupted(KeyboardInterrupt):
    """Stopped by Ctrl-C or a SIGTERM, and saved; the message says where."""


@dataclass
class Losses:
    """Sums of one step."""

    loss: float = 0.0
    """Nats a label."""
    balance: float = 0.0
    """Of the router, weighted as it is added."""


def train(
    config: Config,
    out: Path,
    file: Path,
    *,
    resume: bool = False,
    profile: bool = False,
    say: Callable[[str], None] = print,
) -> Trained:
    """Train a model, or go on.

    Args:
        config: from `config.read`.
        out: the training's folder.
        file: where the configuration stands, to be kept in the folder.
        resume: go on with what the folder holds; without anything there, begin.
        profile: write a trace of a few steps, `trace.json`, which chrome://tracing shows.
        say: takes a line for the user.

    Raises:
        MomEvalError: data, model, folder or device cannot be used; or the loss is no number.
        Interrupted: after Ctrl-C or SIGTERM, once the step is done and saved.
    """
    folder = Folder(out)
    folder.check(file, config.raw, resume=resume)
    device = pick_device(config.train.device)
    tokens = load_tokens(config.tokenizer) if config.tokenizer else None
    with _enough_memory("the model", "a smaller one or another device"):
        lm, tokens = _model(config, device, tokens)
    trainer = Trainer(config, lm, tokens, folder, device, say)
    begin = trainer.restore()
    if profile and config.train.steps - begin < 5:
        raise SettingError(
            f"--profile looks at the third to the fifth step; {config.train.steps - begin} are"
            " left: set more steps, or leave it out"
        )
    folder.open(file)
    folder.cut(begin)
    with closing(trainer.mixture), _stopping() as stop:
        trainer.run(begin, stop, trainer.profiler() if profile else nullcontext())
    return Trained(config.train.steps, trainer.checkpoint)


class Trainer:
    """One training in progress."""

    def __init__(
        self,
        config: Config,
        lm: LM,
        tokens: HFTokens | None,
        folder: Folder,
        device: str,
        say: Callable[[str], None],
    ) -> None:
        """Opens the sources, which may take a while."""
        self.lm, self.tokens, self.folder, self.device, self.say = lm, tokens, folder, device, say
        self.training: Training = config.train
        vocab, seed = lm.config.vocab_size, self.training.seed
        readers = [one.reader(tokens, vocab, seed, heldout=False) for one in config.data]
        for one, reader in zip(config.data, readers, strict=True):
            if reader.account:
                say(f"{one.name}: {reader.account}")
        weights = [one.weight for one in config.data]
        self.mixture = Mixture(readers, weights, seed, _workers(device))
        self.heldout = Heldout(config.heldout, tokens, vocab, self.training)
        self.optimizer = Optimizer(lm, self.training)
        self.read = 0
        """Tokens so far."""
        self.drawn: list[tuple[int, int]] = []
        """Documents and tokens of each source so far."""
        self._ahead: tuple[list[Batch], list[tuple[int, int]]] | None = None
        self.checkpoint = folder.path

    def restore(self) -> int:
        """Take up what the folder holds; the number of steps that are done."""
        found = self.folder.state()
        if found is None:
            return 0
        tensors, facts = found
        self.optimizer.restore(tensors)
        self.mixture.drawn = [tuple(pair) for pair in facts["drawn"]]
        self.read = facts["tokens"]
        self.checkpoint = self.folder.path / f"step-{facts['step']:06d}"
        return facts["step"]

    def run(self, begin: int, stop: "Stop", profiler: AbstractContextManager[Any]) -> None:
        """Steps `begin` to the last."""
        total = self.training.steps
        with training_bar(total, begin) as bar, profiler as profile:
            for step in range(begin + 1, total + 1):
                start, before = time.monotonic(), self.read
                losses, norm = self.step(step, stop)
                speed = (self.read - before) / (time.monotonic() - start)
                self._record(step, losses, norm, speed)
                bar.advance(losses.loss, speed)
                if profile is not None:
                    profile.step()
                self._measure(step)
                if stop.asked or step == total or self._due(self.training.save_every, step):
                    self.save(step)
                if stop.asked and step < total:
                    raise Interrupted(f"stopped and saved after step {step:,} of {total:,}")

    def step(self, step: int, stop: "Stop") -> tuple[Losses, float]:
        """Step 1, 2, ...: forward, backward and the optimizer's; gradients' norm."""
        batches, self.drawn = self._ahead or self._draw()
        # Labels, not batches, weigh alike: so it is one big batch, however it is cut.
        labels = sum(len(batch.labels) for batch in batches)
        recompute = "" if self.training.recompute else "recompute = true, or "
        with _enough_memory(f"step {step:,}", recompute + self._smaller):
            parts = []
            for batch in batches:
                part, balance = self._loss(batch, labels)
                (part + balance).backward()
                self.optimizer.collect()
                parts.append(torch.stack([part.detach(), balance.detach()]))
                self.read += len(batch.tokens)
            # While a GPU works.
            last = stop.asked or step == self.training.steps
            self._ahead = None if last else self._draw()
            losses = Losses(*torch.stack(parts).sum(0).tolist())
            self._check(losses.loss, "loss", step)
            norm = self.optimizer.step(step - 1)
        self._check(norm, "gradients' norm", step)
        return losses, norm

    def _draw(self) -> tuple[list[Batch], list[tuple[int, int]]]:
        """The batches of a step, and what is drawn of each source behind them."""
        batches = [
            self.mixture.batch(self.training.batch_tokens).to(self.device)
            for _ in range(self.training.accumulate)
        ]
        return batches, list(self.mixture.drawn)

    @property
    def _smaller(self) -> str:
        now = f"{self.training.batch_tokens:,} and {self.training.accumulate:,}"
        return f"a smaller batch_tokens with a larger accumulate than {now}"

    def _check(self, value: float, what: str, step: int) -> None:
        if not math.isfinite(value):
            raise RunError(
                f"the {what} is no number at step {step:,}; take a lower rate, more warmup or"
                f" float32, and another --out or the last checkpoint of {self.folder.path}"
            )

    def _loss(self, batch: Batch, labels: int) -> tuple[Tensor, Tensor]:
        """The batch's part of the mean over all labels, and what keeps routers balanced."""
        nats, routing = self.lm.nats(
            batch.tokens, batch.cu_seqlens, at=batch.at, labels=batch.labels
        )
        loss = nats / labels
        balance = loss.new_zeros(())
        if routing and self.training.balance:
            balance = balance + self.training.balance * load_balance(routing)
        if routing and self.training.z_loss:
            balance = balance + self.training.z_loss * z_loss(routing)
        return loss, balance / self.training.accumulate

    def _record(self, step: int, losses: Losses, norm: float, speed: float) -> None:
        row = {
            "step": step,
            "tokens": self.read,
            "loss": losses.loss,
            "balance": losses.balance,
            "rate": rate(self.training, step - 1),
            "gradient_norm": norm,
            "tokens_per_second": round(speed),
        }
        self.folder.add("loss.csv", row)

    def _measure(self, step: int) -> None:
        if step != self.training.steps and not self._due(self.training.heldout_every, step):
            return
        with _enough_memory("the held-out loss", self._smaller):
            rows = self.heldout.measure(self.lm, self.device)
        for row in rows:
            self.folder.add("heldout.csv", {"step": step, "tokens": self.read, **row})
            self.say(
                f"step {step:,}  {row['source']}: held-out loss {row['loss']:.4f},"
                f" {row['accuracy']:.1%} right"
            )

    @staticmethod
    def _due(every: int | None, step: int) -> bool:
        return every is not None and step % every == 0

    def save(self, step: int) -> None:
        """A checkpoint, the state to go on from, and the curves so far."""
        from mom_eval.results.plot_training import write

        self.checkpoint = self.folder.checkpoint(step, self.lm, self.tokens)
        facts = {"step": step, "tokens": self.read, "drawn": self.drawn}
        self.folder.save(self.optimizer.tensors(), facts)
        loss, heldout = (self.folder.rows(name) for name in ("loss.csv", "heldout.csv"))
        write(self.folder.path, loss, heldout, self.lm.config.name)

    def profiler(self) -> torch.profiler.profile:
        """Steps 3 to 5 of this call."""

        def written(profile: torch.profiler.profile) -> None:
            path = self.folder.path / "trace.json"
            profile.export_chrome_trace(str(path))
            by = "self_cuda_time_total" if self.device != "cpu" else "self_cpu_time_total"
            self.say(profile.key_averages().table(sort_by=by, row_limit=15))
            self.say(f"wrote {path}")

        return torch.profiler.profile(
            schedule=torch.profiler.schedule(wait=1, warmup=1, active=3, repeat=1),
            on_trace_ready=written,
        )


@contextmanager
def _enough_memory(where: str, mend: str) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise RunError(f"out of memory at {where}; take {mend}, and another --out") from error


def _model(config: Config, device: str, tokens: HFTokens | None) -> tuple[LM, HFTokens | None]:
    """A new model, or the one to go on from, with the tokenizer it is used with."""
    dtype = getattr(torch, config.train.dtype)
    if config.model is not None:
        lm = LM(config.model)
        torch.manual_seed(config.train.seed)
        lm.reset_parameters()
        cast(lm, dtype).to(device)
    else:
        assert config.start is not None
        found = find(config.start)
        if len(found) != 1:
            raise SettingError(f"start = {config.start!r} names {len(found)} models; name one")
        found[0].check_ours(", so it cannot be trained on; let start name one of them")
        lm = load(found[0].folder, device=device, dtype=dtype)
        needed = any(source.needs_tokenizer for source in (*config.data, *config.heldout))
        if tokens is None and needed:
            tokens = load_tokens(str(found[0].folder))
    vocab = lm.config.vocab_size
    if tokens is not None and len(tokens.tokenizer) > vocab:
        raise SettingError(
            f"the tokenizer {tokens.name} has {len(tokens.tokenizer):,} tokens and the model's"
            f" vocabulary {vocab:,}; set vocab_size = {len(tokens.tokenizer)}"
        )
    lm.kernels, lm.recompute = config.train.kernels, config.train.recompute
    compile_gradients(lm.train())
    return lm, tokens


def _workers(device: str) -> int:
    """Processes that make documents: a CPU trains with all it has."""
    return spare_cores() if torch.device(device).type == "cuda" else 0


class Stop:
    """Whether somebody wants the training to end."""

    asked = False


@contextmanager
def _stopping() -> Iterator[Stop]:
    """Ctrl-C and SIGTERM ask; a second one ends at once."""
    stop = Stop()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def ask(number: int, frame: Any) -> None:
        stop.asked = True
        for one, handler in before.items():
            signal.signal(one, handler)

    for number in signals:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
