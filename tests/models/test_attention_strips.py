"""Attention in strips is attention, with less memory."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models import build_model, refine
from models.attention import attended
from models.gated_conv import GatedConv2d
from tests.tolerances import SUMMED


class LargestTensor(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor that any operation gives."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *(tensor.numel() for tensor in tensors)])
        return result


def inputs(n_h=6, n_w=10, k=4):
    torch.manual_seed(0)
    strength = torch.rand(2, 3, n_h, n_w)
    projected, features = torch.randn(2, 3 * k, n_h, n_w), torch.randn(2, 3 * k, n_h, n_w)
    values = (torch.randn(2, 6, 4 * n_h, 4 * n_w), torch.randn(2, 12, 2 * n_h, 2 * n_w))
    return strength, projected, features, GatedConv2d(6, 3).eval(), values


@pytest.mark.parametrize("strip", [1, 7, 16, 59, 60])
@torch.inference_mode()
def test_strips_of_any_width_give_the_same(strip):
    whole = attended(*inputs())
    for found, wanted in zip(attended(*inputs(), strip=strip), whole, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=SUMMED)


@torch.inference_mode()
def test_strips_hold_a_part_of_the_maps():
    strength, projected, features, merge, values = inputs(16, 16)
    with LargestTensor() as whole:
        attended(strength, projected, features, merge, values)
    with LargestTensor() as strips:
        attended(strength, projected, features, merge, values, strip=16)
    assert whole.elements == 2 * 6 * 256**2
    assert strips.elements <= whole.elements / 12


def test_the_network_takes_strips_without_gradients_only(monkeypatch):
    monkeypatch.setattr(refine, "ATTENTION_STRIP", 8)
    torch.manual_seed(0)
    model = build_model("aha", widths=(6, 6, 12)).eval()
    image = torch.rand(1, 3, 64, 96)
    with_gradients = model(image)
    with torch.inference_mode():
        result = model(image)
    scale = with_gradients.highlight.abs().max().clamp_min(1).item()
    torch.testing.assert_close(result.diffuse, with_gradients.diffuse.detach(), rtol=0, atol=SUMMED * scale)
    with_gradients.diffuse.mean().backward()
    assert model.refine.attention_projection.weight.grad.abs().any()
