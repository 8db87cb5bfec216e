"""One uploaded picture: read, separated, its results at full size and depth and its previews as files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from restoration.composition import describe_change, removed_layer
from restoration.jobs import plan_jobs
from restoration.pictures import map_levels, write_results
from restoration.remover import HighlightRemover
from restoration.separator import FunctionNetwork
from utils.colour import quantise, to_unit
from utils.errors import UserError
from utils.guarded_decoding import decode_guarded
from utils.image_files import RAW_FILE, RAW_SUFFIXES, Picture, read_bytes, write_picture
from utils.sheets import shrink

PREVIEW = 1400
"""Longer side of what is shown; what is downloaded has the picture's own size."""

Progress = Callable[[float, str], None]
"""Called with the share that is done, from 0 to 1, and what is being done."""


@dataclass(frozen=True)
class Separated:
    """The result of one picture."""

    name: str
    downloads: list[Path]
    """the result, the highlight map and the specular layer, in the size and depth of the picture"""
    previews: dict[str, Path]
    """ "before", "after", "highlight" and "specular" at 8 bits, at most PREVIEW pixels long"""
    notes: tuple[str, ...]
    """notes for the user, one clause each"""


def separate_file(
    path: Path, remover: HighlightRemover, folder: Path, max_pixels: int, progress: Progress
) -> Separated:
    """Separates a picture and writes its files into `folder`.

    Raises UserError saying what is wrong with the file, without its name.
    """
    if path.suffix.lower() in RAW_SUFFIXES:
        raise UserError(RAW_FILE)
    progress(0, "reading")
    picture = decode_guarded(read_bytes(path, max_pixels), max_pixels)

    def tile(done: int, of: int) -> None:
        progress(0.1 + 0.7 * done / of, f"tile {done} of {of}")

    progress(0.1, "separating")
    restored = remover.restore(picture.pixels, tile)
    progress(0.8, "writing")
    (job,) = plan_jobs(
        [path], path.parent, folder, suffix="-removed", ext="auto", extras=["highlight", "specular"]
    )
    notes = restored.notes + write_results(job, picture, restored, remover.protocol)
    if isinstance(remover.network, FunctionNetwork):
        odd = describe_change(picture.pixels, restored.diffuse)
    else:
        unchanged = np.array_equal(picture.pixels, restored.diffuse)
        odd = "nothing was removed: the network found no highlight" if unchanged else None
    layers = {
        "before": picture.pixels,
        "after": restored.diffuse,
        "highlight": map_levels(restored.highlight),
        "specular": removed_layer(picture.pixels, restored.diffuse),
    }
    return Separated(
        path.name,
        [job.result(picture.format), job.outputs["highlight"], job.outputs["specular"]],
        {kind: _preview(picture, kind, layer, folder) for kind, layer in layers.items()},
        notes + ((odd,) if odd else ()),
    )


def _preview(picture: Picture, kind: str, layer: np.ndarray, folder: Path) -> Path:
    path = folder / "previews" / f"{kind}.png"
    shown = quantise(to_unit(shrink(layer, PREVIEW)), np.uint8)
    # Colours are those of the picture's profile; the map has none.
    colours = {} if kind == "highlight" else {"icc": picture.icc, "png_colour": picture.png_colour}
    write_picture(path, Picture(shown, **colours))
    return path
