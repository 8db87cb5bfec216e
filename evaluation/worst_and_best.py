"""Sheets of the worst and the best pictures of a method: input, result, ground truth, error."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation.rows import Row
from evaluation.runner import result_file
from evaluation.scored_pairs import Pair
from evaluation.settings import Settings
from utils.colour import grey_to_rgb, srgb_encode, to_unit
from utils.image_files import read_picture, write_rgb
from utils.sheets import labelled_sheet, shrink

SIDE = 240  # pixels, longer side of a panel
GAIN = 4
COLUMNS = ("input", "result", "ground truth", f"{GAIN} x |result - ground truth|")


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
    lines = [
        _line(title, rows[i], pairs[i], result_file(out, settings, spec, pairs[i]))
        for title, chosen in (("worst", worst), ("best", best))
        for i in chosen
    ]
    if lines:
        write_rgb(path, labelled_sheet(COLUMNS, lines))


def _line(title: str, row: Row, pair: Pair, result: Path) -> tuple[str, list[np.ndarray]]:
    """(the name of the picture and its PSNR, its panels)."""
    sample = pair.load()
    pixels = read_picture(result).pixels if result != pair.input_file else sample.image
    layers = [to_unit(x) for x in (sample.image, grey_to_rgb(pixels), sample.ground_truth)]
    if pair.linear and not pair.encode:
        layers = [srgb_encode(layer) for layer in layers]
    layers.append(np.clip(GAIN * np.abs(layers[1] - layers[2]), 0, 1))
    values = row.values
    shown = "  ".join(
        f"{label} {values[key]:.2f}"
        for label, key in (("whole", "psnr.whole"), ("highlight", "psnr.highlight"), ("rest", "psnr.rest"))
        if values.get(key) is not None
    )
    return f"{title}: {row.name}, PSNR {shown}", [shrink(layer.astype(np.float32), SIDE) for layer in layers]
