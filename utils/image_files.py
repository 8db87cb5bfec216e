"""Picture files in and out at full fidelity: bit depth, alpha, ICC profile, EXIF, XMP, orientation.

Every error is a UserError that names the file.
"""

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from utils.atomic import write_bytes
from utils.colour import grey_to_rgb, quantise, to_unit
from utils.errors import UserError, reason
from utils.image_decoding import decode
from utils.image_encoding import encode, fit
from utils.picture import MAX_PIXELS, Picture

__all__ = ["MAX_PIXELS", "Picture", "list_pictures", "read_picture", "read_rgb", "write_picture", "write_rgb"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".dib"}
SUFFIXES |= {".gif", ".ppm", ".pgm", ".pnm", ".jp2", ".avif", ".heic", ".heif", ".hif"}
"""What `list_pictures` takes for a picture (in any case); the content decides how a file is read."""

RAW_SUFFIXES = {".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"}
RAW_SUFFIXES |= {".3fr", ".iiq", ".x3f", ".raw"}
RAW_FILE = "a camera's raw file; develop it with darktable or RawTherapee and save it as a 16-bit TIFF"
"""What cameras write before a picture is developed; no decoder for them is here."""

CLIP_SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".wmv"}
CLIP_SUFFIXES |= {".flv", ".3gp", ".ogv"}
"""What is taken for a clip, a file of moving pictures (in any case)."""

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


@dataclass
class Listing:
    """What a folder holds."""

    pictures: list[Path] = field(default_factory=list)
    """files with one of SUFFIXES, sorted"""
    raw: list[Path] = field(default_factory=list)
    """files with one of RAW_SUFFIXES, sorted"""
    clips: list[Path] = field(default_factory=list)
    """files with one of CLIP_SUFFIXES, sorted"""
    others: Counter[str] = field(default_factory=Counter)
    """how many other files there are, by suffix"""
    unreadable: list[OSError] = field(default_factory=list)
    """folders that could not be looked into"""


def read_picture(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> Picture:
    """Reads a picture with everything that can be kept. Raises UserError naming the file.

    8- and 16-bit grey and colour are kept as they are, floating-point TIFF must lie in [0, 1]; palettes
    become RGB, CMYK is converted to sRGB by its own profile, of animations the first frame is taken
    (both said in `notes`). EXIF orientation is applied.
    """
    data = read_bytes(path, max_pixels)
    try:
        return decode(data, max_pixels)
    except UserError as error:
        raise UserError(f"cannot read {path}: {error}") from error


def read_bytes(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> bytes:
    """The content of a picture file. Raises UserError naming the file.

    Devices and pipes, which may never end, are refused, files too long for `max_pixels`, and raw files of
    cameras: as TIFF files, which many of them are, they hold a small preview.
    """
    if Path(path).suffix.lower() in RAW_SUFFIXES:
        raise UserError(f"cannot read {path}: {RAW_FILE}")
    try:
        # Without O_NONBLOCK opening a named pipe waits for somebody who writes to it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"cannot read {path}: it is not an ordinary file")
            # Sixteen bytes are what the widest pixels take without compression.
            if status.st_size > 16 * max_pixels + 2**24:
                raise UserError(
                    f"cannot read {path}: {status.st_size / 1e9:.1f} GB are too long for a picture"
                )
            return file.read(status.st_size)
    except (OSError, ValueError) as error:
        words = reason(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"cannot read {path}: {words}") from error


def read_rgb(path: str | os.PathLike) -> np.ndarray:
    """Reads a picture as (H, W, 3) float32 in [0, 1]; grey is replicated, alpha dropped."""
    return grey_to_rgb(to_unit(read_picture(path).pixels))


def list_pictures(folder: str | os.PathLike, recursive: bool = False) -> list[Path]:
    """The picture files of a folder by suffix, sorted; hidden files are left out.

    Links that lead nowhere are listed (reading them says so), folders named like pictures are not.
    `recursive` follows linked folders, each once. Raises UserError where `folder` is not a folder, or one
    of the folders cannot be looked into.
    """
    listing = scan_folder(folder, recursive)
    if listing.unreadable:
        error = listing.unreadable[0]
        raise UserError(f"cannot look into {error.filename}: {reason(error)}")
    return listing.pictures


def scan_folder(folder: str | os.PathLike, recursive: bool = False) -> Listing:
    """`list_pictures`, with what it leaves out. Raises UserError where `folder` is not a folder."""
    folder = Path(folder)
    if not os.path.isdir(folder):
        raise UserError(f"{folder} is not a folder")
    listing, visited = Listing(), set()
    for parent, folders, files in os.walk(folder, onerror=listing.unreadable.append, followlinks=True):
        visited.add(os.path.realpath(parent))
        folders[:] = [
            name
            for name in sorted(folders)
            if recursive
            and not name.startswith(".")
            and os.path.realpath(os.path.join(parent, name)) not in visited
        ]
        for name in files:
            suffix = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                continue
            if suffix in SUFFIXES:
                listing.pictures.append(Path(parent, name))
            elif suffix in RAW_SUFFIXES:
                listing.raw.append(Path(parent, name))
            elif suffix in CLIP_SUFFIXES:
                listing.clips.append(Path(parent, name))
            else:
                listing.others[suffix or "without suffix"] += 1
    listing.pictures.sort()
    listing.raw.sort()
    listing.clips.sort()
    return listing


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
    picture, losses = fit(picture, kind)
    try:
        data = encode(picture, kind)
    except (OSError, ValueError, cv2.error) as error:
        raise UserError(f"cannot write {path}: {error}") from error
    write_bytes(path, data)
    return losses
