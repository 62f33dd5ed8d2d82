"""Which memories the tokens of recall prompts go to: a model reads, its routes are counted."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mom_eval.errors import ModelError, SettingError
from mom_eval.evalsuite.engine.packed import portions
from mom_eval.evalsuite.evaluate import source_of
from mom_eval.evalsuite.memory import Halving, at_once
from mom_eval.evalsuite.one_model import described, find_own, hold_own
from mom_eval.evalsuite.own_model import OwnModel
from mom_eval.evalsuite.plan import setting_record, task_names
from mom_eval.evalsuite.progress import bars
from mom_eval.evalsuite.quiet import quiet_libraries
from mom_eval.evalsuite.subjects import Loaded
from mom_eval.models.lm import packed
from mom_eval.results.routing import LayerCounts, Routing
from mom_eval.tasks import TASKS
from mom_eval.tasks.data import Source, load
from mom_eval.tasks.questions import Question, prepare
from mom_eval.tasks.recall import ANSWER_LENGTH
from mom_eval.tasks.setting import Setting
from mom_eval.tasks.token_kinds import KINDS, token_kinds
from mom_eval.tasks.tokens import HFTokens


def look(
    model: str,
    tasks: str = "recall",
    *,
    data: str | None = None,
    data_dir: Path | None = None,
    protocol: str = "paper",
    context_length: int = 2048,
    limit: int | None = 50,
    tokenizer: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    kernels: str = "auto",
    allow_pickle: bool = False,
    say: Callable[[str], None],
) -> Routing:
    """Read the prompts of recall tasks and count where the router sends their tokens.

    Args:
        model: what `--model` takes, one of our own that has a router.
        tasks, data, ..., allow_pickle: as `evaluate` takes them.
        say: gets each sentence of progress.

    Raises:
        MomEvalError: anything the user can mend.
    """
    quiet_libraries()
    names, theirs = task_names(tasks)
    if theirs:
        raise SettingError(
            f"lm-eval:{theirs[0]} has no documents and answers that mom-eval knows; name recall"
            " tasks"
        )
    setting = Setting(protocol=protocol, context_length=context_length, limit=limit)
    source = source_of(data, data_dir, setting.seed, setting.limit, say)
    loaded = find_own(model, tokenizer, device, dtype, kernels, allow_pickle)
    bos = loaded.uses_bos("auto", protocol)
    setting = Setting(protocol=protocol, context_length=context_length, limit=limit, bos=bos)
    questions, files = _questions(names, source, loaded.tokens, setting)
    own = hold_own(loaded, bos)
    memories = _memories(own, loaded.subject.label)
    loaded.check_limit(context_length, bos)
    synthetic = source.kind == "sample"
    return Routing(
        about={
            **described(loaded, bos),
            "tasks": names,
            "setting": setting_record(setting, ANSWER_LENGTH),
            "data": {"source": source.kind, "files": files},
        },
        details=(
            ", ".join(names) if len(names) < len(TASKS) else f"all {len(names)} tasks",
            f"protocol {protocol}",
            f"context length {context_length:,}",
            *(() if synthetic else (f"{source.kind} data",)),
        ),
        questions=len(questions),
        kinds=KINDS,
        layers=_read(own, loaded, questions, memories),
    )


def _memories(own: OwnModel, label: str) -> int:
    """How many memories the router chooses from.

    Raises:
        ModelError: there is no router.
    """
    config = own.module.config
    if config.memories is None:
        raise ModelError(
            f"{label} ({config.name}) has no router: one memory takes every token; name a model"
            " with several memories"
        )
    return config.memories.num_memories


def _questions(
    names: Sequence[str], source: Source, tokens: HFTokens, setting: Setting
) -> tuple[list[Question], dict[str, Any]]:
    """The tasks' questions, and the files they come from."""
    questions: list[Question] = []
    files: dict[str, Any] = {}
    for name in names:
        held = load(name, source, context_length=setting.file_length)
        questions += prepare(name, held.rows, tokens, setting).questions
        files[name] = {"file": held.file, "sha256": held.sha256, "revision": held.revision}
    return questions, files


