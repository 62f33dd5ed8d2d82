"""Models learn the same on Triton's kernels as on torch's; on a GPU alone, it takes trainings."""

from itertools import combinations, product

import numpy as np
import pytest
import torch

from tests.evalsuite.train.test_loop import curve, trained

SEEDS, STEPS, SMOOTH = (0, 1, 2), 200, 20
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


OPTIONS = {"gated_deltanet": "num_heads = 1\nhead_dim = 8", "gla": "num_heads = 2"}


def losses(small, out, family, kernels, dtype, seed):
    """A curve, each point the mean of some steps."""
    how = f'device = "cuda"\nkernels = "{kernels}"\ndtype = "{dtype}"\nseed = {seed}'
    path = small(
        ('family = "gated_deltanet"', f'family = "{family}"'),
        ("num_heads = 1\nhead_dim = 8", OPTIONS[family]),
        ("hidden_size = 16", "hidden_size = 64"),
        ("steps = 12\nbatch_tokens = 96", f"steps = {STEPS}\nbatch_tokens = 4096"),
        ("heldout_every = 5\nheldout_tokens = 64\nsave_every = 4\n", ""),
        ('device = "cpu"', how),
    )
    trained(path, out / f"{kernels}-{seed}")
    loss = np.array([float(row["loss"]) for row in curve(out / f"{kernels}-{seed}")])
    return np.convolve(loss, np.full(SMOOTH, 1 / SMOOTH), "valid")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["gated_deltanet", "gla"])
def test_curves_agree_within_the_spread_of_seeds(small, tmp_path, family, dtype):
    """A MoM's of one seed lie nearer to each other than those of two seeds."""
    curves = {
        (kernels, seed): losses(small, tmp_path, family, kernels, dtype, seed)
        for kernels, seed in product(("torch", "triton"), SEEDS)
    }

    def apart(a, b):
        return float(np.abs(curves[a] - curves[b]).mean())

    same = max(apart(("torch", seed), ("triton", seed)) for seed in SEEDS)
    spread = min(apart(("torch", a), ("torch", b)) for a, b in combinations(SEEDS, 2))
    learned = curves["triton", 0][0] - curves["triton", 0][-1]
    assert same < spread < learned, (same, spread, learned)
