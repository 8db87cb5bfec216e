"""The picture at the top of the README: comparison sheets of `make demo` one under the other.

python -m samples.before_after --demo demo --picture docs/before_after.jpg --worst glaze porcelain
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils import cli
from utils.errors import UserError
from utils.image_files import read_rgb, write_rgb

SUFFIX = "-comparison.png"
CAPTION = 52  # height in pixels, before the reduction
REDUCTION = 2  # of the sheet, which need not hold the pictures at full size


@dataclass
class SheetOptions:
    """What to show, and where."""

    demo: Path
    """folder with NAME-comparison.png, as infer.py --comparison writes them"""
    picture: Path
    """file to write"""
    worst: list[str] = field(default_factory=list)
    """names of pictures to show last, as the network at its worst"""


def main() -> int:
    """Entry point; returns the exit code."""
    options = cli.parse(
        SheetOptions, prog="python -m samples.before_after", description=__doc__.splitlines()[0]
    )
    sheets = {path.name.removesuffix(SUFFIX): path for path in sorted(options.demo.glob(f"*{SUFFIX}"))}
    if not sheets:
        raise UserError(f"{options.demo} holds no NAME{SUFFIX}; run make demo")
    unknown = [name for name in options.worst if name not in sheets]
    if unknown:
        raise UserError(f"{options.demo} holds no {unknown[0]}{SUFFIX}; choose among {', '.join(sheets)}")
    rows = [read_rgb(path) for name, path in sheets.items() if name not in options.worst]
    if options.worst:
        worst = [read_rgb(sheets[name]) for name in options.worst]
        rows += [_caption("At its worst:", worst[0].shape[1]), *worst]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=1) for row in rows]
    sheet = np.concatenate(padded)
    height, width = (round(side / REDUCTION) for side in sheet.shape[:2])
    write_rgb(options.picture, cv2.resize(sheet, (width, height), interpolation=cv2.INTER_AREA))
    return 0


def _caption(text: str, width: int) -> np.ndarray:
    """float32 (CAPTION, width, 3): black on white."""
    strip = Image.new("RGB", (width, CAPTION), "white")
    ImageDraw.Draw(strip).text((6, 4), text, "black", ImageFont.load_default(30))
    return np.asarray(strip, np.float32) / 255


if __name__ == "__main__":
    sys.exit(cli.run(main))
