"""The authors' inference arithmetic: resize to a square, separate, composite there, resize back, truncate.

The square does not keep the aspect ratio.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restoration.composition import Restored
from restoration.separator import Separator
from utils.colour import FULL_SCALE


def restore_as_released(image: np.ndarray, separator: Separator, network: nn.Module) -> Restored:
    """The result for a picture (H, W) or (H, W, 3) of any type: (H, W, 3) uint8, and the map not clipped."""
    layers = separator.separate(to_square(image), network)
    height, width = image.shape[:2]
    return Restored(
        truncate(from_square(layers.diffuse, height, width)),
        from_square(layers.highlight, height, width)[..., 0],
    )


def square_side(height: int) -> int:
    """Side of the square that a picture is resized to, by its height alone."""
    return 224 if height < 250 else 448


def to_square(pixels: np.ndarray) -> Tensor:
    """(H, W) or (H, W, 3) of any picture type -> (1, 3, s, s) float32, bicubic with aligned corners.

    Deeper pictures become 8-bit first, as the authors' reader makes them.
    """
    pixels = to_bytes(pixels)
    side = square_side(pixels.shape[0])
    # One channel at a time: the float copy of a large picture would take twelve bytes a pixel.
    planes = [
        _resize(torch.from_numpy(plane.astype(np.float32) / np.float32(255))[None, None], (side, side))
        for plane in (np.moveaxis(pixels, 2, 0) if pixels.ndim == 3 else [pixels])
    ]
    return torch.cat(planes, dim=1).expand(1, 3, side, side)


def to_bytes(pixels: np.ndarray) -> np.ndarray:
    """Any picture type -> uint8; the lower half of 16 bits is cut off."""
    if pixels.dtype == np.uint16:
        return (pixels >> 8).astype(np.uint8)
    return truncate(pixels) if pixels.dtype.kind == "f" else pixels


def from_square(square: Tensor, height: int, width: int) -> np.ndarray:
    """(1, C, s, s) -> (height, width, C) float32, bicubic with aligned corners, not clipped."""
    planes = [_resize(plane[None, None], (height, width))[0, 0].numpy() for plane in square[0].float().cpu()]
    return np.stack(planes, axis=2)


def truncate(image: np.ndarray) -> np.ndarray:
    """Float in units of white -> uint8: times 255, clipped, fraction cut off."""
    return np.clip(image * np.float32(FULL_SCALE[np.dtype(np.uint8)]), 0, 255).astype(np.uint8)


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(image, size=size, mode="bicubic", align_corners=True)
