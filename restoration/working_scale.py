"""The scale and the exposure at which a network sees a picture, and its layers brought back from there.

Exposure: networks learn from pictures whose brightest parts are bright. In a dark one (a laboratory's
linear picture, an underexposed photograph) the same highlights are a fraction as strong, and most of them
stay. Light adds: where I = D + S, g I = g D + g S, so the layers of the brightened picture, divided by g, are
those of the picture itself.

Working size: the picture is reduced, separated there, and its layers are enlarged again.

A network knows highlights at the sizes that it was trained on, and its time grows with the pixels. Reduced to
the working size, whole photographs resemble its training pictures, at a fraction of the time.

The specular layer and the map come back guided by the picture (fast guided filter, He & Sun 2015): over small
windows of the reduced picture each layer is fitted as a g + b, g being the smallest of the picture's three
channels, which a white highlight raises most. The coefficients a and b are enlarged, not the layer itself, so
that its edges fall where those of the picture are, at full resolution and in its full depth.

In large pictures highlights of a few pixels vanish in the mean over so many. Where the picture is at least
four times the working size, a second pass at that size looks at those tiles of the cleaned picture only that
still hold something small and bright, without test-time augmentation.
"""

from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np

from restoration.composition import Strip
from utils.colour import FULL_SCALE

QUANTILE = 0.995  # so that a few hot pixels or a lamp's filament do not count as the brightest part
LARGEST = 4.0  # beyond two stops noise and compression would be brightened more than light
SAMPLES = 1 << 18  # pixels that are enough to tell a quantile of a picture

Separate = Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]]
"""Pictures -> their layers (h, w, specular 3 + highlight 1) float32, as restoration.separator.Separator."""


def exposure_gain(image: np.ndarray, target_brightness: float) -> float:
    """What brings the brightest parts of the picture to the target: 1 where they reach it, at most LARGEST.

    image      (H, W) or (H, W, 3) uint8, uint16 or float32 in [0, 1]
    target_brightness  in [0, 1], compared with the QUANTILE of the pixels' largest channel
    """
    step = max(1, int(np.sqrt(image.shape[0] * image.shape[1] / SAMPLES)))
    pixels = image[::step, ::step]
    values = pixels.max(axis=2) if pixels.ndim == 3 else pixels
    reached = float(np.quantile(values, QUANTILE)) / float(FULL_SCALE[image.dtype])
    return min(LARGEST, max(1.0, target_brightness / max(reached, 1e-6)))


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


RADIUS = 2  # of the windows, in pixels of the reduced picture
# Variance of the guide below which a window counts as flat (0.03 squared): less would copy noise.
EPSILON = 1e-3
STRIP_ROWS = 256
FAINTEST = 1e-3  # of the map, where the fit leaves nothing of what the network marked

FINER = 4  # size of the second pass, in working sizes
# How far, in units of white, the smallest channel of something small must stand out of its surroundings.
STANDS_OUT = 0.1
SPREAD = 5  # pixels around it that the second pass may change
MARGIN = 32  # pixels around a tile that the network sees, too


def separate_at(
    image: np.ndarray, working_size: int, separate: Separate, look_closer: Separate
) -> Iterator[Strip]:
    """The layers of the picture, strip by strip: found at the working size, small ones at FINER times it.

    image        (H, W) or (H, W, 3) uint8, uint16 or float32 in [0, 1], larger than the working size
    look_closer  as `separate`, for the tiles of the second pass: most of the pixels that the network sees
    """
    small = reduced(image, working_size)
    layers = next(separate([small]))
    # In smaller pictures the reduction loses little, and paint of a few pixels is mistaken for a highlight.
    if max(image.shape[:2]) >= FINER * working_size:
        finer = reduced(image, FINER * working_size)
        found = _small_highlights(finer, small, layers, look_closer)
        if found is not None:
            return enlarged(image, finer, found)
    return enlarged(image, small, layers)


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
    for top in range(0, image.shape[0], STRIP_ROWS):
        pixels = image[top : top + STRIP_ROWS]
        place = (top, len(pixels), *image.shape[:2])
        reached = _rows(support, *place)
        if not reached.any():
            yield top, top + len(pixels), np.zeros((*pixels.shape[:2], layers.shape[2]), np.float32)
            continue
        values = _rows(slope, *place)
        values *= _guide(pixels)[..., None]
        values += _rows(offset, *place)
        limit = np.ones_like(values)
        limit[..., :3] = pixels if pixels.ndim == 3 else pixels[..., None]
        limit[..., :3] /= np.float32(FULL_SCALE[pixels.dtype])
        np.maximum(values, np.array([0, 0, 0, FAINTEST], np.float32), out=values)
        np.minimum(values, limit, out=values)
        values *= reached > 0
        yield top, top + len(pixels), values


def _small_highlights(
    finer: np.ndarray, small: np.ndarray, layers: np.ndarray, separate: Separate
) -> np.ndarray | None:
    """The layers of `finer` (h, w) or (h, w, 3): those of the reduced picture, and the small highlights which
    that lost; None where nothing small stands out."""
    layers = np.concatenate([strip for _, _, strip in enlarged(finer, small, layers)])
    white = np.float32(FULL_SCALE[finer.dtype])
    picture = finer.astype(np.float32) / white
    picture = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    cleaned = picture - layers[..., :3]
    guide = cleaned.min(axis=2)
    height, width = guide.shape
    coarse = cv2.resize(guide, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    stands_out = guide - cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR) > STANDS_OUT
    side = max(small.shape[:2])
    tiles = [
        (top, left)
        for top in range(0, height, side)
        for left in range(0, width, side)
        if stands_out[top : top + side, left : left + side].any()
    ]
    if not tiles:
        return None
    around = cv2.dilate(stands_out.astype(np.float32), np.ones((SPREAD, SPREAD)))
    share = cv2.blur(around, (SPREAD, SPREAD), borderType=cv2.BORDER_REPLICATE)[..., None]
    starts = [(max(0, top - MARGIN), max(0, left - MARGIN)) for top, left in tiles]
    seen = [
        np.ascontiguousarray(cleaned[y : top + side + MARGIN, x : left + side + MARGIN])
        for (y, x), (top, left) in zip(starts, tiles, strict=True)
    ]
    for (y, x), (top, left), found in zip(starts, tiles, separate(seen), strict=True):
        inner = found[top - y : top - y + side, left - x : left - x + side]
        place = layers[top : top + side, left : left + side]
        taken = inner * share[top : top + side, left : left + side]
        place[..., :3] += taken[..., :3].clip(0, None)
        np.maximum(place[..., 3], taken[..., 3], out=place[..., 3])
    return layers


def _guide(pixels: np.ndarray) -> np.ndarray:
    """The smallest channel of (H, W) or (H, W, 3): (H, W) float32 in [0, 1]."""
    smallest = pixels
    if pixels.ndim == 3:  # several times as fast as a minimum over the last axis
        red, green, blue = cv2.split(pixels)
        smallest = cv2.min(cv2.min(red, green), blue)
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
    """Rows `top` ... `top + count` of `values` (h, w, C <= 4) enlarged bilinearly to height x width."""
    last = len(values) - 1
    place = ((np.arange(top, top + count) + 0.5) * len(values) / height - 0.5).clip(0, last)
    upper = place.astype(int)
    share = (place - upper).astype(np.float32)[:, None, None]
    rows = values[upper] * (1 - share) + values[np.minimum(upper + 1, last)] * share
    return cv2.resize(rows, (width, count), interpolation=cv2.INTER_LINEAR).reshape(count, width, -1)
