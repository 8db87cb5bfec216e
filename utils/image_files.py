"""Picture files in and out at full fidelity: bit depth, alpha, ICC profile, EXIF, orientation.

Pillow decodes 8-bit pictures of all kinds; OpenCV decodes 16-bit and floating-point PNG and TIFF, of
which Pillow would keep 8 bits only. Every error is a UserError that names the file.
"""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms

from utils.atomic import write_bytes
from utils.colour import FULL_SCALE, grey_to_rgb, quantise, to_unit
from utils.errors import UserError
from utils.image_metadata import (
    EXIF_PREFIX,
    PNG_SIGNATURE,
    add_png_metadata,
    exif_of_tiff,
    png_chunks,
    png_of_grey_alpha,
    take_orientation,
    text_fields,
)

SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".dib"}
SUFFIXES |= {".gif", ".ppm", ".pgm", ".pnm", ".jp2", ".avif"}
"""What `list_pictures` takes for a picture (in any case); the content decides how a file is read."""

WRITERS = {  # suffix -> format
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".bmp": "BMP",
}

MAX_PIXELS = 500_000_000
"""Larger pictures are refused: a small file can claim any size (a decompression bomb)."""

# Pillow's own limit (179 Mpx, and a warning at half of it) would refuse honest panoramas; ours above is
# checked on the header of every file before anything is decoded.
Image.MAX_IMAGE_PIXELS = None
# OpenCV prints a line of its own about each damaged file; ours names it.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# Beyond 95 the files grow fast; 97 keeps the change of an untouched 8-bit pixel mostly below two levels.
JPEG_QUALITY = 97

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
    """what reading changed, one clause each, for the user's eyes"""


def read_picture(path: str | os.PathLike) -> Picture:
    """Reads a picture with everything that can be kept. Raises UserError naming the file.

    8- and 16-bit grey and colour are kept as they are, floating-point TIFF must lie in [0, 1]; palettes
    become RGB, CMYK is converted to sRGB by its own profile, of animations the first frame is taken
    (both said in `notes`). EXIF orientation is applied.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if not data:
        raise UserError(f"cannot read {path}: the file is empty (0 bytes)")
    try:
        return _decode(data)
    except UserError as error:
        raise UserError(f"cannot read {path}: {error}") from error
    except MemoryError:
        raise
    except Exception as error:
        # A damaged file can make a decoder raise anything from OSError to IndexError.
        raise UserError(f"cannot read {path}: the file is damaged ({error})") from error


def read_rgb(path: str | os.PathLike) -> np.ndarray:
    """Reads a picture as (H, W, 3) float32 in [0, 1]; grey is replicated, alpha dropped."""
    return grey_to_rgb(to_unit(read_picture(path).pixels))


def list_pictures(folder: str | os.PathLike, recursive: bool = False) -> list[Path]:
    """The picture files of a folder by suffix, sorted; hidden files are left out.

    Links that lead nowhere are listed (reading them says so), folders named like pictures are not.
    `recursive` follows linked folders, each once. Raises UserError where `folder` is not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    pictures, visited = [], set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        visited.add(os.path.realpath(parent))
        folders[:] = [
            name
            for name in sorted(folders)
            if recursive
            and not name.startswith(".")
            and os.path.realpath(os.path.join(parent, name)) not in visited
        ]
        pictures += [
            Path(parent, name)
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES
        ]
    return sorted(pictures)


def write_rgb(path: str | os.PathLike, image: np.ndarray, bits: int = 8) -> None:
    """Writes (H, W, 3) or (H, W), float in [0, 1] (clipped, rounded to `bits`) or uint8/uint16 as it is."""
    if image.dtype.kind == "f":
        image = quantise(image, {8: np.uint8, 16: np.uint16}[bits])
    write_picture(path, Picture(image))


