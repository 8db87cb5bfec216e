"""Pictures as they come (paths, Pillow images, arrays) as pixels, and results as they are wanted: in the same
type, or as files."""

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, TypeAlias

import numpy as np
from PIL import Image

from restoration.composition import Restored, removed_layer
from restoration.jobs import Job
from restoration.released_protocol import to_bytes, truncate
from utils.atomic import write_bytes
from utils.colour import FULL_SCALE, grey_to_rgb, quantise
from utils.errors import UserError
from utils.image_decoding import cmyk_to_rgb, decode, layers_of
from utils.image_encoding import encode
from utils.image_files import MAX_PIXELS, WRITERS, Picture, read_picture, write_picture, write_rgb
from utils.image_metadata import EXIF_PREFIX, add_png_metadata
from utils.sheets import labelled_sheet, shrink
from utils.tiff_directories import renew_thumbnail

AnyPicture: TypeAlias = str | os.PathLike | Image.Image | np.ndarray | bytes | BinaryIO


@dataclass(frozen=True)
class _Opened:
    """A picture ready to be restored, with what is needed to give the result in its type."""

    pixels: np.ndarray
    """(H, W) or (H, W, 3) uint8, uint16 or float32 in [0, 1]"""
    own: np.ndarray
    """the same in the picture's own type, which may be another float"""
    alpha: np.ndarray | None = None
    """(H, W) in the picture's own type"""
    image: Image.Image | None = None
    """the Pillow image that came in"""
    source: Picture | None = None
    """the file that came in, or its metadata"""
    one_channel: bool = False
    """an array (H, W, 1) came in"""
    notes: tuple[str, ...] = ()
    """what was converted, one clause each"""

    def in_its_type(self, restored: Restored, protocol: str) -> Restored:
        """The result for `pixels` and its specular layer, in the type of the picture."""
        diffuse, own, alpha = restored.diffuse, self.own, self.alpha
        if protocol == "released":
            own, alpha = grey_to_rgb(to_bytes(self.pixels)), None
        elif own.dtype != diffuse.dtype:
            # What was not touched stays bit for bit: float64 would come back rounded.
            diffuse = np.where(diffuse == self.pixels, own, diffuse.astype(own.dtype))
        specular = removed_layer(own, diffuse)
        if alpha is not None or (self.one_channel and diffuse.ndim == 2):
            diffuse, specular = (layer.reshape(*own.shape[:2], -1) for layer in (diffuse, specular))
        if alpha is not None:
            diffuse = np.concatenate([diffuse, alpha[..., None]], axis=2)
        if self.image is None:
            notes = self.notes + restored.notes
            return Restored(diffuse, restored.highlight, notes, specular, self.source)
        images = [
            Image.fromarray(layer.squeeze(-1) if layer.shape[2:] == (1,) else layer)
            for layer in (diffuse, specular)
        ]
        for image in images:
            # A transparent colour is in the alpha now, and would be holes in the specular layer.
            image.info |= {key: value for key, value in self.image.info.items() if key != "transparency"}
        highlight = Image.fromarray(map_levels(restored.highlight))
        return Restored(images[0], highlight, self.notes + restored.notes, images[1], self.source)


def restore_pictures(
    pictures: Sequence[AnyPicture],
    restore: Callable[[list[np.ndarray]], list[Restored]],
    protocol: str = "native",
) -> list[Restored]:
    """What `restore` makes of the pixels of pictures, in the type in which each came: Pillow images for
    Pillow images, arrays for all others; with the specular layer.

    pictures  path of a file; its content as bytes, or a file open for reading them; Pillow image of any mode;
              or array (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA of uint8 [0, 255], uint16
              [0, 65535] or floats in [0, 1]

    Raises UserError for anything else, and for files that cannot be read.
    """
    opened = [open_picture(picture) for picture in pictures]
    results = restore([one.pixels for one in opened])
    return [one.in_its_type(result, protocol) for one, result in zip(opened, results, strict=True)]


def open_picture(picture: AnyPicture) -> _Opened:
    """A picture of any kind as the networks take it. Raises UserError."""
    if isinstance(picture, np.ndarray):
        return _of_array(picture)
    if isinstance(picture, Image.Image):
        picture, notes = _in_rgb(picture)
        pixels, alpha = layers_of(picture)
        info = picture.info
        source = Picture(
            pixels,
            icc=info.get("icc_profile"),
            exif=(info.get("exif") or b"").removeprefix(EXIF_PREFIX) or None,
        )
        return _Opened(_in_range(pixels), pixels, alpha, image=picture, notes=notes, source=source)
    if isinstance(picture, str | os.PathLike):
        read = read_picture(picture)
        return _Opened(read.pixels, read.pixels, read.alpha, source=read, notes=read.notes)
    if hasattr(picture, "read"):
        picture = picture.read()
    if isinstance(picture, bytes | bytearray | memoryview):
        read = decode(bytes(picture), MAX_PIXELS)
        return _Opened(read.pixels, read.pixels, read.alpha, source=read, notes=read.notes)
    hint = "; tensor.permute(1, 2, 0).numpy() is an array" if hasattr(picture, "permute") else ""
    kind = type(picture).__name__
    raise UserError(f"a picture is a path, an array, a Pillow image, bytes or an open file, not {kind}{hint}")


