"""AdamW over float32 weights, whatever the model computes in.

In float32 the optimizer's weights are the model's. In bfloat16 they are copies: a step of a
thousandth of a weight would be lost in bfloat16's 8 bits, and so would a sum of many gradients.
"""

import math

import torch
from torch import Tensor

from mom_eval.evalsuite.train.config import Training
from mom_eval.models import LM


def rate(training: Training, step: int) -> float:
    """The learning rate of step 0, 1, ...: it rises straight, then falls as a cosine.

    The cosine is SGDR's (arXiv 1608.03983, eq. 5), without restarts.
    """
    if step < training.warmup:
        return training.rate * (step + 1) / training.warmup
    done = (step - training.warmup) / max(1, training.steps - training.warmup)
    low = training.final_rate
    return training.rate * (low + (1 - low) * (1 + math.cos(math.pi * done)) / 2)


VECTORS = ("bias", "lower_bounds")
"""Biases and decays, also where one parameter [M, width] holds those of all memories or layers."""


def decayed(name: str, weight: Tensor) -> bool:
    """Whether a parameter is a matrix, not a norm, a bias or a decay."""
    return weight.ndim > 1 and not any(part in VECTORS for part in name.split("."))


class Optimizer:
    """Adds up gradients, clips them, and takes a step."""

    def __init__(self, lm: LM, training: Training) -> None:
        """Matrices are decayed (arXiv 1711.05101); vectors, such as norms and decays, are not."""
        self.training = training
        self.parts = dict(lm.named_parameters())
        self.weights = {
            name: part.detach() if part.dtype == torch.float32 else part.detach().float()
            for name, part in self.parts.items()
        }
        self.sums: dict[str, Tensor] = {}
        parts: dict[bool, list[Tensor]] = {True: [], False: []}
        for name, weight in self.weights.items():
            parts[decayed(name, weight)].append(weight)
        self.adam = torch.optim.AdamW(
            [
                {"params": parts[True], "weight_decay": training.weight_decay},
                {"params": parts[False], "weight_decay": 0.0},
            ],
            lr=training.rate,
            betas=training.betas,
        )

    def collect(self) -> None:
        """Add the gradients that a backward pass has left to the sums, and clear them."""
        for name, part in self.parts.items():
            if part.grad is None:
                continue
            if name in self.sums:
                self.sums[name] += part.grad
            else:
                self.sums[name] = part.grad.float()
            part.grad = None

    def step(self, number: int) -> float:
        """Step `number` with the collected gradients; none where their norm is no number.

        Returns:
            Their norm before clipping.
        """
        for name, weight in self.weights.items():
            weight.grad = self.sums.get(name)
        norm = float(torch.nn.utils.clip_grad_norm_(self.weights.values(), self.training.clip))
        if not math.isfinite(norm):
            return norm
        for group in self.adam.param_groups:
            group["lr"] = rate(self.training, number)
        self.adam.step()
        self.adam.zero_grad()
        self.sums = {}
        self.publish()
        return norm

    @torch.no_grad()
    def publish(self) -> None:
        """Copy the weights into the model, where they are copies."""
        for name, part in self.parts.items():
            if part.dtype != torch.float32:
                part.copy_(self.weights[name])

    def tensors(self) -> dict[str, Tensor]:
        """All that the next step depends on, by name."""
        out = {}
        for name, weight in self.weights.items():
            out[f"weight.{name}"] = weight
            out |= {f"{key}.{name}": value for key, value in self.adam.state[weight].items()}
        return out

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        for name, weight in self.weights.items():
            weight.copy_(tensors[f"weight.{name}"])
            self.adam.state[weight] = {
                key: tensors[f"{key}.{name}"].to(weight.device if key != "step" else "cpu")
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"{key}.{name}" in tensors
            }
        self.publish()
