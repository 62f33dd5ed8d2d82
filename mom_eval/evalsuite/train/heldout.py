"""The loss on what is not trained on."""

from collections.abc import Sequence
from itertools import chain, count
from typing import Any

import torch

from mom_eval.evalsuite.train.config import Training
from mom_eval.evalsuite.train.documents import Reader, Source
from mom_eval.evalsuite.train.mixture import Batch, Mixture
from mom_eval.models import LM
from mom_eval.tasks.tokens import HFTokens


class Heldout:
    """The same batches each time."""

    def __init__(
        self, sources: Sequence[Source], tokens: HFTokens | None, vocab: int, training: Training
    ) -> None:
        """Packs them at once."""
        self.batches: dict[str, list[Batch]] = {}
        for source in sources:
            reader = source.reader(tokens, vocab, training.seed, heldout=True)
            self.batches[self._free(source.name)] = _batches(reader, training)

    def _free(self, name: str) -> str:
        """The name, with a number where another source has it: `heldout.txt`, `heldout.txt 2`."""
        names = chain([name], (f"{name} {number}" for number in count(2)))
        return next(free for free in names if free not in self.batches)

    @torch.inference_mode()
    def measure(self, lm: LM, device: str) -> list[dict[str, Any]]:
        """For each source: nats a label, and the share of labels that come first."""
        out = []
        lm.eval()
        for name, batches in self.batches.items():
            loss = right = labels = 0.0
            for batch in batches:
                batch = batch.to(device)
                nats, first = lm.label_scores(
                    batch.tokens, batch.cu_seqlens, at=batch.at, labels=batch.labels
                )
                loss += float(nats.sum())
                right += int(first.sum())
                labels += len(first)
            out.append({"source": name, "loss": loss / labels, "accuracy": right / labels})
        lm.train()
        return out


def _batches(reader: Reader, training: Training) -> list[Batch]:
    """At most `heldout_tokens` tokens, no document twice."""
    mixture, out, left = Mixture([reader], [1.0], training.seed), [], training.heldout_tokens
    while left > 0 and (reader.documents is None or mixture.drawn[0][0] < reader.documents):
        out.append(mixture.batch(min(left, training.batch_tokens), once=True))
        left -= len(out[-1].tokens)
    return out