def _in_rgb(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """The picture, of CMYK one in RGB with the profile of that, and what was done."""
    if image.mode != "CMYK":
        return image, ()
    converted, icc, how = cmyk_to_rgb(image, image.info.get("icc_profile"))
    converted.info = {key: value for key, value in image.info.items() if key != "icc_profile"}
    if icc:
        converted.info["icc_profile"] = icc
    return converted, (how,)


def _of_array(array: np.ndarray) -> _Opened:
    shape = array.shape
    if array.ndim not in (2, 3) or 0 in shape or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        hint = "; move the channels to the end" if array.ndim == 3 and shape[0] in (1, 3, 4) else ""
        raise UserError(
            f"a picture has the shape (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, not {shape}{hint}"
        )
    if array.dtype.kind != "f" and array.dtype.newbyteorder("=") not in FULL_SCALE:
        raise UserError(f"a picture is uint8 (0-255), uint16 (0-65535) or float (0-1), not {array.dtype}")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    alpha = array[..., 3] if shape[2:] == (4,) else None
    own = array[..., 0] if shape[2:] == (1,) else array[..., :3] if array.ndim == 3 else array
    return _Opened(_in_range(own), own, alpha, one_channel=shape[2:] == (1,))


def _in_range(pixels: np.ndarray) -> np.ndarray:
    """The pixels with floats of any length as float32. Raises UserError for floats outside [0, 1]."""
    if pixels.dtype.kind != "f":
        return pixels
    low, high = pixels.min(), pixels.max()
    if low >= 0 and high <= 1:  # false for NaN
        return pixels.astype(np.float32, copy=False)
    if low >= 0 and 1 < high <= 255:
        # An overexposed picture in [0, 1.5] and a dark one in [0, 255] cannot be told apart.
        hint = "divide by 255 if they are 8-bit values, clip them if they are overexposed"
    else:
        hint = "scale or clip them"
    raise UserError(f"a picture of floats lies in [0, 1]; these reach from {low:g} to {high:g}: {hint}")


def check_picture(image: np.ndarray) -> None:
    """Raises UserError for an array that is no picture."""
    if image.dtype not in FULL_SCALE:
        raise UserError(f"a picture is uint8, uint16 or float32, not {image.dtype}")
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or 0 in image.shape:
        raise UserError(f"a picture has the shape (H, W) or (H, W, 3), not {image.shape}")


PANEL = 1024  # pixels, longest side of a picture in a comparison sheet
MAP_DESCRIPTION = (
    "Highlight map A clipped to [0, 1]: 255 is 1 and above; 0 marks the pixels that were left as they were"
)


def write_results(job: Job, picture: Picture, restored: Restored, protocol: str) -> tuple[str, ...]:
    """Writes the files of one job; returns what the user should know, one clause each. Raises UserError."""
    result, source = replace(picture, pixels=restored.diffuse), picture.pixels
    notes = picture.notes + restored.notes
    released = protocol == "released"
    if released:
        # The authors' script knows 8-bit RGB only.
        result, source = replace(result, alpha=None), grey_to_rgb(to_bytes(source))
        if picture.alpha is not None or picture.pixels.dtype != np.uint8:
            notes += ("the released protocol writes 8-bit RGB without alpha",)
    if result.exif:
        result = replace(
            result, exif=renew_thumbnail(result.exif, lambda room: _thumbnail(result.pixels, room))
        )
    # BMP and JPEG have no place for an alpha.
    path = job.result("PNG" if picture.format == "BMP" and result.alpha is not None else picture.format)
    if path.suffix != job.outputs["result"].suffix and WRITERS[path.suffix.lower()] != picture.format:
        notes += (f"written as {WRITERS[path.suffix.lower()]}, not {picture.format}",)
    if "highlight" in job.outputs:
        highlight = truncate(restored.highlight) if released else map_levels(restored.highlight)
        write_bytes(job.outputs["highlight"], encode_map(highlight))
    if job.outputs.keys() & {"specular", "comparison"}:
        specular = removed_layer(source, result.pixels)
        if "specular" in job.outputs:
            write_picture(job.outputs["specular"], Picture(specular, icc=picture.icc))
        if "comparison" in job.outputs:
            write_rgb(job.outputs["comparison"], comparison_sheet(source, restored, specular))
    # The result last: where it exists the picture is finished.
    return notes + write_picture(path, result)


def _thumbnail(pixels: np.ndarray, room: int) -> bytes | None:
    """A JPEG file of at most `room` bytes, 160 pixels at the longest side; None where that is too little."""
    small = Image.fromarray(to_bytes(shrink(pixels, 160)))
    for quality in (85, 70, 50, 30):
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= room:
            return buffer.getvalue()
    return None


def comparison_sheet(pixels: np.ndarray, restored: Restored, specular: np.ndarray) -> np.ndarray:
    """(H', W', 3) uint8: four labelled panels, of a picture, its result and the layer between them.

    pixels, restored.diffuse and specular have one shape, (H, W) or (H, W, 3), and one type.
    """
    layers = {
        "input": pixels,
        "highlight map": restored.highlight,
        "specular (removed)": specular,
        "result": restored.diffuse,
    }
    # Made small before anything is turned into floats: the copies of a large picture would be larger.
    return labelled_sheet(list(layers), [("", [shrink(layer, PANEL) for layer in layers.values()])])


def map_levels(highlight: np.ndarray) -> np.ndarray:
    """(H, W) float32 map, unbounded -> uint8: clipped to [0, 1] and rounded, but 0 for 0 only, so that the
    file shows every pixel that the map lets change."""
    levels = quantise(highlight, np.uint8)
    levels[(levels == 0) & (highlight != 0)] = 1
    return levels


def encode_map(levels: np.ndarray) -> bytes:
    """(H, W) uint8 -> the bytes of a PNG file that says what its levels mean."""
    return add_png_metadata(encode(Picture(levels), "PNG"), text={"Description": MAP_DESCRIPTION})
