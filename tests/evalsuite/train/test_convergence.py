"""Models learn the same on Triton's kernels as on torch's; on a GPU alone, it takes trainings."""

import numpy as np
import pytest
import torch

from tests.evalsuite.train.test_loop import curve, trained

SEEDS, STEPS = range(8), 200
EARLY, BOUND, BEGIN = 20, {"float32": 1e-3, "bfloat16": 5e-2}, 3
"""Steps in which kernels that round otherwise stay together, how near, and of how many seeds. Later
they do not: weights other by a millionth, on the same kernels, end as far apart as seeds do."""
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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["gated_deltanet", "gla"])
def test_curves_agree_within_the_spread_of_seeds(small, tmp_path, family, dtype):
    """A MoM's of one seed begin alike; behind half of the steps the means over seeds are alike."""
    torch_s, triton_s = (
        np.array([losses(small, tmp_path, family, kernels, dtype, seed) for seed in SEEDS])
        for kernels in ("torch", "triton")
    )
    begin = np.abs(torch_s - triton_s)[:BEGIN, :EARLY].max(1)
    assert begin.max() < BOUND[dtype], begin
    ends = [curves[:, STEPS // 2 :].mean(1) for curves in (torch_s, triton_s)]
    apart = abs(ends[0].mean() - ends[1].mean())
    error = float(np.sqrt(sum(one.var(ddof=1) / len(SEEDS) for one in ends)))
    learned = torch_s[:, 0].mean() - ends[0].mean()
    assert apart < 2 * error < learned / 5, (apart, error, learned)