def _read(
    own: OwnModel, loaded: Loaded, questions: list[Question], memories: int
) -> dict[int, LayerCounts]:
    """Read every prompt once, longest first."""
    names = dict.fromkeys(question.document_id for question in questions)
    documents = {name: place for place, name in enumerate(names)}
    tallies: dict[int, Tally] = {}
    with bars(loaded.subject.label) as shown:
        shown.start("routing", len(questions), 0)
        halving = Halving[Question, dict[int, Routed]]("questions", _alone, shown.say)
        ordered = sorted(questions, key=lambda question: -question.prompt_tokens)
        for some in halving.results(ordered, lambda missing, rows: _routes(own, missing, rows)):
            for question, layers in some:
                spans = loaded.tokens.encode_with_spans(question.prompt)
                kinds, place = token_kinds(question, *spans), documents[question.document_id]
                for index, routed in layers.items():
                    tally = tallies.setdefault(index, Tally(len(documents), memories))
                    tally.add(place, *routed, kinds)
            shown.advance(len(some))
    return {index: tallies[index].counts() for index in sorted(tallies)}


Routed = tuple[NDArray[np.int64], NDArray[np.float64]]
"""[L, k] the memories of each token in rising order; [L] the router's entropy in bits."""


def _alone(questions: Sequence[Question]) -> str:
    longest = max(question.prompt_tokens for question in questions)
    return f"a prompt of up to {longest} tokens by itself; take a smaller --context-length"


def _routes(
    own: OwnModel, questions: Sequence[Question], rows: int | None
) -> Iterator[list[tuple[Question, dict[int, Routed]]]]:
    """Batches of prompts that fit the room, at most `rows` of them at once."""
    for batch in portions(questions, lambda question: question.prompt_tokens, own.room.tokens):
        step = rows or len(batch)
        for start in range(0, len(batch), step):
            some = batch[start : start + step]
            with at_once(len(some)):
                routes = routes_of(own, some)
            yield list(zip(some, routes, strict=True))


@torch.inference_mode()
def routes_of(own: OwnModel, questions: Sequence[Question]) -> list[dict[int, Routed]]:
    """How each prompt's tokens are routed, by layer; a beginning-of-sequence token is left out."""
    prompts = [own.encode(question.prompt) for question in questions]
    tokens, cu_seqlens = packed(prompts, own.module.embeddings.weight.device)
    none = torch.zeros(0, dtype=torch.int64, device=tokens.device)
    routing: Mapping[int, Any] = own.module(tokens, cu_seqlens, at=none).routing
    out: list[dict[int, Routed]] = [{} for _ in prompts]
    for index, routes in routing.items():
        memories = routes.memories.sort(-1).values.split([len(prompt) for prompt in prompts])
        entropy = _entropy(routes.probabilities).split([len(prompt) for prompt in prompts])
        for place, (chosen, bits) in enumerate(zip(memories, entropy, strict=True)):
            out[place][index] = chosen[own.bos :].cpu().numpy(), bits[own.bos :].cpu().numpy()
    return out


def _entropy(probabilities: Tensor) -> Tensor:
    """[L, M] -> [L], in bits."""
    return torch.special.entr(probabilities.double()).sum(-1) / np.log(2)


class Tally:
    """Counts one layer's routes, by document."""

    def __init__(self, documents: int, memories: int) -> None:
        """All counts are 0."""
        self.memories, self.top_k = memories, 0
        self.tokens, self.entropy = np.zeros(documents), np.zeros(documents)
        self.steps, self.changes = np.zeros(documents), np.zeros(documents)
        self.chosen = np.zeros((documents, memories))
        self.of_kind = np.zeros((documents, len(KINDS)))
        self.chosen_of_kind = np.zeros((documents, len(KINDS), memories))
        self.sets: Counter[tuple[int, ...]] = Counter()

    def add(
        self,
        document: int,
        memories: NDArray[np.int64],
        entropy: NDArray[np.float64],
        kinds: NDArray[np.bool_],
    ) -> None:
        """Count one prompt: [L, k] its tokens' memories in rising order, [L] bits, [L, K] kinds."""
        self.top_k = memories.shape[1]
        hits = (memories[:, :, None] == np.arange(self.memories)).any(1).astype(float)
        self.tokens[document] += len(memories)
        self.entropy[document] += entropy.sum()
        self.steps[document] += len(memories) - 1
        self.changes[document] += (memories[1:] != memories[:-1]).any(1).sum()
        self.chosen[document] += hits.sum(0)
        self.of_kind[document] += kinds.sum(0)
        self.chosen_of_kind[document] += kinds.T.astype(float) @ hits
        sets, counts = np.unique(memories, axis=0, return_counts=True)
        self.sets.update(dict(zip(map(tuple, sets.tolist()), counts.tolist(), strict=True)))

    def counts(self) -> LayerCounts:
        """What was counted."""
        return LayerCounts(
            top_k=self.top_k,
            tokens=self.tokens,
            chosen=self.chosen,
            entropy=self.entropy,
            steps=self.steps,
            changes=self.changes,
            sets=self.sets,
            of_kind=self.of_kind,
            chosen_of_kind=self.chosen_of_kind,
        )
