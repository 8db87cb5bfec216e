"""Test-time augmentation: only what the network also finds in altered copies of the picture is removed.

White paint beside strong colours looks like a highlight at one scale or from one side, seldom from all; a
highlight that the network is sure of does from all. So augmentation trades some of the removal for fewer
mistakes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import Separation
from utils.errors import UserError

COPIES = (1, 2, 4)


def check_augmentation(network: nn.Module, copies: int) -> None:
    """Raises UserError for another number than COPIES, and for networks without a highlight map."""
    if copies not in COPIES:
        raise UserError(f"test-time augmentation takes {', '.join(map(str, COPIES))} copies, not {copies}")
    if copies > 1 and not network.spec.composes:
        raise UserError(f"test-time augmentation needs a highlight map, which {network.spec.name} lacks")


class AugmentedNetwork(nn.Module):
    """The least that a network with D = I - S finds in 2 or 4 copies of a picture.

    copies  2: the picture and its mirror image; 4: both at half the size, too. Time grows 2 and 2.5 times
    """

    def __init__(self, network: nn.Module, copies: int):
        super().__init__()
        self.network = network
        self.copies = copies
        self.spec = network.spec

    def forward(self, image: Tensor) -> Separation:
        """image (B, 3, H, W) in [0, 1] -> S and A, the minimum over all copies, and D = I - S."""
        layers = self._with_mirror_image(image)
        if self.copies == 4:
            size = image.shape[-2:]
            half = [(side + 1) // 2 for side in size]
            smaller = F.interpolate(image, size=half, mode="bilinear", antialias=True, align_corners=False)
            found = self._with_mirror_image(smaller)
            enlarged = F.interpolate(found, size=size, mode="bilinear", align_corners=False)
            layers = torch.minimum(layers, enlarged)
        specular, highlight = layers[:, :3], layers[:, 3:]
        return Separation(image - specular, specular, highlight)

    def _with_mirror_image(self, image: Tensor) -> Tensor:
        return torch.minimum(self._layers(image), self._layers(image.flip(-1)).flip(-1))

    def _layers(self, image: Tensor) -> Tensor:
        """(B, specular 3 + highlight 1, H, W); where the network would add light it found no highlight."""
        found = self.network(image)
        return torch.cat([found.specular, found.highlight], dim=1).float().clamp_min(0)
