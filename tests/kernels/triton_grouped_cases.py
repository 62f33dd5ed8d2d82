"""Grouped products and their gradients in Triton; `test_triton` runs this by itself."""

import pytest
import torch

from mom_eval.kernels import grouped_linear, grouped_triton, preferring
from tests.kernels.triton_cases import DEVICE, GPU, poison
from tests.kernels.triton_norm_backward_cases import check

# Products of float32 are three of tf32 on a GPU.
BOUNDS = {torch.float32: 1e-5} | ({torch.float16: 1e-3, torch.bfloat16: 6e-3} if GPU else {})
GROUPS = {
    "one": [5],
    "one of whole blocks": [128],
    "one that is empty": [0],
    "all empty": [0, 0, 0],
    "empty at the ends and between": [0, 0, 70, 71, 71, 71, 290, 290],
    "at the edges of blocks": [63, 64, 128, 193, 193, 257],
}
# Outputs and inputs: blocks of 64 and less of them, never both 16 bytes long in half precision.
WIDTHS = [(132, 20), (20, 132), (1, 70), (70, 1), (1, 1)]


@pytest.fixture(autouse=True)
def _few_programs(monkeypatch):
    """So few that each goes on through a group's rows, also where there are two parts of them."""
    monkeypatch.setattr(grouped_triton, "PROGRAMS", 8)


def product(x, weight, ends):
    """Of rows that begin wherever they do, as columns of a wider tensor do."""
    return grouped_linear(x[:, 3 : 3 + weight.shape[2]], weight, ends)


def product_of(ends):
    return lambda x, weight: product(x, weight, ends)


def case(groups, widths, dtype):
    ends, (N, D) = torch.tensor(groups, dtype=torch.int32, device=DEVICE), widths
    x, weight = torch.randn(groups[-1], D + 9).to(dtype), torch.randn(len(ends), N, D).to(dtype)
    return x.to(DEVICE), weight.to(DEVICE), ends


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_grouped_products(relative, groups, widths, dtype):
    x, weight, ends = case(groups, widths, dtype)
    with preferring("torch"):
        truth = product(x.double(), weight.double(), ends)
    poison()
    with preferring("triton"):
        found, again = (product(x, weight, ends) for _ in range(2))
    assert (found.dtype, found.shape) == (dtype, truth.shape)
    assert relative(found, truth) < BOUNDS[dtype]
    assert torch.equal(found, again)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_gradients_of_grouped_products(relative, groups, widths, dtype):
    x, weight, ends = case(groups, widths, dtype)
    check(product_of(ends), relative, BOUNDS[dtype], x=x, weight=weight)


@pytest.mark.parametrize("dtype", BOUNDS)
def test_as_many_rows_as_a_training_has(relative, monkeypatch, dtype):
    """Of the writers of a small model, whose 260 columns fill no strides of 16 bytes."""
    monkeypatch.undo()  # As many programs as in use.
    many = 16_384 if GPU else 100
    x, weight, ends = case([many, 2 * many, 2 * many + 3, 4 * many], (260, 128), dtype)
    check(product_of(ends), relative, BOUNDS[dtype], x=x, weight=weight)


def test_a_group_without_rows_has_a_gradient_of_zero():
    x, weight, ends = case([0, 40, 40], (20, 12), torch.float32)
    weight.requires_grad_()
    poison()
    with preferring("triton"):
        # A sum's gradient has strides of zero.
        product(x, weight, ends).sum().backward()
    assert [bool(one.any()) for one in weight.grad] == [False, True, False]
    assert x.grad is None


def test_weights_with_any_strides(relative):
    """As a transposed weight is; and ends that are int64."""
    x, weight, ends = case([30, 30, 150], (12, 70), torch.float32)
    turned, x = weight.mT.contiguous().mT, x.requires_grad_()
    with preferring("torch"):
        truth = product(x.double(), weight.double(), ends)
    with preferring("triton"):
        found = product(x, turned, ends.long())
    (of_x,), (expected,) = (torch.autograd.grad(y.sum(), x) for y in (found, truth))
    assert relative(found.detach(), truth.detach()) < 1e-5
    assert relative(of_x, expected) < 1e-5
