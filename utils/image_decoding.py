"""From the bytes of a picture file to a picture: bit depth, alpha, orientation and metadata kept.

Pillow decodes 8-bit pictures of all kinds; OpenCV decodes 16-bit and floating-point PNG, TIFF and JPEG 2000,
of which Pillow would keep 8 bits only. Only the formats listed here are tried, and no decoder is asked
before the size that a file claims was checked.
"""

import io
import logging
import re
import struct
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms

from utils.colour import FULL_SCALE
from utils.errors import UserError, first_line
from utils.image_metadata import (
    EXIF_PREFIX,
    GAIN_MAP,
    MAX_METADATA,
    PNG_SIGNATURE,
    avif_bits,
    nclx_colour,
    png_chunks,
    png_colour,
    raw_profile,
    still_png,
    upright_xmp,
)
from utils.picture import MAX_PIXELS, Picture
from utils.tiff_directories import Header, exif_of_tiff, take_orientation

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "DIB", "GIF", "PPM", "JPEG2000", "AVIF")
"""Pillow's names of what it may decode: its other decoders stay out of reach of files."""

TIFF_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
JPEG2000_SIGNATURES = (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

MAX_FRAMES = 10_000
"""Frames of an animation or directories of a TIFF file; counting more of them takes longer than decoding."""

MAX_SCANS = 200
"""Scans of a JPEG file; encoders make at most some ten."""

# OpenCV and tifffile print lines of their own about each damaged file; ours names it.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_RARE_COMPRESSIONS = ("WEBP", "LERC", "JPEGXL", "JPEGXL_DNG", "JPEG2000", "APERIO_JP2000_RGB", "ZSTD", "LZMA")

_STRIP = 1024  # rows converted at once, so that no second copy of a large picture is made

_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # EXIF orientation -> how to undo it
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: lambda a: np.rot90(a, 1),
}


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture in a file's bytes. Raises UserError saying what is wrong with it, or too large.

    8- and 16-bit grey and colour are kept as they are, floating-point TIFF must lie in [0, 1]; palettes
    become RGB, CMYK is converted to sRGB by its own profile, of animations the first frame is taken
    (both said in `notes`). EXIF orientation is applied.
    """
    if not data:
        raise UserError("the file is empty (0 bytes)")
    try:
        return _decode(data, max_pixels)
    except (UserError, MemoryError):
        raise
    except Exception as error:
        # A damaged file can make a decoder raise anything from OSError to IndexError.
        raise UserError(f"the file is damaged ({first_line(error)})") from error


def size_of(data: bytes) -> tuple[int, int]:
    """(width, height) that a file claims, (0, 0) where it cannot be told. Decodes nothing."""
    try:
        if data[:4] in TIFF_SIGNATURES:
            with tifffile.TiffFile(io.BytesIO(data)) as file:
                page = file.pages[0]
                return int(page.imagewidth), int(page.imagelength)  # a forged tag can hold several numbers
        return _open(data, max_pixels=2**62).size
    except Exception:  # what is wrong is for `decode` to say
        return 0, 0


def _decode(data: bytes, max_pixels: int) -> Picture:
    if data[:4] in TIFF_SIGNATURES:
        # Decoders differ in whether they turn TIFF files; a file without orientation leaves no choice.
        orientation, data = take_orientation(data)
        return _finished(_decode_tiff(data, max_pixels), orientation)
    deep_netpbm = re.match(rb"P[56]\s+(?:#[^\n]*\n\s*)*(\d+)\s+(\d+)\s+(\d+)\s", data[:512])
    if data.startswith(PNG_SIGNATURE) and data[24:25] == b"\x10":
        picture = _decode_png16(data, max_pixels)
    elif deep_netpbm and int(deep_netpbm[3]) > 255:
        picture = _decode_netpbm16(data, deep_netpbm, max_pixels)
    elif data.startswith(JPEG2000_SIGNATURES):
        picture = _decode_jpeg2000(data, max_pixels)
    elif data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS and b"avif" not in data[8:64]:
        return _finished(_decode_heif(data, max_pixels), 1)  # its decoder has turned it
    elif data[4:8] == b"ftyp" and b"avif" in data[8:64] and (bits := avif_bits(data)) > 8:
        picture = _decode_avif(data, bits, max_pixels)
    else:
        picture = _decode_by_pillow(data, max_pixels)
    orientation, exif = take_orientation(picture.exif or b"")
    return _finished(replace(picture, exif=exif or None), orientation)


def _finished(picture: Picture, orientation: int) -> Picture:
    """The picture turned upright, without metadata that is none."""

    def turn(layer):
        return None if layer is None else np.ascontiguousarray(_UPRIGHT[orientation](layer))

    notes: list[str] = list(picture.notes)
    kept: dict[str, Any] = {}
    for name, words in (("icc", "colour profile"), ("exif", "EXIF data"), ("xmp", "XMP data")):
        value = getattr(picture, name)
        sound = isinstance(value, bytes) and len(value) <= MAX_METADATA
        if name == "exif" and sound:
            sound = value[:4] in TIFF_SIGNATURES[:2] and len(value) >= 8
        if value and not sound:
            notes.append(f"its {words} cannot be used and is left out")
        kept[name] = value if value and sound else None
    dpi = picture.dpi
    if dpi is not None and not all(0 < float(value) < 1e6 for value in dpi):
        dpi = None
    if kept["xmp"] and orientation != 1:
        kept["xmp"] = upright_xmp(kept["xmp"])
    pixels, alpha = turn(picture.pixels), turn(picture.alpha)
    return replace(picture, pixels=pixels, alpha=alpha, dpi=dpi, notes=tuple(notes), **kept)


_OPENING = threading.Lock()


def _open(data: bytes, max_pixels: int) -> Image.Image:
    Image.init()
    try:
        with _OPENING:
            # Pillow's own limit (179 Mpx, and a warning at half of it) would refuse large panoramas.
            before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(io.BytesIO(data), formats=FORMATS)
            finally:
                Image.MAX_IMAGE_PIXELS = before
    except Image.UnidentifiedImageError as error:
        raise UserError("it is not a picture, or of a kind that is not supported") from error
    width, height = image.size
    _check_size(width, height, max_pixels)
    return image


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise UserError(f"the file is damaged (it claims {width}x{height} pixels)")
    if width * height > max_pixels:
        raise UserError(f"{width}x{height} pixels are more than the {max_pixels / 1e6:g} million allowed")


def _check_length(image: Image.Image, data: bytes) -> None:
    """Raises UserError where so few bytes cannot hold so many pixels, or hold them all too often."""
    length, pixels = len(data), image.size[0] * image.size[1]
    # A JPEG spends at least one bit on each block of 8x8 pixels; deflate shrinks at most 1032 times, and
    # a PNG has at least one bit for each pixel.
    most = {"JPEG": 512 * length, "MPO": 512 * length, "PNG": 8 * 1032 * length}.get(image.format, pixels)
    # Each scan of a progressive JPEG goes over all pixels: a small file can ask for thousands.
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > MAX_SCANS:
        raise UserError(
            f"the file has more than {MAX_SCANS} scans: it is damaged, or made to keep a decoder busy"
        )
    if pixels > most:
        raise UserError(
            f"the file is damaged or cut off ({length} bytes cannot hold "
            f"{image.size[0]}x{image.size[1]} pixels)"
        )


def _decode_by_pillow(data: bytes, max_pixels: int) -> Picture:
    image = _open(data, max_pixels)
    _check_length(image, data)
    kind, info, notes = image.format, dict(image.info), []
    # MPO is what many phones call a JPEG with a preview behind it.
    kind = {"MPO": "JPEG", "DIB": "BMP"}.get(kind, kind)
    if kind not in ("JPEG", "TIFF") and getattr(image, "n_frames", 1) > 1:
        notes.append(f"the first of its {image.n_frames} frames")
        image.seek(0)
    image.load()
    info |= {key: value for key, value in image.info.items() if key not in info}
    icc, exif = info.get("icc_profile"), info.get("exif") or raw_profile(info, "exif")
    xmp = info.get("xmp") or raw_profile(info, "xmp")
    if kind == "JPEG" and any(mark in (xmp or b"") for mark in GAIN_MAP):
        xmp = None
        notes.append("its HDR gain map is left out, and the XMP data that describes it")
    if image.mode == "LAB":
        image, icc = image.convert("RGB"), None
        notes.append("Lab converted to sRGB")
    if image.mode == "CMYK":
        image, icc, how = cmyk_to_rgb(image, icc)
        notes.append(how)
    pixels, alpha = layers_of(image)
    alpha = _alpha_of_bmp(data, alpha) if kind == "BMP" else alpha
    return Picture(
        pixels,
        alpha,
        icc,
        exif and exif.removeprefix(EXIF_PREFIX),
        kind,
        tuple(notes),
        xmp=xmp or None,
        dpi=info.get("dpi"),
        png_colour=png_colour(data)
        if kind == "PNG"
        else nclx_colour(data)
        if kind == "AVIF" and not icc
        else (),
    )


def _alpha_of_bmp(data: bytes, alpha: np.ndarray | None) -> np.ndarray | None:
    """The alpha of a BMP file: of 32 bits without masks the fourth byte, which Pillow leaves out, unless it
    is the same everywhere (padding)."""
    if data[:2] != b"BM" or alpha is not None or len(data) < 34:
        return alpha
    start, _, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", data, 10)
    if (bits, compression) != (32, 0):
        return alpha
    fourth = np.frombuffer(data, np.uint8, 4 * width * abs(height), start)[3::4].reshape(-1, width)
    return None if (fourth == fourth[0, 0]).all() else fourth[:: -1 if height > 0 else 1].copy()


def cmyk_to_rgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bytes | None, str]:
    """A CMYK image in RGB by its own profile where that is sound, the profile of the result, and in a clause
    what was done."""
    if not icc:
        return image.convert("RGB"), None, "CMYK converted to RGB (it has no profile of its own)"
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        converted = ImageCms.profileToProfile(image, own, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, TypeError):
        return image.convert("RGB"), None, "CMYK converted to RGB (its profile is damaged)"
    return converted, srgb.tobytes(), "CMYK converted to sRGB by its profile"


def layers_of(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """(pixels, alpha) of a Pillow image of any mode. Raises UserError for integers of more than 16 bits
    and floats outside [0, 1]."""
    mode = image.mode
    if mode == "F":
        return _checked_float(np.asarray(image)), None
    if mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise UserError("its integers have more than 16 bits: save it with 8 or 16")
        return values.astype(np.uint16), None
    grey = mode in ("1", "L", "LA", "La")
    has_alpha = mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info
    target = {(True, False): "L", (True, True): "LA", (False, False): "RGB", (False, True): "RGBA"}
    width, height = image.size
    array = np.empty((height, width, len(target[grey, has_alpha])), np.uint8)
    for top in range(0, height, _STRIP):
        strip = image if height <= _STRIP else image.crop((0, top, width, min(height, top + _STRIP)))
        # LA cannot be reached from every mode with a transparent colour; RGBA can, but from La.
        strip = strip.convert("RGBA") if grey and has_alpha and mode != "La" else strip
        strip = strip.convert(target[grey, has_alpha])
        array[top : top + _STRIP] = np.asarray(strip).reshape(strip.height, width, -1)
    if not has_alpha:
        return (array[..., 0] if grey else array), None
    return (array[..., 0] if grey else array[..., :3]), array[..., -1]


def _decode_png16(data: bytes, max_pixels: int) -> Picture:
    header = _open(data, max_pixels)
    _check_length(header, data)
    exif = None
    for kind, body in png_chunks(data):  # OpenCV may return half a picture for a damaged file: checked here
        exif = body if kind == b"eXIf" else exif
    frames = getattr(header, "n_frames", 1)
    # Of an animation OpenCV can return another frame than the first.
    array = _decode_by_opencv(still_png(data) if frames > 1 else data)
    grey = data[25] in (0, 4)  # colour type: grey, grey and alpha
    pixels, alpha = _split(array, grey)
    info = header.info
    if grey and alpha is None and "transparency" in info:  # OpenCV sees to it in colour only
        alpha = np.where(pixels == info["transparency"], 0, 65535).astype(np.uint16)
    return Picture(
        pixels,
        alpha,
        info.get("icc_profile"),
        exif or raw_profile(info, "exif"),
        "PNG",
        (f"the first of its {frames} frames",) if frames > 1 else (),
        xmp=info.get("xmp") or raw_profile(info, "xmp"),
        dpi=info.get("dpi"),
        png_colour=png_colour(data),
    )


def _decode_netpbm16(data: bytes, header: re.Match, max_pixels: int) -> Picture:
    """A binary PGM or PPM file with two bytes for each value, the high one first."""
    width, height, white = (int(number) for number in header.groups())
    _check_size(width, height, max_pixels)
    if white > 65535:
        raise UserError("the file is damaged (its white is above 65535)")
    shape = (height, width) if data[:2] == b"P5" else (height, width, 3)
    values = np.frombuffer(data, ">u2", int(np.prod(shape)), header.end()).reshape(shape)
    if white == 65535:
        return Picture(values.astype(np.uint16), format="PPM")
    scaled = np.minimum(values, white).astype(np.float64) * (65535 / white)
    return Picture(np.rint(scaled).astype(np.uint16), format="PPM")


def _decode_jpeg2000(data: bytes, max_pixels: int) -> Picture:
    image = _open(data, max_pixels)
    array = _decode_by_opencv(data) if image.mode in ("L", "RGB", "RGBA", "I;16") else None
    if array is None or array.dtype != np.uint16:
        return _decode_by_pillow(data, max_pixels)
    pixels, alpha = _split(array, grey=array.ndim == 2)
    return Picture(pixels, alpha, image.info.get("icc_profile"), format="JPEG2000")


def _decode_heif(data: bytes, max_pixels: int) -> Picture:
    try:
        import pillow_heif
    except ImportError as error:
        raise UserError("HEIC files need another package: pip install pillow-heif") from error
    file = pillow_heif.open_heif(data, convert_hdr_to_8bit=False)
    width, height = file.size
    _check_size(width, height, max_pixels)
    array = np.asarray(file)
    notes: tuple[str, ...] = (f"the first of its {len(file)} pictures",) if len(file) > 1 else ()
    if array.dtype == np.uint16:
        # 10 or 12 bits come in the upper part of 16.
        notes += (f"its {file.info.get('bit_depth', 10)} bits are kept as 16",)
    alpha = array[..., 3] if array.ndim == 3 and array.shape[2] == 4 else None
    pixels = array[..., :3] if array.ndim == 3 else array
    exif, xmp = file.info.get("exif"), file.info.get("xmp")
    exif = take_orientation(exif.removeprefix(EXIF_PREFIX))[1] if exif else None
    xmp = upright_xmp(xmp) if isinstance(xmp, bytes) and xmp else None
    icc = file.info.get("icc_profile")
    colour = () if icc else nclx_colour(data)
    return Picture(pixels, alpha, icc, exif, "HEIF", notes, xmp=xmp, png_colour=colour)


def _decode_avif(data: bytes, bits: int, max_pixels: int) -> Picture:
    """An AVIF file of 10 or 12 bits, of which Pillow keeps 8: its pixels by OpenCV where that can."""
    picture = _decode_by_pillow(data, max_pixels)
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if array is None or array.dtype != np.uint16:
        return replace(picture, notes=(*picture.notes, f"of its {bits} bits 8 are kept"))
    # The highest bits again in the place of the lowest, so that white stays white.
    spread = np.left_shift(array, 16 - bits) + np.right_shift(array, 2 * bits - 16)
    pixels, alpha = _split(spread, grey=spread.ndim == 2)
    return replace(
        picture, pixels=pixels, alpha=alpha, notes=(*picture.notes, f"its {bits} bits are kept as 16")
    )


def _decode_tiff(data: bytes, max_pixels: int) -> Picture:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        if 50706 in page.tags:  # DNGVersion
            raise UserError("it is a camera's raw file (DNG): develop it and save it as a 16-bit TIFF")
        _check_size(page.imagewidth, page.imagelength, max_pixels)
        # 1 is unsigned integers, 3 is floating point; 1 is grey (black is zero), 2 is RGB.
        deep = (page.bitspersample, int(page.sampleformat)) in ((16, 1), (32, 3))
        plain = int(page.photometric) in (1, 2) and int(page.planarconfig) == 1
        icc = page.tags[34675].value if 34675 in page.tags else None
        xmp = page.tags[700].value if 700 in page.tags else None
        dpi = page.get_resolution(unit="INCH") if 282 in page.tags and 283 in page.tags else None
        wide, samples = page.bitspersample > 8, page.samplesperpixel
        colours = 3 if int(page.photometric) == 2 else 1
        extras = [int(extra) for extra in page.extrasamples]
        named = [place for place, extra in enumerate(extras) if extra in (1, 2)]
        associated = bool(named) and extras[named[0]] == 1
        compression = getattr(page.compression, "name", str(page.compression))
        # OpenCV has pictures of one, three and four channels; tifffile reads few
        # compressions, so only others.
        stack = None
        # Of 8 bits Pillow knows no grey with such channels.
        bytes_apart = colours == 1 and 0 in extras and page.bitspersample == 8
        if plain and (bytes_apart or (deep and samples not in (1, 3, 4))):
            try:
                stack = page.asarray().reshape(page.imagelength, page.imagewidth, samples)
            except (ValueError, ImportError) as error:
                words = f"TIFF files of {samples} channels with {compression} compression are not supported"
                raise UserError(words) from error
    pages = _count_directories(data)
    notes: tuple[str, ...] = (f"the first of its {pages} pages",) if pages > 1 else ()
    left_out = len(extras) - len(named[:1])
    if left_out:
        words = "an extra channel" if left_out == 1 else f"{left_out} extra channels"
        notes += (f"{words} (not an alpha) left out",)
    kept: dict[str, Any] = {"icc": icc, "exif": exif_of_tiff(data), "notes": notes, "dpi": dpi}
    kept["xmp"] = xmp.encode() if isinstance(xmp, str) else xmp
    if not wide and stack is None:
        try:
            picture = _decode_by_pillow(data, max_pixels)
        except OSError as error:
            if compression in _RARE_COMPRESSIONS:
                raise UserError(f"TIFF files with {compression} compression are not supported") from error
            raise
        # A CMYK or Lab picture has been converted, and its profile with it.
        kept["icc"] = picture.icc if any(" converted to " in note for note in picture.notes) else icc
        kept["notes"] = picture.notes + notes
        return replace(picture, **kept)
    if stack is None and not (deep and plain):
        raise UserError("of deep TIFF files only interleaved grey or RGB, 16-bit integer or 32-bit float")
    if stack is not None:
        pixels = stack[..., 0] if colours == 1 else stack[..., :colours]
        # Two channels without a word about the second: an alpha, as before four of RGB.
        place = named[0] if named else 0
        alpha = stack[..., colours + place] if named or (not extras and samples == 2) else None
    else:
        pixels, alpha = _split(_decode_by_opencv(data), grey=samples == 1)
        alpha = None if extras and not named else alpha
    if pixels.dtype == np.float32:
        pixels, alpha = _checked_float(pixels), None if alpha is None else _checked_float(alpha)
    if associated and alpha is not None:
        pixels = _straight(pixels, alpha)
    return Picture(pixels, alpha, format="TIFF", **kept)


def _straight(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours (H, W) or (H, W, 3) that are not multiplied by their alpha (H, W), from those that are."""
    white = FULL_SCALE[pixels.dtype]
    straight = pixels.copy()
    for top in range(0, len(alpha), _STRIP):
        rows = slice(top, top + _STRIP)
        share = alpha[rows].astype(np.float64).reshape(alpha[rows].shape + (1,) * (pixels.ndim - 2)) / white
        values = np.minimum(
            np.divide(pixels[rows], share, where=share > 0, out=np.zeros(pixels[rows].shape)), white
        )
        straight[rows] = np.rint(values) if pixels.dtype.kind == "u" else values
    return straight


def _count_directories(data: bytes) -> int:
    """Pages of a TIFF file, at most MAX_FRAMES; a chain of directories that leads back into itself ends."""
    header = Header.of(data)
    position = header.first
    seen: set[int] = set()
    while position and position not in seen and len(seen) < MAX_FRAMES:
        seen.add(position)
        position = header.next_directory(data, position)
    return len(seen)


def _decode_by_opencv(data: bytes) -> np.ndarray:
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    array = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if array is None or array.dtype not in FULL_SCALE:
        raise UserError("the file is damaged, or stored in a way that is not supported")
    return array


def _split(array: np.ndarray, grey: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """OpenCV's (H, W) or (H, W, BGR[A]) into (pixels, alpha)."""
    if array.ndim == 2:
        return array, None
    alpha = array[..., 3] if array.shape[2] == 4 else None
    return (array[..., 0] if grey else array[..., 2::-1]), alpha


def _checked_float(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 1):  # also catches NaN
        raise UserError(f"floating-point values must lie in [0, 1], here {low:g} to {high:g}: scale it")
    return values