def write_picture(path: str | os.PathLike, picture: Picture) -> tuple[str, ...]:
    """Writes a picture atomically, in the format of the path's suffix; PNG, TIFF and WebP lose nothing.

    Returns what the format cannot hold, one clause each (empty when all is kept). Raises UserError where
    the suffix is unknown or the file cannot be written.
    """
    path = Path(path)
    kind = WRITERS.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"cannot write {path}: choose one of the formats {' '.join(WRITERS)}")
    picture, losses = _fit(picture, kind)
    try:
        data = _ENCODERS[kind](picture)
    except (OSError, ValueError, cv2.error) as error:
        raise UserError(f"cannot write {path}: {error}") from error
    write_bytes(path, data)
    return losses


def _decode(data: bytes) -> Picture:
    if data[:4] in (b"II*\x00", b"MM\x00*"):
        # Decoders differ in whether they turn TIFF files; a file without orientation leaves no choice.
        orientation, data = take_orientation(data)
        return _oriented(_decode_tiff(data), orientation)
    if data.startswith(PNG_SIGNATURE) and data[24:25] == b"\x10":
        picture = _decode_png16(data)
    else:
        picture = _decode_by_pillow(_open(data))
    orientation, exif = take_orientation(picture.exif or b"")
    return _oriented(replace(picture, exif=exif or None), orientation)


def _oriented(picture: Picture, orientation: int) -> Picture:
    def turn(layer):
        return None if layer is None else np.ascontiguousarray(_UPRIGHT[orientation](layer))

    return replace(picture, pixels=turn(picture.pixels), alpha=turn(picture.alpha))


