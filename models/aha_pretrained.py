"""The AHA coarse-refine network on one pretrained trunk, whose features serve all three of its parts.

I -> trunk -> decoder -> F;   (I, F) -> AHA head -> A
(I, A, F) -> coarse -> N_coarse;          D_coarse = (1 - A) I + A N_coarse
(D_coarse, A, F) -> refine -> N_refined;  D = (1 - A) I + A N_refined

The paper's AHA module alone stands on a classifier's trunk; its coarse and refine networks must learn from
nothing what things look like. Here they are heads of the same features, and small.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.aha import finish
from models.aha_module import bounded_map
from models.bounds import pad_to_multiple, straight_through_clamp
from models.gated_conv import SLOPE
from models.separation import Separation, compose

QUIET = 0.1
"""Of a fresh head's last weights: it starts near I, and the map near a half."""


class PretrainedAHANet(nn.Module):
    """Highlight map, coarse guess, refinement, from the features of `trunk` (models/build.py)."""

    def __init__(
        self, trunk: nn.Module, widths: tuple[int, ...], *, shoulder: float = 0.0, surroundings: bool = False
    ):
        """trunk    gives features at 1/2, 1/4, ... of the image, with its `channels`
        widths   channels of the decoder at full size, 1/2, 1/4, ...: one more than the trunk has features
        shoulder, surroundings  as for `models.aha.AHANet`; the light is white, the map bounded
        """
        super().__init__()
        full, half, quarter = widths[:3]
        self.trunk = trunk
        self.decoder = Decoder(trunk.channels, widths[1:])
        self.detail = nn.Sequential(nn.Conv2d(half + 3, full, 3, padding=1), activation())
        self.highlight = nn.Conv2d(full, 1, 3, padding=1)
        self.coarse = head(quarter + 4, quarter, convolutions=2)
        self.refine = head(full + 4, full, convolutions=3)
        self.multiple = 2 ** len(trunk.channels)
        self.shoulder, self.surroundings = shoulder, surroundings

    def forward(self, image: Tensor) -> Separation:
        """image I (B, 3, H, W) in [0, 1], any H, W >= 1 -> the layers and stages of `models.aha.AHANet`."""
        height, width = image.shape[-2:]
        padded = pad_to_multiple(image, self.multiple)
        half, quarter = self.decoder(self.trunk(padded))[:2]
        features = self.detail(torch.cat([padded, twice(half)], dim=1))

        logits = self.highlight(features)
        highlight = bounded_map(logits)
        small = F.avg_pool2d(torch.cat([padded, highlight], dim=1), 4)
        coarse = padded + F.interpolate(
            self.coarse(torch.cat([small, quarter], dim=1)), scale_factor=4, mode="bilinear"
        )
        coarse_diffuse = compose(padded, highlight, coarse)
        refined = coarse_diffuse + self.refine(torch.cat([coarse_diffuse, highlight, features], dim=1))
        refined = straight_through_clamp(refined)

        stages = {
            "coarse": coarse,
            "coarse_diffuse": coarse_diffuse,
            "refined": refined,
            "highlight_logits": logits,
        }
        return finish(
            padded,
            highlight,
            stages,
            (height, width),
            training=self.training,
            shoulder=self.shoulder,
            surroundings=self.surroundings,
        )


class Decoder(nn.Module):
    """From the deepest features up: enlarged, added to the next finer ones, convolved.

    channels, widths  of the features and of what is made of them, from the finest to the deepest
    """

    def __init__(self, channels: list[int], widths: tuple[int, ...]):
        super().__init__()
        pairs = list(zip(channels, widths, strict=True))
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c, width in pairs)
        self.narrow = nn.ModuleList(nn.Conv2d(deep, fine, 1) for fine, deep in pairwise(widths))
        self.merge = nn.ModuleList(
            nn.Sequential(activation(), nn.Conv2d(width, width, 3, padding=1), activation())
            for width in widths
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """(B, channels[i], h, w) each, from the finest to the deepest -> (B, widths[i], h, w)."""
        lateral = [layer(x) for layer, x in zip(self.lateral, features, strict=True)]
        found = [self.merge[-1](lateral[-1])]
        for level in reversed(range(len(lateral) - 1)):
            found.append(self.merge[level](lateral[level] + twice(self.narrow[level](found[-1]))))
        return found[::-1]


def head(in_channels: int, width: int, *, convolutions: int) -> nn.Sequential:
    """So many 3x3 convolutions of `width` channels, the last one to 3, which starts quiet."""
    layers: list[nn.Module] = []
    for _ in range(convolutions - 1):
        layers += [nn.Conv2d(in_channels, width, 3, padding=1), activation()]
        in_channels = width
    last = nn.Conv2d(in_channels, 3, 3, padding=1)
    with torch.no_grad():
        last.weight.mul_(QUIET)
        last.bias.zero_()
    return nn.Sequential(*layers, last)


def twice(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, 2 h, 2 w), bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def activation() -> nn.Module:
    """As everywhere in the AHA networks."""
    return nn.LeakyReLU(SLOPE, inplace=True)
