"""A prepared network computes what the original computes."""

import pytest
import torch
from torch import nn

from models import MODELS, build_model
from models.gated_conv import GatedConv2d
from models.inference import FusedGatedConv2d, prepare_for_inference
from models.spectral_norm import SpectralNormConv2d
from tests.tolerances import DOUBLE

SMALL = {
    "aha": {"widths": (6, 6, 12)},
    "aha-figure": {"widths": (3, 6, 6), "trunk": "small", "trunk_channels": (4, 6, 8)},
    "aha-lite": {"widths": (4, 6, 8), "trunk_channels": (4, 6, 8)},
    "aha-lite0": {"widths": (4, 4, 6, 8, 8, 8)},
    "tshrnet": {"width": 2},
    "tshrnet-mix": {"width": 2},
}


def lived_in(name: str) -> nn.Module:
    """A small network whose batch norms have seen data, as trained ones have."""
    torch.manual_seed(0)
    model = build_model(name, **SMALL.get(name, {})).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.1)
    return model


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_prepared_networks_compute_the_same(name, channels_last):
    # In double precision a folded batch norm differs by its rounding alone.
    model = lived_in(name).double()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    prepared = prepare_for_inference(model, channels_last=channels_last)
    image = torch.rand(1, 3, 64, 70, dtype=torch.float64)
    with torch.inference_mode():
        wanted, found = model(image), prepared(image)
    for layer in ("diffuse", "specular", "highlight"):
        a, b = getattr(found, layer), getattr(wanted, layer)
        scale = b.abs().max().clamp_min(1).item()  # of random networks the map is far larger than 1
        torch.testing.assert_close(a, b, rtol=0, atol=DOUBLE * scale)
    kinds = {type(layer) for layer in prepared.modules()}
    assert not kinds & {nn.BatchNorm2d, GatedConv2d, SpectralNormConv2d}
    assert prepared.spec == model.spec
    # The original is as it was, and can be trained.
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(parameter.requires_grad for parameter in prepared.parameters())


@pytest.mark.parametrize("spectral", [False, True])
def test_a_fused_gate_gives_the_same_bits(spectral):
    torch.manual_seed(0)
    layer = GatedConv2d(5, 7, stride=2, dilation=3, spectral=spectral).eval()
    x = torch.randn(2, 5, 20, 21)
    with torch.no_grad():
        assert torch.equal(FusedGatedConv2d(layer)(x), layer(x))
