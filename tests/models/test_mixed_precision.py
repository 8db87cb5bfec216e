"""Maps, colours and their composition stay in fp32 where the networks compute in bf16."""

import pytest
import torch

from models import build_model
from models.separation import compose

SMALL = {"widths": (6, 6, 12), "dilations": (2, 2, 2, 2)}
NETWORKS = {
    "aha": {},
    "aha-figure": {"trunk": "small", "trunk_channels": (4, 8, 8), "bounded": True},
    "aha-lite": {"trunk_channels": (4, 8, 8), "achromatic": False},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_colours_and_composition_stay_in_fp32(name: str) -> None:
    torch.manual_seed(0)
    network = build_model(name, **SMALL, **NETWORKS[name])
    image = torch.rand(2, 3, 64, 64)
    image[:, :, :16] = 1  # clipped white, of which bf16 composition took 0.0009
    with torch.autocast("cpu", torch.bfloat16):
        result = network(image)
        (result.diffuse.square().mean() + result.highlight.mean()).backward()
    highlight, content = result.highlight, result.stages["refined"]
    for map_or_colour in (highlight, result.stages["highlight_logits"], content, result.diffuse):
        assert map_or_colour.dtype == torch.float32
        rounded = map_or_colour.bfloat16().float()
        assert not torch.equal(rounded, map_or_colour)  # more digits than bf16 has
    assert torch.equal(result.diffuse, compose(image, highlight, content))
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
