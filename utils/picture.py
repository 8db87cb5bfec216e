"""A picture in memory, with all of its file that is worth keeping."""

from dataclasses import dataclass

import numpy as np

MAX_PIXELS = 200_000_000
"""Larger pictures are refused unless asked for: a small file can claim any size (a decompression bomb)."""


@dataclass(frozen=True)
class Picture:
    """One picture, upright, as its file holds it."""

    pixels: np.ndarray
    """(H, W) grey or (H, W, 3) RGB; uint8 [0, 255], uint16 [0, 65535] or float32 [0, 1]"""
    alpha: np.ndarray | None = None
    """(H, W) of the same type, or None"""
    icc: bytes | None = None
    """ICC profile of the pixels"""
    exif: bytes | None = None
    """EXIF block (from its TIFF header on) with its orientation reset to 1"""
    format: str = "PNG"
    """Pillow's name of the file's format: PNG, JPEG, TIFF, WEBP, BMP, GIF, ..."""
    notes: tuple[str, ...] = ()
    """what reading changed, one clause each, to be shown to the user"""
    xmp: bytes | None = None
    """XMP packet: titles, ratings, edits, as XML; its orientation is reset to 1 where pixels were turned"""
    dpi: tuple[float, float] | None = None
    """pixels per inch, across and down"""
    png_colour: tuple[tuple[bytes, bytes], ...] = ()
    """(type, content) of the PNG chunks that say what its colours mean: gAMA, cHRM, sRGB, cICP"""
