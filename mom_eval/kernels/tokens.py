"""What a step of decoding begins and ends with: tokens into vectors, logits into tokens."""

import torch.nn.functional as F
from torch import Tensor

from mom_eval.kernels.choose import takes_triton
from mom_eval.kernels.shapes import Axes


def begin_step(
    tokens: Tensor, slots: Tensor, embeddings: Tensor, seen: Tensor
) -> tuple[Tensor, Tensor]:
    """Vectors of one token a slot, and when they come; they are counted.

    Args:
        tokens: [R] int64, of the vocabulary; a GPU does not look whether they are.
        slots: [R] int64, none of them twice but -1, which is nobody's: then the last slot must be.
        embeddings: [vocab, D].
        seen: [S] int64, tokens of each slot before these, contiguous. Changed.

    Returns:
        x [R, D], and what the slots had seen [R].

    Raises:
        ValueError: on shapes that do not fit, naming the axis, or where seen is not contiguous.
    """
    axes = Axes()
    axes.check("tokens", tokens, "R")
    axes.check("slots", slots, "R")
    axes.check("embeddings", embeddings, "vocab D")
    axes.check("seen", seen, "S")
    if not seen.is_contiguous():
        raise ValueError("seen must be contiguous, to be changed in place")
    if takes_triton("begin_step", "auto", (embeddings, tokens, slots, seen)):
        from mom_eval.kernels.tokens_triton import run_begin_step

        return run_begin_step(tokens, slots, embeddings, seen)
    times = seen[slots]
    seen[slots] = times + (slots >= 0)
    return F.embedding(tokens, embeddings), times


def most_probable(logits: Tensor) -> Tensor:
    """The token [R] of each row's largest logit [R, vocab], the first of several.

    A row that holds what is no number gives where one is, or an infinity. Raises ValueError where
    the logits are no rows.
    """
    Axes().check("logits", logits, "R vocab")
    if takes_triton("most_probable", "auto", (logits,)):
        from mom_eval.kernels.tokens_triton import run_most_probable

        return run_most_probable(logits)
    return logits.argmax(-1)
