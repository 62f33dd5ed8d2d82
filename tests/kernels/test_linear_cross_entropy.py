"""The loss behind the last product: torch's over whole logits, which are never made here."""

from importlib import import_module

import pytest
import torch
import torch.nn.functional as F

from mom_eval.kernels import label_scores, linear_cross_entropy
from tests.kernels.largest import Largest

# The package has a function of the same name.
OP = import_module("mom_eval.kernels.linear_cross_entropy")
V, D = 11, 6
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """Three rows a chunk."""
    monkeypatch.setattr(OP, "LOGITS", 3 * V)


def drawn(P: int, dtype: torch.dtype = torch.float64, device: str = "cpu"):
    x, weight = (torch.randn(n, D, dtype=dtype, device=device, requires_grad=True) for n in (P, V))
    return x, weight, torch.randint(V, (P,), device=device)


def gradients(loss, *leaves):
    return loss.detach(), *torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("P", [0, 1, 2, 3, 4, 6, 10])
def test_it_is_torchs_over_whole_logits(P):
    x, weight, labels = drawn(P)
    whole = F.cross_entropy(F.linear(x, weight), labels, reduction="sum")
    want = gradients(0.7 * whole, x, weight)
    got = gradients(0.7 * linear_cross_entropy(x, weight, labels), x, weight)
    torch.testing.assert_close(got, want, atol=1e-12, rtol=1e-12)
    with torch.no_grad():
        alone = linear_cross_entropy(x, weight, labels)
    torch.testing.assert_close(alone, whole.detach(), atol=1e-12, rtol=1e-12)


def test_gradients_are_those_of_differences():
    x, weight, labels = drawn(7)
    assert torch.autograd.gradcheck(lambda *a: linear_cross_entropy(*a, labels), (x, weight))


@pytest.mark.parametrize("which", [0, 1])
def test_one_gradient_alone(which):
    given, labels = [part.detach() for part in drawn(7)[:2]], torch.arange(7)
    given[which].requires_grad_()
    want = gradients(F.cross_entropy(F.linear(*given), labels, reduction="sum"), given[which])
    got = gradients(linear_cross_entropy(*given, labels), given[which])
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("device", DEVICES)
def test_bfloat16_sums_over_chunks_in_float32(monkeypatch, device):
    """Of a thousand chunks; summed in bfloat16, the gradient of W is off by a tenth and more."""
    monkeypatch.setattr(OP, "LOGITS", 4 * V)
    x, weight, labels = drawn(4000, torch.bfloat16, device)
    found = linear_cross_entropy(x, weight, labels) / 4000
    assert found.dtype == torch.float32
    exact = [part.detach().double().requires_grad_() for part in (x, weight)]
    want = gradients(F.cross_entropy(F.linear(*exact), labels), *exact)
    got = gradients(found, x, weight)
    assert [part.dtype for part in got] == [torch.float32, torch.bfloat16, torch.bfloat16]
    for one, true in zip(got, want, strict=True):
        # Logits, slopes and gradients are rounded, to 8 bits each.
        assert (one.double() - true).norm() < 1e-2 * true.norm()


def test_logits_never_stand_whole():
    x, weight, labels = drawn(50)
    with Largest() as seen:
        linear_cross_entropy(x, weight, labels).backward()
        label_scores(x, weight, labels)
    assert 50 * D <= seen.elements < 50 * V
    with Largest() as seen:
        F.cross_entropy(F.linear(x, weight), labels).backward()
    assert seen.elements == 50 * V


def test_scores_of_each_label():
    x, weight, labels = drawn(10)
    logits = F.linear(x, weight)
    nats, first = label_scores(x, weight, labels)
    torch.testing.assert_close(nats, F.cross_entropy(logits, labels, reduction="none").detach())
    assert first.tolist() == (logits.argmax(-1) == labels).tolist()
    assert not nats.requires_grad
    nats, first = label_scores(x, weight, logits.argmax(-1))
    assert first.all()
    assert [len(part) for part in label_scores(x[:0], weight, labels[:0])] == [0, 0]


def test_what_is_refused():
    x, weight, labels = drawn(4)
    with pytest.raises(ValueError, match=r"axis D of weight \[V, D\] must be 6, but it is 5"):
        linear_cross_entropy(x, weight[:, :5], labels)
    with pytest.raises(ValueError, match=r"axis P of labels \[P\] must be 4, but it is 3"):
        label_scores(x, weight, labels[:3])
    twice = torch.autograd.grad(linear_cross_entropy(x, weight, labels), x, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="does not require grad"):
        twice.sum().backward()
