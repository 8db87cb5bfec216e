"""The result in the picture's own numbers: what is not highlight stays bit for bit.

D = I - S on the stored integers, S rounded to whole levels, and only where the highlight map A is not 0.
"""

import numpy as np

from utils.errors import UserError
from utils.image_files import FULL_SCALE


def subtract_specular(pixels: np.ndarray, specular: np.ndarray, highlight: np.ndarray) -> np.ndarray:
    """The diffuse picture D = I - S in the type of `pixels`.

    pixels     (H, W) or (H, W, 3) uint8, uint16, or float32 in [0, 1]
    specular   (H, W, 3) float32 in units of white; a grey picture takes the mean of the three
    highlight  (H, W) float32; where it is 0 the pixel is returned as it was

    Raises UserError where a value is not finite.
    """
    # One sum is cheaper than a test of every value, and any NaN or infinity shows in it.
    if not np.isfinite(specular.sum(dtype=np.float64) + highlight.sum(dtype=np.float64)):
        raise UserError("the method gave values that are not finite; --precision fp32 may help")
    touched = highlight != 0
    if pixels.ndim == 2:
        specular = specular.mean(axis=2)
    else:
        touched = touched[..., None]
    white = FULL_SCALE[pixels.dtype]
    if pixels.dtype.kind == "f":
        diffuse = np.clip(pixels - specular, 0, 1)
    else:
        levels = np.rint(specular * np.float32(white))
        diffuse = np.clip(pixels - levels, 0, white).astype(pixels.dtype)
    return np.where(touched, diffuse, pixels)


def removed_layer(pixels: np.ndarray, diffuse: np.ndarray) -> np.ndarray:
    """The specular layer I - D in the type of `pixels`; 0 where the result became brighter."""
    return np.where(diffuse < pixels, pixels - diffuse, np.zeros((), pixels.dtype))


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 3) of any picture type -> (H, W, 3) float32 in [0, 1]."""
    scaled = pixels.astype(np.float32) / np.float32(FULL_SCALE[pixels.dtype])
    return scaled if scaled.ndim == 3 else np.repeat(scaled[..., None], 3, axis=2)
