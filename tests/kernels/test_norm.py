"""Norms: by hand, against the formula in float64, and what is refused."""

import pytest
import torch

from mom_eval.kernels import l2_norm, rms_norm


def test_rms_norm_by_hand():
    x = torch.tensor([[3.0, 4.0]])
    scale = 12.5**-0.5
    found = rms_norm(x, eps=0.0)
    torch.testing.assert_close(found, torch.tensor([[3 * scale, 4 * scale]]))
    found = rms_norm(x, torch.tensor([2.0, 1.0]), eps=12.5, gate=torch.zeros(1, 2))
    assert found.tolist() == [[0.0, 0.0]]
    gate = torch.zeros(1, 2)
    found = rms_norm(x, torch.tensor([2.0, 1.0]), eps=12.5, gate=gate, activation="sigmoid")
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.4]]))


def test_l2_norm_by_hand():
    assert l2_norm(torch.tensor([3.0, 4.0])).tolist() == pytest.approx([0.6, 0.8])
    assert l2_norm(torch.tensor([0.0, 1e-3])).tolist() == pytest.approx([0, 2**-0.5])
    assert l2_norm(torch.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("activation", ["silu", "sigmoid"])
def test_bfloat16_is_rounded_once(activation):
    x, gate = torch.randn(2, 50, 64).bfloat16()
    weight = torch.rand(64).bfloat16()
    exact, sign = x.double(), gate.double()
    exact = exact / (exact.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight.double()
    exact *= sign.sigmoid() * (sign if activation == "silu" else 1)
    found = rms_norm(x, weight, eps=1e-5, gate=gate, activation=activation)
    assert found.dtype == torch.bfloat16
    # Half a unit in the last of 8 bits, and the little that float32 adds.
    assert ((found.double() - exact).abs() <= 2**-9 * 1.001 * 2 * exact.abs()).all()
    assert (found == exact.bfloat16()).double().mean() > 0.999
    assert l2_norm(x).dtype == torch.bfloat16


def test_norms_are_differentiable():
    x, gate = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True).unbind()
    weight = torch.rand(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda *a: rms_norm(*a[:2], eps=0.1, gate=a[2]), (x, weight, gate)
    )
    assert torch.autograd.gradcheck(l2_norm, (x,))


def test_what_is_refused():
    x = torch.zeros(5, 4)
    with pytest.raises(ValueError, match=r"axis D of weight \[D\] must be 4, but it is 5"):
        rms_norm(x, torch.zeros(5), eps=0.0)
    with pytest.raises(ValueError, match=r"gate must be \[5, 4\] like x, but it is \[4\]"):
        rms_norm(x, eps=0.0, gate=torch.zeros(4))
    with pytest.raises(ValueError, match="activation must be one of silu, sigmoid"):
        rms_norm(x, eps=0.0, activation="relu")