def _open(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
    except Image.UnidentifiedImageError as error:
        raise UserError("it is not a picture, or of a kind that is not supported") from error
    _check_size(*image.size)
    return image


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UserError(f"{width}x{height} pixels are more than the {MAX_PIXELS // 10**6} million allowed")


def _decode_by_pillow(image: Image.Image) -> Picture:
    kind, info, notes = image.format, dict(image.info), []
    # MPO is what many phones call a JPEG with a preview behind it.
    kind = {"MPO": "JPEG", "DIB": "BMP"}.get(kind, kind)
    if kind != "JPEG" and getattr(image, "n_frames", 1) > 1:
        notes.append(f"the first of its {image.n_frames} frames")
    image.load()
    icc, exif = info.get("icc_profile"), info.get("exif") or image.info.get("exif")
    if kind == "TIFF":
        exif = exif_of_tiff(image)
    if image.mode == "CMYK":
        image, icc, how = _cmyk_to_rgb(image, icc)
        notes.append(how)
    return Picture(*_layers(image), icc, exif and exif.removeprefix(EXIF_PREFIX), kind, tuple(notes))


def _cmyk_to_rgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bytes | None, str]:
    if not icc:
        return image.convert("RGB"), None, "CMYK converted to RGB (it has no profile of its own)"
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        converted = ImageCms.profileToProfile(image, own, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image.convert("RGB"), None, "CMYK converted to RGB (its profile is damaged)"
    return converted, srgb.tobytes(), "CMYK converted to sRGB by its profile"


def _layers(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """(pixels, alpha) of a decoded Pillow image of any mode."""
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
    # LA cannot be reached from every mode with a transparent colour; RGBA can.
    converted = image.convert("RGBA").convert("LA") if grey and has_alpha else image
    array = np.asarray(converted.convert(target[grey, has_alpha]))
    if not has_alpha:
        return array, None
    return (array[..., 0] if grey else array[..., :3]), array[..., -1]


def _decode_png16(data: bytes) -> Picture:
    header = _open(data)  # refuses what is too large before anything is decoded
    chunks = dict(png_chunks(data))  # OpenCV may return half a picture for a damaged file: checked here
    array = _decode_by_opencv(data)
    grey = data[25] in (0, 4)  # colour type: grey, grey and alpha
    pixels, alpha = _split(array, grey)
    return Picture(pixels, alpha, header.info.get("icc_profile"), chunks.get(b"eXIf"), "PNG")


def _decode_tiff(data: bytes) -> Picture:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page, pages = file.pages[0], len(file.pages)
        _check_size(page.imagewidth, page.imagelength)
        # 1 is unsigned integers, 3 is floating point; 1 is grey (black is zero), 2 is RGB.
        deep = (page.bitspersample, int(page.sampleformat)) in ((16, 1), (32, 3))
        plain = int(page.photometric) in (1, 2) and int(page.planarconfig) == 1
        icc = page.tags[34675].value if 34675 in page.tags else None
        wide = page.bitspersample > 8
        samples = page.samplesperpixel
        # OpenCV has no pictures of two channels; tifffile reads few compressions, so only these.
        two = page.asarray() if deep and plain and samples == 2 else None
    if not wide:
        return _decode_by_pillow(_open(data))
    if not (deep and plain):
        raise UserError("of deep TIFF files only interleaved grey or RGB, 16-bit integer or 32-bit float")
    if two is not None:
        pixels, alpha = two[..., 0], two[..., 1]
    else:
        pixels, alpha = _split(_decode_by_opencv(data), grey=samples == 1)
    if pixels.dtype == np.float32:
        pixels, alpha = _checked_float(pixels), None if alpha is None else _checked_float(alpha)
    try:
        exif = exif_of_tiff(Image.open(io.BytesIO(data)))
    except Image.UnidentifiedImageError:  # Pillow knows no floating-point RGB
        exif = None
    notes = (f"the first of its {pages} pages",) if pages > 1 else ()
    return Picture(pixels, alpha, icc, exif, "TIFF", notes)


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


def _fit(picture: Picture, kind: str) -> tuple[Picture, tuple[str, ...]]:
    """The picture as far as a format can hold it, and what it cannot hold."""
    pixels, alpha, losses = picture.pixels, picture.alpha, []
    dtype = pixels.dtype
    limit = {"PNG": np.dtype(np.uint16), "TIFF": dtype}.get(kind, np.dtype(np.uint8))
    if dtype.itemsize > limit.itemsize:
        losses.append(f"written with {limit.itemsize * 8} bits as {kind} has no more")
        pixels, alpha = (
            None if layer is None else quantise(to_unit(layer), limit) for layer in (pixels, alpha)
        )
    if alpha is not None and kind in ("JPEG", "BMP"):
        losses.append(f"its alpha is lost as {kind} has none")
        alpha = None
    exif, icc = picture.exif, picture.icc
    if exif and kind == "JPEG" and len(exif) > 65000:
        losses.append("its EXIF data is too long for JPEG and is lost")
        exif = None
    if (exif or icc) and kind == "BMP":
        losses.append("its EXIF data and colour profile are lost as BMP holds none")
    if exif and kind == "TIFF" and pixels.dtype != np.uint8:
        losses.append("of its EXIF data the text fields are kept")
    return replace(picture, pixels=pixels, alpha=alpha, exif=exif), tuple(losses)


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
    return add_png_metadata(encoded, picture.icc, picture.exif)


def _encode_tiff(picture: Picture) -> bytes:
    if picture.pixels.dtype == np.uint8:
        return _encode_by_pillow(picture, "TIFF", compression="tiff_adobe_deflate")
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        _stacked(picture),
        photometric="rgb" if picture.pixels.ndim == 3 else "minisblack",
        extrasamples=None if picture.alpha is None else ["unassalpha"],
        compression="zlib",
        iccprofile=picture.icc,
        metadata=None,
        software=False,
        extratags=[(tag, "s", 0, text, True) for tag, text in text_fields(picture.exif).items()],
    )
    return buffer.getvalue()


def _encode_by_pillow(picture: Picture, kind: str, **options) -> bytes:
    if picture.icc:
        options["icc_profile"] = picture.icc
    if picture.exif:
        options["exif"] = EXIF_PREFIX + picture.exif
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(_stacked(picture))).save(buffer, kind, **options)
    return buffer.getvalue()


_ENCODERS: dict[str, Callable[[Picture], bytes]] = {
    "PNG": _encode_png,
    "JPEG": lambda p: _encode_by_pillow(p, "JPEG", quality=JPEG_QUALITY, subsampling=0),
    "TIFF": _encode_tiff,
    "WEBP": lambda p: _encode_by_pillow(p, "WEBP", lossless=True, exact=True),
    "BMP": lambda p: _encode_by_pillow(replace(p, exif=None, icc=None), "BMP"),
}
