"""Pixel values: the full scale of each type, rounding to it, the sRGB transfer curve, grey as RGB, PSNR.

Arrays of numpy only; `data.regions` has the sRGB curve once more in torch, where its speed was measured.
"""

import math

import numpy as np
from numpy.typing import DTypeLike

FULL_SCALE = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535, np.dtype(np.float32): 1}
"""The value of white for each pixel type."""


def to_unit(pixels: np.ndarray, dtype: DTypeLike = np.float32) -> np.ndarray:
    """uint8, uint16 or float32 pixels of any shape as floats in [0, 1]. Raises KeyError for other types."""
    dtype = np.dtype(dtype)
    return pixels.astype(dtype) / dtype.type(FULL_SCALE[pixels.dtype])


def quantise(image: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Float [0, 1] (clipped) to uint8 or uint16 by rounding; float32 is only clipped."""
    dtype = np.dtype(dtype)
    clipped = np.clip(image, 0, 1)
    if dtype.kind == "f":
        return clipped.astype(dtype)
    clipped *= FULL_SCALE[dtype]
    return np.rint(clipped, out=clipped).astype(dtype)


def grey_to_rgb(pixels: np.ndarray) -> np.ndarray:
    """(H, W) grey replicated to (H, W, 3), in its own type; (H, W, 3) is returned as it is."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def srgb_encode(linear: np.ndarray) -> np.ndarray:
    """Linear light [0, 1] -> sRGB display values [0, 1] (IEC 61966-2-1), in the type of the input."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def srgb_decode(display: np.ndarray) -> np.ndarray:
    """sRGB display values [0, 1] -> linear light [0, 1], in the type of the input."""
    return np.where(display <= 0.04045, display / 12.92, ((np.maximum(display, 0) + 0.055) / 1.055) ** 2.4)


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio in dB of values in [0, 1]; infinite for a mean squared error of 0."""
    return math.inf if mse == 0 else float(-10 * np.log10(mse))
