"""Second looks at a picture: only what every view takes for highlight is taken away.

White paint beside strong colours looks like a highlight at one scale or from one side, seldom from all; a
highlight that the network is sure of does from all. So views trade some of the removal for fewer mistakes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import Separation
from utils.errors import UserError

VIEWS = (1, 2, 4)


def check_views(network: nn.Module | None, views: int) -> None:
    """Raises UserError for another number than VIEWS, and where there is nothing to agree on."""
    if views not in VIEWS:
        raise UserError(f"--views takes {', '.join(map(str, VIEWS))}, got {views}")
    if views > 1 and network is None:
        raise UserError(f"--views {views} is for networks; leave it out")
    if views > 1 and not network.spec.composes:
        raise UserError(f"--views {views} needs a network with a highlight map, not {network.spec.name}")


class Agreement(nn.Module):
    """A network that composes D = (1 - A) I + A N, asked 2 or 4 times.

    views  2: the picture and its mirror image; 4: both at half the size, too. Time grows 2 and 2.5 times
    """

    def __init__(self, network: nn.Module, views: int):
        super().__init__()
        self.network = network
        self.views = views
        self.spec = network.spec

    def forward(self, image: Tensor) -> Separation:
        """image (B, 3, H, W) in [0, 1] -> S and A, the least of all views, and D = I - S."""
        layers = self._mirrored_too(image)
        if self.views == 4:
            size = image.shape[-2:]
            half = [(side + 1) // 2 for side in size]
            smaller = F.interpolate(image, size=half, mode="bilinear", antialias=True, align_corners=False)
            seen = F.interpolate(self._mirrored_too(smaller), size=size, mode="bilinear", align_corners=False)
            layers = torch.minimum(layers, seen)
        specular, highlight = layers[:, :3], layers[:, 3:]
        return Separation(image - specular, specular, highlight)

    def _mirrored_too(self, image: Tensor) -> Tensor:
        return torch.minimum(self._layers(image), self._layers(image.flip(-1)).flip(-1))

    def _layers(self, image: Tensor) -> Tensor:
        """(B, specular 3 + highlight 1, H, W); views that add light found no highlight."""
        seen = self.network(image)
        return torch.cat([seen.specular, seen.highlight], dim=1).float().clamp_min(0)
