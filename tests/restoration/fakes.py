"""A small network whose result is known in closed form, for tests that need no real one."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models import ModelSpec, Separation
from restoration.defaults import InferenceDefaults
from utils.devices import computes_in_bf16

needs_bf16 = pytest.mark.skipif(
    not computes_in_bf16(torch.device("cpu")), reason="this processor does not compute in bf16"
)


class Dimmer(nn.Module):
    """A = strength wherever the local mean (7x7) is above 1/2, N = 1/4. Receptive-field radius: 3."""

    def __init__(self, strength=0.5, multiple=8, tile=64):
        super().__init__()
        self.strength = strength
        self.sizes = []
        self.spec = ModelSpec("dimmer", {}, multiple=multiple)
        self.defaults = InferenceDefaults(tile=tile)

    def forward(self, image):
        self.sizes.append(tuple(image.shape))
        mean = F.avg_pool2d(image, 7, 1, 3, count_include_pad=False).mean(dim=1, keepdim=True)
        highlight = torch.where(mean > 0.5, self.strength * mean, torch.zeros_like(mean))
        specular = highlight * (image - 0.25)
        return Separation(image - specular, specular, highlight, {})
