"""From a picture to the bytes of a file: PNG, TIFF and WebP lose nothing, JPEG and BMP what they must."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image

from utils.colour import quantise, to_unit
from utils.image_metadata import EXIF_PREFIX, add_png_metadata, png_of_grey_alpha
from utils.picture import Picture
from utils.tiff_directories import ORIENTATION, Header, add_exif

# Beyond 95 the files grow fast; 97 keeps the change of an untouched 8-bit pixel mostly below two levels.
JPEG_QUALITY = 97

_SEGMENT = 65000  # bytes that EXIF data or an XMP packet may have in a JPEG file


def fit(picture: Picture, kind: str) -> tuple[Picture, tuple[str, ...]]:
    """The picture as far as a format (PNG, JPEG, TIFF, WEBP, BMP) can hold it, and what it cannot hold, one
    clause each."""
    pixels, alpha, losses = picture.pixels, picture.alpha, []
    dtype = pixels.dtype
    limit = {"PNG": np.dtype(np.uint16), "TIFF": dtype}.get(kind, np.dtype(np.uint8))
    if dtype.itemsize > limit.itemsize:
        losses.append(f"written with {limit.itemsize * 8} bits as {kind} has no more")
        pixels = quantise(to_unit(pixels), limit)
        alpha = None if alpha is None else quantise(to_unit(alpha), limit)
    if alpha is not None and kind in ("JPEG", "BMP"):
        losses.append(f"its alpha is lost as {kind} has none")
        alpha = None
    kept: dict[str, Any] = {"exif": picture.exif, "icc": picture.icc, "xmp": picture.xmp}
    colour = picture.png_colour
    if kind == "BMP" and any(kept.values()):
        losses.append("its metadata and colour profile are lost as BMP holds none")
        kept = dict.fromkeys(kept)
    for name, words in (("exif", "EXIF data"), ("xmp", "XMP data")):
        if kind == "JPEG" and len(kept[name] or b"") > _SEGMENT:
            losses.append(f"its {words} is too long for JPEG and is lost")
            kept[name] = None
    if colour and kind != "PNG":
        if any(name in (b"gAMA", b"cHRM", b"cICP") for name, _ in colour) and not picture.icc:
            losses.append(f"what its colours mean (gamma, primaries) is lost as {kind} has no place for it")
        colour = ()
    return replace(picture, pixels=pixels, alpha=alpha, png_colour=colour, **kept), tuple(losses)


def encode(picture: Picture, kind: str) -> bytes:
    """The bytes of a file of a format; the picture must be as `fit` gives it. Raises ValueError, OSError or
    cv2.error where an encoder refuses (a side too long for JPEG or WebP)."""
    return _ENCODERS[kind](picture)


def _stacked(picture: Picture) -> np.ndarray:
    if picture.alpha is None:
        return picture.pixels
    return np.dstack([picture.pixels, picture.alpha])


def _encode_png(picture: Picture) -> bytes:
    array = _stacked(picture)
    if array.ndim == 3 and array.shape[2] == 2:
        encoded = png_of_grey_alpha(array)  # OpenCV cannot write these, Pillow not with 16 bits
    else:
        if array.ndim == 3:
            code = cv2.COLOR_RGBA2BGRA if array.shape[2] == 4 else cv2.COLOR_RGB2BGR
            array = cv2.cvtColor(array, code)
        encoded = cv2.imencode(".png", array)[1].tobytes()
    return add_png_metadata(
        encoded,
        icc=picture.icc,
        exif=picture.exif,
        xmp=picture.xmp,
        dpi=picture.dpi,
        colour=picture.png_colour,
    )


def _encode_tiff(picture: Picture) -> bytes:
    order = Header.of(picture.exif).order if picture.exif else "<"
    xmp = [] if picture.xmp is None else [(700, "B", len(picture.xmp), picture.xmp, True)]
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        _stacked(picture),
        byteorder=order,
        bigtiff=False,  # an error beyond 4 GiB: EXIF directories have no place in the larger kind
        photometric="rgb" if picture.pixels.ndim == 3 else "minisblack",
        extrasamples=None if picture.alpha is None else ["unassalpha"],
        compression="zlib",
        iccprofile=picture.icc,
        metadata=None,
        software=False,
        resolution=picture.dpi,
        resolutionunit=None if picture.dpi is None else "INCH",
        extratags=[(ORIENTATION, "H", 1, 1, True), *xmp],
    )
    written = buffer.getvalue()
    return add_exif(written, picture.exif) if picture.exif else written


def _encode_by_pillow(picture: Picture, kind: str, **options) -> bytes:
    if picture.icc:
        options["icc_profile"] = picture.icc
    if picture.exif:
        options["exif"] = EXIF_PREFIX + picture.exif
    if picture.xmp:
        options["xmp"] = picture.xmp
    if picture.dpi:
        options["dpi"] = picture.dpi
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(_stacked(picture))).save(buffer, kind, **options)
    return buffer.getvalue()


_ENCODERS: dict[str, Callable[[Picture], bytes]] = {
    "PNG": _encode_png,
    "JPEG": lambda picture: _encode_by_pillow(picture, "JPEG", quality=JPEG_QUALITY, subsampling=0),
    "TIFF": _encode_tiff,
    "WEBP": lambda picture: _encode_by_pillow(picture, "WEBP", lossless=True, exact=True),
    "BMP": lambda picture: _encode_by_pillow(picture, "BMP"),
}
