"""What the generation engine saves, and what it takes beside lm-eval's HFLM.

    python scripts/compare_engine.py --data DATA [--limit 8] [--no-peer]
    python scripts/compare_engine.py --data DATA --no-peer --device cuda --dtype bfloat16

For FDA and SWDE of a data folder, and for both protocols, it prints the tokens of all prompts as
they are and as the engine reads them. Then it asks a random Mamba-2 all questions on the first
documents three times: with the engine, with the engine one question at a time, and with lm-eval's
HFLM on transformers' Mamba-2 of the same weights (their own classes; HFLM pads its batches).

A random model decides closely: in bfloat16 the share of answers that change is an upper bound for
a trained one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mom_eval.errors import MomEvalError
from mom_eval.evalsuite.answerers import Answer, Answerer
from mom_eval.evalsuite.engine.trie import build
from mom_eval.evalsuite.own_model import OwnModel
from mom_eval.models.load import load as load_model
from mom_eval.tasks.data import load, resolve
from mom_eval.tasks.questions import Question, prepare
from mom_eval.tasks.setting import Setting
from mom_eval.tasks.tokens import HFTokens, load_tokens

SMOLLM2 = Path(__file__).parents[1] / ".cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SETTINGS = {
    "paper": Setting(protocol="paper", context_length=1024),
    # So long that no document is cut: one that is cut from the left begins elsewhere each time.
    "full": Setting(protocol="full", context_length=1 << 20),
}


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", required=True, help="folder with fda.jsonl.gz and swde.jsonl.gz")
    parser.add_argument("--tokenizer", default=str(SMOLLM2), help="folder, or a .gguf file")
    parser.add_argument("--limit", type=int, default=8, help="documents whose questions are asked")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch-size", type=int, help="of all three; default: what each chooses")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--no-peer", action="store_true", help="leave lm-eval's HFLM out")
    return parser.parse_args()


def tokens_of(name: str) -> HFTokens:
    """The tokenizer in a folder or a GGUF file."""
    path = Path(name)
    if path.suffix == ".gguf":
        return load_tokens(str(path.parent), gguf_file=path.name)
    return load_tokens(name)


def both(asked: argparse.Namespace, tokens: HFTokens, folder: Path) -> tuple[OwnModel, Any]:
    """The same random Mamba-2 twice: ours, and transformers'."""
    from transformers import Mamba2Config, Mamba2ForCausalLM

    torch.manual_seed(0)
    config = Mamba2Config(
        vocab_size=len(tokens.tokenizer),
        hidden_size=asked.width,
        num_hidden_layers=asked.layers,
        num_heads=2 * asked.width // 64,
        head_dim=64,
        state_size=64,
        n_groups=1,
        # So large that an answer depends on the whole prompt.
        initializer_range=0.2,
    )
    peer = Mamba2ForCausalLM(config).eval()
    peer.save_pretrained(folder)
    dtype = getattr(torch, asked.dtype)
    ours = load_model(folder, device=asked.device, dtype=dtype)
    return OwnModel(ours, tokens.tokenizer, False), peer.to(asked.device, dtype)


def count(questions: Sequence[Question], tokens: HFTokens) -> str:
    """Tokens of all prompts, and of what is left to read where beginnings are shared."""
    prompts = [tokens.encode(question.prompt) for question in questions]
    whole = sum(map(len, prompts))
    read = sum(len(node) for root in build(prompts) for node in root.walk())
    documents = len({question.document_id for question in questions})
    return (
        f"{len(questions)} questions on {documents} documents: {whole:,} tokens in prompts,"
        f" {read:,} read ({1 - read / whole:.1%} saved)"
    )


def first_documents(questions: Sequence[Question], limit: int) -> list[Question]:
    """Every question on the first documents of a fixed random order."""
    wanted = list(dict.fromkeys(question.document_id for question in questions))[:limit]
    return [question for question in questions if question.document_id in wanted]


def ask(answerer: Answerer, questions: Sequence[Question]) -> dict[str, Answer]:
    """Question id -> answer."""
    return {
        question.id: answer
        for some in answerer.answers(questions, None)
        for question, answer in some
    }


def timed(device: str, do: Any) -> tuple[float, dict[str, Answer]]:
    """Seconds, and what came of it."""
    start = time.perf_counter()
    out = do()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start, out


def compare(one: dict[str, Answer], other: dict[str, Answer]) -> str:
    """How far two sets of answers agree."""
    same = sum(one[key].output == other[key].output for key in one)
    far = max(
        abs(a - b)
        for key in one
        for a, b in zip(
            one[key].log_probabilities or (), other[key].log_probabilities or (), strict=True
        )
    )
    return (
        f"{same} of {len(one)} texts equal, {1 - same / len(one):.2%} changed; log probabilities"
        f" within {far:.1e}"
    )


def measure(
    asked: argparse.Namespace, ours: OwnModel, peer: Any, questions: Sequence[Question]
) -> None:
    """Ask the questions in three ways and print seconds and agreement."""
    answerer = ours.answerer(asked.batch_size, 0)
    seconds, together = timed(asked.device, lambda: ask(answerer, questions))
    different = len({answer.output for answer in together.values()})
    print(
        f"  engine            {seconds:8.1f} s  {len(questions)} questions, at most"
        f" {answerer.largest_batch} at once, {different} different texts; {answerer.count}"
    )
    alone = ours.answerer(1, 0)
    seconds, single = timed(
        asked.device,
        lambda: {k: a for question in questions for k, a in ask(alone, [question]).items()},
    )
    print(f"  one at a time     {seconds:8.1f} s  {compare(together, single)}")
    if not asked.no_peer:
        from mom_eval.evalsuite.lm_eval_model import wrap_model

        room = max(question.prompt_tokens for question in questions) + 256
        theirs = wrap_model(peer, ours.tokenizer, False).answerer(asked.batch_size, room)
        seconds, found = timed(asked.device, lambda: ask(theirs, questions))
        print(f"  HFLM              {seconds:8.1f} s  {compare(together, found)}")
    sys.stdout.flush()


def main() -> None:
    """Print everything."""
    asked = options()
    tokens, source = tokens_of(asked.tokenizer), resolve(asked.data)
    with tempfile.TemporaryDirectory() as folder:
        ours, peer = both(asked, tokens, Path(folder))
    parameters = sum(p.numel() for p in ours.module.parameters())
    print(
        f"Mamba-2 of {parameters:,} random parameters, {asked.layers} layers of width"
        f" {asked.width}, {asked.dtype} on {asked.device} ({torch.get_num_threads()} threads)"
    )
    for task in ("fda", "swde"):
        for name, setting in SETTINGS.items():
            questions = prepare(task, load(task, source).rows, tokens, setting).questions
            print(f"{task} {name}: {count(questions, tokens)}", flush=True)
            # The first call of everything is slow; it is not counted.
            few = first_documents(questions, asked.limit)
            ask(ours.answerer(1, 0), few[:1])
            measure(asked, ours, peer, few)


if __name__ == "__main__":
    try:
        main()
    except MomEvalError as error:
        sys.exit(f"{error}")
