"""Exposure: dark pictures are brightened for the network, and what it finds is darkened again.

Networks learn from pictures whose brightest parts are bright. In a dark one (a laboratory's linear picture,
an underexposed photograph) the same highlights are a fraction as strong, and most of them stay. Light adds:
where I = D + S, g I = g D + g S, so the layers of the brightened picture, divided by g, are those of the
picture itself.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from utils.colour import FULL_SCALE

QUANTILE = 0.995  # so that a few hot pixels or a lamp's filament do not count as the brightest part
LARGEST = 4.0  # beyond two stops noise and compression would be brightened more than light
SAMPLES = 1 << 18  # pixels that are enough to tell a quantile of a picture

Separate = Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]]
"""Pictures -> their layers (h, w, specular 3 + highlight 1) float32, as restoration.separator.Separator."""


def exposure_gain(image: np.ndarray, brightest: float) -> float:
    """What brings the brightest parts of the picture to `brightest`: 1 where they reach it, at most LARGEST.

    image      (H, W) or (H, W, 3) uint8, uint16 or float32 in [0, 1]
    brightest  in [0, 1], compared with the QUANTILE of the pixels' largest channel
    """
    step = max(1, int(np.sqrt(image.shape[0] * image.shape[1] / SAMPLES)))
    pixels = image[::step, ::step]
    values = pixels.max(axis=2) if pixels.ndim == 3 else pixels
    reached = float(np.quantile(values, QUANTILE)) / float(FULL_SCALE[image.dtype])
    return min(LARGEST, max(1.0, brightest / max(reached, 1e-6)))


def brightened(separate: Separate, gain: float) -> Separate:
    """`separate` as if the pictures were `gain` times as bright, clipped at white; maps stay as found."""
    if gain == 1:
        return separate

    def run(crops: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for layers in separate(_times(crop, gain) for crop in crops):
            layers[..., :3] /= gain
            yield layers

    return run


def _times(crop: np.ndarray, gain: float) -> np.ndarray:
    """The crop in float32, times `gain`, clipped at 1."""
    return np.minimum(crop.astype(np.float32) * np.float32(gain / FULL_SCALE[crop.dtype]), 1)
