"""The files of one picture: the result, its map, the layer that was removed, and all of them as a sheet."""

from dataclasses import replace

import numpy as np

from restoration.composition import Restored, removed_layer
from restoration.jobs import Job
from restoration.released_protocol import to_bytes, truncate
from utils.atomic import write_bytes
from utils.colour import grey_to_rgb, quantise
from utils.image_encoding import encode
from utils.image_files import WRITERS, Picture, write_picture, write_rgb
from utils.image_metadata import add_png_metadata
from utils.sheets import labelled_sheet, shrink

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
    path = job.result(picture.format)
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
