"""Test-time augmentation: only what the network also finds in altered copies of the picture is removed.

White paint beside strong colours looks like a highlight at one scale or from one side, seldom from all; a
highlight that the network is sure of does from all. So augmentation trades some of the removal for fewer
mistakes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import Separation
from models.parallel import in_parts
from restoration.two_steps import in_two_steps
from utils.errors import UserError

COPIES = (1, 2, 4)


def check_augmentation(network: nn.Module, copies: int) -> None:
    """Raises UserError for another number than COPIES, and for networks without a highlight map."""
    if copies not in COPIES:
        raise UserError(f"test-time augmentation takes {', '.join(map(str, COPIES))} copies, not {copies}")
    if copies > 1 and not network.spec.composes:
        raise UserError(f"test-time augmentation needs a highlight map, which {network.spec.name} lacks")


class AugmentedNetwork(nn.Module):
    """What a network with D = I - S finds in 2 or 4 copies of a picture: the geometric mean.

    Like the minimum it is zero where one copy shows nothing, but where all show a highlight it does not keep
    to the most timid of them (docs/RESULTS.md has both, and the mean).

    copies  2: the picture and its mirror image; 4: both at half the size, too. Time grows 2 and 2.5 times
    """

    def __init__(self, network: nn.Module, copies: int):
        super().__init__()
        self.network = in_two_steps(network)
        self.copies = copies
        self.spec = network.spec

    def forward(self, image: Tensor) -> Separation:
        """image (B, 3, H, W) in [0, 1] -> S and A, the geometric mean over all copies, and D = I - S."""
        return self.separate(image, self.locate(image))

    def locate(self, image: Tensor) -> list[Tensor]:
        """What the network's own `locate` gives for each copy."""
        return in_parts(self.network.locate, self._copies(image))

    def highlight(self, image: Tensor, located: list[Tensor]) -> Tensor:
        """A (B, 1, H, W) of what `locate` gave for the image, at least 0."""
        pairs = zip(self._copies(image), located, strict=True)
        return self._mean(image, [_found(self.network.highlight(copy, one)) for copy, one in pairs])

    def separate(self, image: Tensor, located: list[Tensor]) -> Separation:
        """What `forward` gives, from what `locate` gave for the image."""

        def layers(pair: tuple[Tensor, Tensor]) -> Tensor:
            found = self.network.separate(*pair)
            # No more than there is: one copy's excess must not make up for what another does not show.
            specular = torch.minimum(found.specular, pair[0])
            return _found(torch.cat([specular, found.highlight], dim=1))

        pairs = list(zip(self._copies(image), located, strict=True))
        found = self._mean(image, in_parts(layers, pairs))
        return Separation(image - found[:, :3], found[:, :3], found[:, 3:])

    def _copies(self, image: Tensor) -> list[Tensor]:
        """The picture, its mirror image, and both at half the size."""
        copies = [image]
        if self.copies == 4:
            half = [(side + 1) // 2 for side in image.shape[-2:]]
            copies.append(
                F.interpolate(image, size=half, mode="bilinear", antialias=True, align_corners=False)
            )
        return [turned for copy in copies for turned in (copy, copy.flip(-1))]

    def _mean(self, image: Tensor, layers: list[Tensor]) -> Tensor:
        """Geometric, of layers >= 0 of all copies, (B, C, H, W) each at the size of its copy."""
        sizes = [
            (one * mirrored.flip(-1)).sqrt() for one, mirrored in zip(layers[::2], layers[1::2], strict=True)
        ]
        if len(sizes) == 1:
            return sizes[0]
        enlarged = F.interpolate(sizes[1], size=image.shape[-2:], mode="bilinear", align_corners=False)
        return (sizes[0] * enlarged).sqrt()


def _found(layers: Tensor) -> Tensor:
    """Where the network would add light it found no highlight."""
    return layers.float().clamp_min(0)
