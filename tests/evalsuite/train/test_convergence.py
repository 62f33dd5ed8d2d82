"""Models learn the same on Triton's kernels as on torch's; on a GPU alone, it takes trainings."""

from itertools import combinations, product

import numpy as np
import pytest
import torch

from tests.evalsuite.train.test_loop import curve, trained

SEEDS, STEPS, SMOOTH = (0, 1, 2), 200, 20
EARLY, BOUND = 20, {"float32": 1e-3, "bfloat16": 5e-2}
"""Steps in which kernels that round otherwise stay together, and how near. Later they do not:
weights other by a millionth, on the same kernels, end as far apart as seeds do."""
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


OPTIONS = {"gated_deltanet": "num_heads = 1\nhead_dim = 8", "gla": "num_heads = 2"}


def losses(small, out, family, kernels, dtype, seed):
    """Of all steps."""
    how = f'device = "cuda"\nkernels = "{kernels}"\ndtype = "{dtype}"\nseed = {seed}'
    path = small(
        ('family = "gated_deltanet"', f'family = "{family}"'),
        ("num_heads = 1\nhead_dim = 8", OPTIONS[family]),
        ("hidden_size = 16", "hidden_size = 64"),
        ("steps = 12\nbatch_tokens = 96", f"steps = {STEPS}\nbatch_tokens = 4096"),
        ("heldout_every = 5\nheldout_tokens = 64\nsave_every = 4\n", ""),
        ('device = "cpu"', how),
        ("rate = 1e-2", "rate = 2e-3"),
    )
    trained(path, out / f"{kernels}-{seed}")
    return np.array([float(row["loss"]) for row in curve(out / f"{kernels}-{seed}")])


def smooth(losses):
    """Each point the mean of some steps."""
    return np.convolve(losses, np.full(SMOOTH, 1 / SMOOTH), "valid")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["gated_deltanet", "gla"])
def test_curves_agree_within_the_spread_of_seeds(small, tmp_path, family, dtype):
    """A MoM's of one seed begin alike; on the mean of all seeds they end alike."""
    curves = {
        (kernels, seed): losses(small, tmp_path, family, kernels, dtype, seed)
        for kernels, seed in product(("torch", "triton"), SEEDS)
    }
    for seed in SEEDS:
        begin = np.abs(curves["torch", seed] - curves["triton", seed])[:EARLY]
        assert begin.max() < BOUND[dtype], (seed, begin)

    def apart(a, b):
        return float(np.abs(smooth(a) - smooth(b)).mean())

    torch_s, triton_s = (
        np.mean([curves[kernels, seed] for seed in SEEDS], 0) for kernels in ("torch", "triton")
    )
    pairs = combinations(SEEDS, 2)
    spread = float(np.mean([apart(curves["torch", a], curves["torch", b]) for a, b in pairs]))
    learned = triton_s[0] - triton_s[-SMOOTH:].mean()
    assert apart(torch_s, triton_s) < spread < learned, (apart(torch_s, triton_s), spread, learned)
