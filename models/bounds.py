"""Keeping values in range, and sizes on the network's grid."""

import torch.nn.functional as F
from torch import Tensor

SATURATED = 254 / 255
"""An 8-bit channel from here on may have been clipped: how bright the light really was is not known."""


def straight_through_clamp(x: Tensor) -> Tensor:
    """x clamped to [0, 1], with a straight-through gradient (Bengio et al. 2013).

    The gradient passes unchanged, so that values outside can learn to come back.
    """
    return x + (x.clamp(0, 1) - x).detach() if x.requires_grad else x.clamp(0, 1)


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """image (B, C, H, W), H, W >= 1 -> enlarged at the right and the bottom to multiples of `multiple`.

    The picture is mirrored; where it is too small for that, its last row and column are repeated.
    """
    height, width = image.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    if bottom == right == 0:
        return image
    mode = "reflect" if bottom < height and right < width else "replicate"
    return F.pad(image, (0, right, 0, bottom), mode=mode)
