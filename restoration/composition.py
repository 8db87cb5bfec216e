"""The result in the picture's own numbers: what is not highlight stays bit for bit.

D = I - S on the stored integers, S rounded to whole levels, and only where the highlight map A is not 0.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from utils.colour import FULL_SCALE, to_unit
from utils.errors import UserError
from utils.image_files import write_picture
from utils.picture import Picture

MAX_STRENGTH = 1.5

Strip = tuple[int, int, np.ndarray]
"""(top, bottom, layers): rows of a picture and their separation, layers (bottom - top, W, specular 3 +
highlight 1) float32 in units of white."""


@dataclass(frozen=True)
class Restored:
    """What comes back for a picture, in the picture's own numbers.

    Networks give a `models.Separation` instead: tensors of a batch, in [0, 1], with gradients and stages. A
    `utils.picture.Picture` is a file's content, with its metadata.
    """

    diffuse: Any
    """the picture without highlights, D: an array of the same shape and type (with protocol "released":
    (H, W, 3) uint8), or a Pillow image where `HighlightRemover` was called with one"""
    highlight: Any
    """the highlight map, 0 where nothing was removed: (H, W) float32; the network's map A, at least 0 (with
    protocol "released": as it comes) but perhaps above 1, or for methods without a map the largest
    |specular|. For a Pillow image one of mode L, clipped to [0, 1]"""
    notes: tuple[str, ...] = ()
    """what the user should know about how it was made, one clause each"""
    specular: Any = None
    """the layer that was removed, I - D, 0 where the result became brighter: as `diffuse`, without alpha.
    None where it was not asked for (`HighlightRemover.restore`)"""
    source: Picture | None = field(default=None, repr=False, compare=False)
    """what `save` keeps of the picture that came in: its profile and metadata"""

    def save(self, path: str | os.PathLike) -> None:
        """Writes `diffuse` as a picture file in the format of the suffix: PNG, JPEG, TIFF, WebP or BMP.

        Colour profile and EXIF of a file or Pillow image that came in are kept, of a file XMP and resolution.

        Raises UserError for other suffixes and where the file cannot be written.
        """
        pixels = np.asarray(self.diffuse)
        alpha = pixels[..., 3] if pixels.shape[2:] == (4,) else None
        colours = (
            pixels[..., 0] if pixels.shape[2:] == (1,) else pixels[..., :3] if pixels.ndim == 3 else pixels
        )
        if pixels.dtype.kind == "f":
            alpha = None if alpha is None else alpha.astype(np.float32)
            colours = colours.astype(np.float32)
        source = self.source or Picture(colours)
        write_picture(Path(path), replace(source, pixels=colours, alpha=alpha))


def check_strength(strength: float, protocol: str) -> None:
    """Raises UserError for a strength that `subtract_layers` cannot take, or the protocol does not know."""
    if not 0 <= strength <= MAX_STRENGTH:
        raise UserError(f"the strength must be between 0 and {MAX_STRENGTH}, not {strength}")
    if protocol == "released" and strength != 1:
        raise UserError("the strength is not available with protocol released, only with native")


def subtract_layers(image: np.ndarray, strips: Iterable[Strip], strength: float = 1.0) -> Restored:
    """The result for a picture (H, W) or (H, W, 3) from the separation of its strips, top to bottom.

    strength  k of D = I - k S. With another k than 1, D is kept within [0, I]: nothing is added

    Raises UserError where a value is not finite.
    """
    diffuse, highlight = np.empty_like(image), np.empty(image.shape[:2], np.float32)
    for top, bottom, layers in strips:
        specular, highlight[top:bottom] = layers[..., :3], layers[..., 3]
        if strength != 1:
            specular = (strength * specular).clip(0, None)
        diffuse[top:bottom] = subtract_specular(image[top:bottom], specular, highlight[top:bottom])
    return Restored(diffuse, highlight)


def subtract_specular(pixels: np.ndarray, specular: np.ndarray, highlight: np.ndarray) -> np.ndarray:
    """The diffuse picture D = I - S in the type of `pixels`.

    pixels     (H, W) or (H, W, 3) uint8, uint16, or float32 in [0, 1]
    specular   (H, W, 3) float32 in units of white; a grey picture takes the mean of the three
    highlight  (H, W) float32; where it is 0 the pixel is returned as it was

    Raises UserError where a value is not finite.
    """
    # One sum is cheaper than a test of every value, and any NaN or infinity shows in it.
    if not np.isfinite(specular.sum(dtype=np.float64) + highlight.sum(dtype=np.float64)):
        raise UserError("the method gave values that are not finite; precision fp32 may help")
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


def describe_change(pixels: np.ndarray, diffuse: np.ndarray) -> str | None:
    """A warning about the result of a classical method, in a clause, or None."""
    change = np.abs(to_unit(pixels) - to_unit(diffuse))
    if not change.any():
        return "nothing was removed: the method found no highlight"
    change = change.max(axis=2) if change.ndim == 3 else change
    if np.mean(change > 10 / 255) > 0.5:
        return (
            "more than half of its pixels changed by more than 10 levels: classical methods assume linear "
            "values, a white light and coloured surfaces"
        )
    return None
