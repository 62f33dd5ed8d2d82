"""Gradients that Triton kernels must give; `test_triton` runs this by itself."""

import pytest
import torch

from mom_eval.kernels import most_keys
from tests.kernels.conftest import gated_delta_case
from tests.kernels.triton_cases import DEVICE, GPU, KINDS, poison

LENGTHS = (65, 0, 1, 130)
SIZES = [(1, 2, 20, 36)] + ([(2, 4, 128, 128), (1, 2, 256, 200), (1, 1, 60, 100)] if GPU else [])
# In the interpreter only products of float32 are right.
BOUNDS = {torch.float32: 1e-4} | ({torch.bfloat16: 2e-2} if GPU else {})


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("decay", ["mild", "near", "edge", "wild", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_recurrence(relative, kind, decay, sizes, dtype):
    """Of all inputs and states, several value heads a key head, an empty segment among others."""
    if kind.startswith("none") and decay != "mild":
        pytest.skip("no decay")
    if decay in ("near", "edge") and not kind.startswith("channel"):
        pytest.skip("no change of ways")
    if sizes[2] > most_keys(dtype):
        pytest.skip("too wide")
    case = gated_delta_case(kind, LENGTHS, decay, sizes).to(DEVICE)
    case.stream.update({name: case.stream[name].to(dtype) for name in ("q", "k", "v")})
    truth = case.to(torch.float64).gradients("recurrent")
    poison()
    found = case.gradients("triton")
    if GPU:
        again = case.gradients("triton")
        assert all(torch.equal(found[name], again[name]) for name in truth)
    # A gate's gradient is what is read less what is written, k times their gradients.
    least = {"dg": 1e-3 * float(truth["dk"].norm())}
    errors = {name: relative(found[name], x, least.get(name, 1e-8)) for name, x in truth.items()}
    assert max(errors.values()) < BOUNDS[dtype], errors
