"""Sheets of the worst and the best pictures of a method: input, result, ground truth, error."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from evaluation.rows import Row
from evaluation.runner import result_file
from evaluation.scored_pairs import Pair
from evaluation.settings import Settings
from utils.colour import grey_to_rgb, srgb_encode, to_unit
from utils.image_files import read_picture, write_rgb

SIDE = 200
GAIN = 4
_LINE = 16


def write_sheet(
    path: Path,
    spec: str,
    rows: Sequence[Row],
    pairs: Sequence[Pair],
    settings: Settings,
    out: Path,
    count: int = 4,
) -> None:
    """Writes the `count` worst and best pictures of a method by PSNR (whole); nothing where none has one."""
    scored = [(row.values["psnr.whole"], i) for i, row in enumerate(rows) if row.values.get("psnr.whole")]
    order = [i for _, i in sorted(scored)]
    half = min(count, (len(order) + 1) // 2)
    worst, best = order[:half], order[half:][::-1][:count]
    blocks = []
    for title, chosen in (("worst", worst), ("best", best)):
        blocks += [
            _line(title, rows[i], pairs[i], result_file(out, settings, spec, pairs[i])) for i in chosen
        ]
    if blocks:
        write_rgb(path, np.vstack(blocks))


def _line(title: str, row: Row, pair: Pair, result: Path) -> np.ndarray:
    sample = pair.load()
    pixels = read_picture(result).pixels if result != pair.input_file else sample.image
    layers = [to_unit(x) for x in (sample.image, grey_to_rgb(pixels), sample.ground_truth)]
    if pair.linear and not pair.encode:
        layers = [srgb_encode(layer) for layer in layers]
    layers.append(np.clip(GAIN * np.abs(layers[1] - layers[2]), 0, 1))
    thumbnails = np.hstack([_thumbnail(layer) for layer in layers])
    values = row.values
    shown = "  ".join(
        f"{label} {values[key]:.2f}"
        for label, key in (("whole", "psnr.whole"), ("highlight", "psnr.highlight"), ("rest", "psnr.rest"))
        if values.get(key) is not None
    )
    text = (
        f"{title}: {row.name}  PSNR {shown}   (input, result, ground truth, {GAIN} x |result - ground truth|)"
    )
    return np.vstack([_label(text, thumbnails.shape[1]), thumbnails])


def _thumbnail(layer: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8 with the picture fitted in, on white."""
    image = Image.fromarray(np.rint(np.clip(layer, 0, 1) * 255).astype(np.uint8))
    image.thumbnail((SIDE, SIDE))
    sheet = Image.new("RGB", (SIDE + 4, SIDE), "white")
    sheet.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    return np.asarray(sheet)


def _label(text: str, width: int) -> np.ndarray:
    strip = Image.new("RGB", (width, _LINE), "white")
    ImageDraw.Draw(strip).text((3, 2), text, fill="black")
    return np.asarray(strip)
