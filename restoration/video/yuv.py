"""Frames as RGB for the network, and the removed layer back into the frame's own luma and chroma.

Only the removed layer S is converted back, never the picture: with M the matrix of R'G'B' -> Y'CbCr (ITU-R
BT.601, BT.709, BT.2020; SMPTE 240M)

    Y'CbCr_out = Y'CbCr_in - M S

rounded to the frame's levels, chroma averaged over the pixels that share it. Where S is 0 the frame stays as
it was decoded, bit for bit.
"""

import re
from dataclasses import dataclass

import cv2
import numpy as np

FORMAT = re.compile(r"(?:yuvj?(?:410|411|420|422|440|444)p|gray)(?P<bits>9|10|12|14|16)?(?:le)?")
"""Pixel formats whose planes are taken as they are."""

BT709, UNSPECIFIED, BT470BG, SMPTE170M, SMPTE240M, BT2020, BT2020_CL = 1, 2, 5, 6, 7, 9, 10
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_KR_KB = {
    BT709: (0.2126, 0.0722),
    BT470BG: (0.299, 0.114),
    SMPTE170M: (0.299, 0.114),
    SMPTE240M: (0.212, 0.087),
    BT2020: (0.2627, 0.0593),
    BT2020_CL: (0.2627, 0.0593),
}


@dataclass(frozen=True)
class Coding:
    """What the numbers of a frame mean."""

    bits: int
    """of each sample"""
    full_range: bool
    """0 to 2^bits - 1 instead of 16 to 235 (luma) and 16 to 240 (chroma), times 2^(bits - 8)"""
    matrix: int
    """coefficients, as ITU-T H.273 counts them"""

    @classmethod
    def of(cls, pixel_format: str, matrix: int, colour_range: int, height: int) -> "Coding":
        """matrix and colour_range as a frame says them. Where a frame does not, the matrix is BT.709 from
        720 lines on and else BT.601, as players take it."""
        match = FORMAT.fullmatch(pixel_format)
        if match is None:
            raise ValueError(f"no planes of {pixel_format}")
        if matrix not in _KR_KB:
            matrix = BT709 if height >= 720 else SMPTE170M
        full = colour_range == FULL_RANGE or pixel_format.startswith("yuvj")
        return cls(int(match["bits"] or 8), full, matrix)

    @property
    def white(self) -> int:
        """Largest value of a sample."""
        return 2**self.bits - 1

    def luma(self) -> tuple[float, float]:
        """(black, white - black) of Y' in levels."""
        return (0, self.white) if self.full_range else (16 * 2 ** (self.bits - 8), 219 * 2 ** (self.bits - 8))

    def chroma(self) -> tuple[float, float]:
        """(zero, range) of Cb and Cr in levels."""
        return 2 ** (self.bits - 1), self.white if self.full_range else 224 * 2 ** (self.bits - 8)

    def to_ycbcr(self) -> np.ndarray:
        """M, (3, 3) float32: R'G'B' in [0, 1] to Y' in [0, 1] and Cb, Cr in [-1/2, 1/2]."""
        kr, kb = _KR_KB[self.matrix]
        luma = np.array([kr, 1 - kr - kb, kb])
        red, blue = np.array([1, 0, 0]), np.array([0, 0, 1])
        rows = [luma, (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))]
        return np.stack(rows).astype(np.float32)


def to_rgb(planes: list[np.ndarray], coding: Coding) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1] of the planes Y', Cb, Cr; (H, W) of a single plane.

    planes  (H, W) and twice (h, w) uint8 or uint16, chroma of the same or of a smaller size
    """
    black, span = coding.luma()
    luma = (planes[0].astype(np.float32) - np.float32(black)) / np.float32(span)
    if len(planes) == 1:
        return luma.clip(0, 1)
    height, width = luma.shape
    zero, span = coding.chroma()
    chroma = [(plane.astype(np.float32) - np.float32(zero)) / np.float32(span) for plane in planes[1:3]]
    enlarged = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in chroma]
    inverse = np.linalg.inv(coding.to_ycbcr().astype(np.float64)).astype(np.float32)
    return cv2.transform(np.dstack([luma, *enlarged]), inverse).clip(0, 1)


def subtract(planes: list[np.ndarray], specular: np.ndarray, coding: Coding) -> list[np.ndarray]:
    """The planes without the layer S, in their own type.

    planes    as `to_rgb` takes them
    specular  (H, W, 3), or (H, W) for a single plane, float32 in units of white
    """
    if len(planes) == 1:
        layers = [specular]
    else:
        layers = list(np.moveaxis(cv2.transform(np.ascontiguousarray(specular), coding.to_ycbcr()), 2, 0))
    spans = [coding.luma()[1], coding.chroma()[1], coding.chroma()[1]]
    result = []
    for plane, layer, span in zip(planes, layers, spans, strict=False):
        height, width = plane.shape
        if layer.shape != plane.shape:
            layer = cv2.resize(layer, (width, height), interpolation=cv2.INTER_AREA)
        levels = np.rint(layer * np.float32(span))
        result.append(np.clip(plane - levels, 0, coding.white).astype(plane.dtype))
    return result
