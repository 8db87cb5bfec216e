"""Separation at a working size: the picture is reduced, separated there, and its layers are brought back up.

A network knows highlights at the sizes that it was trained on, and its time grows with the pixels. Reduced to
the working size, whole photographs look to it like its training pictures, at a fraction of the time.

The specular layer and the map come back guided by the picture (fast guided filter, He & Sun 2015): over small
windows of the reduced picture each layer is fitted as a g + b, g being the smallest of the picture's three
channels, which a white highlight raises most. The coefficients a and b are enlarged, not the layer itself, so
that its edges fall where those of the picture are, at full resolution and in its full depth.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from restoration.composition import Strip
from utils.colour import FULL_SCALE

RADIUS = 2  # of the windows, in pixels of the reduced picture
# Variance of the guide below which a window counts as flat (0.03 squared): less would copy noise.
EPSILON = 1e-3
STRIP_ROWS = 256
FAINTEST = 1e-3  # of the map, where the fit leaves nothing of what the network marked


def reduced(image: np.ndarray, working_size: int) -> np.ndarray:
    """The picture (H, W) or (H, W, 3) with `working_size` pixels along its longer side, in its own type.

    Each pixel is the mean of those that it covers.
    """
    height, width = image.shape[:2]
    factor = working_size / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def enlarged(image: np.ndarray, small: np.ndarray, layers: np.ndarray) -> Iterator[Strip]:
    """The layers of the picture, strip by strip from top to bottom, from those of the reduced one.

    image   (H, W) or (H, W, 3) uint8, uint16 or float32 in [0, 1]
    small   what `reduced` made of it, (h, w) or (h, w, 3)
    layers  (h, w, specular 3 + highlight 1) float32, the specular layer in units of white

    The specular layer lies between 0 and the picture. Where the reduced map is zero all around a pixel, both
    layers are exactly zero; else the map lies in [FAINTEST, 1] (unbounded maps are clamped to it).
    """
    slope, offset = _fit(_guide(small), layers)
    # Of a map with entries of either sign, what is not zero counts.
    support = (layers[..., 3:] != 0).astype(np.float32)
    coefficients = np.concatenate([slope, offset, support], axis=2)
    count = layers.shape[2]
    for top in range(0, image.shape[0], STRIP_ROWS):
        pixels = image[top : top + STRIP_ROWS]
        rows = _rows(coefficients, top, len(pixels), *image.shape[:2])
        values = rows[..., :count] * _guide(pixels)[..., None] + rows[..., count : 2 * count]
        white = np.float32(FULL_SCALE[pixels.dtype])
        limit = (pixels if pixels.ndim == 3 else pixels[..., None]).astype(np.float32) / white
        np.clip(values[..., :3], 0, limit, out=values[..., :3])
        np.clip(values[..., 3], FAINTEST, 1, out=values[..., 3])
        values *= rows[..., -1:] > 0
        yield top, top + len(pixels), values


def _guide(pixels: np.ndarray) -> np.ndarray:
    """The smallest channel of (H, W) or (H, W, 3): (H, W) float32 in [0, 1]."""
    smallest = pixels.min(axis=2) if pixels.ndim == 3 else pixels
    return smallest.astype(np.float32) / np.float32(FULL_SCALE[pixels.dtype])


def _fit(guide: np.ndarray, layers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a and b, each (h, w, C): the means over all windows around a pixel of the least-squares fits
    layer ~ a guide + b, a pulled towards zero by EPSILON."""

    def mean(values: np.ndarray) -> np.ndarray:
        side = 2 * RADIUS + 1
        return cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT)

    mean_guide, mean_layers = mean(guide), mean(layers)
    variance = mean(guide * guide) - mean_guide * mean_guide
    covariance = mean(layers * guide[..., None]) - mean_layers * mean_guide[..., None]
    slope = covariance / (variance + EPSILON)[..., None]
    return mean(slope), mean(mean_layers - slope * mean_guide[..., None])


def _rows(values: np.ndarray, top: int, count: int, height: int, width: int) -> np.ndarray:
    """Rows `top` ... `top + count` of `values` (h, w, C) enlarged bilinearly to height x width."""
    last = len(values) - 1
    place = ((np.arange(top, top + count) + 0.5) * len(values) / height - 0.5).clip(0, last)
    upper = place.astype(int)
    share = (place - upper).astype(np.float32)[:, None, None]
    rows = values[upper] * (1 - share) + values[np.minimum(upper + 1, last)] * share
    # OpenCV takes at most four channels here.
    parts = [rows[..., i : i + 4] for i in range(0, rows.shape[2], 4)]
    parts = [cv2.resize(part, (width, count), interpolation=cv2.INTER_LINEAR) for part in parts]
    return np.concatenate([part.reshape(count, width, -1) for part in parts], axis=2)
