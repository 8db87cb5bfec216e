"""Facts measured on a pair of pictures, and a contact sheet of several pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from data.picture_samples import PictureSamples
from data.records import PICTURES, PLANES, Record
from models.bounds import SATURATED
from utils.colour import psnr
from utils.errors import UserError
from utils.sheets import labelled_sheet

HALF_LEVEL = 0.5 / 255
MUCH_DARKER = 0.5  # share of pixels from which on the two pictures may be swapped
CELL = 160  # pixels
GAIN = 4  # of the difference, which is faint


@dataclass(frozen=True)
class PairFacts:
    """size (W, H) in pixels; psnr of the input against the diffuse picture in dB; shares of pixels:

    untouched   input and diffuse equal
    darker      input below diffuse by more than 2 levels of 255 in some channel
    achromatic  difference equal in R, G, B within one level, of the pixels below saturation
    """

    name: str
    size: tuple[int, int]
    psnr: float
    untouched: float
    darker: float
    achromatic: float

    @property
    def suspicious(self) -> str:
        """Reasons to inspect the pair by eye; empty when there are none."""
        if self.untouched == 1:
            return "input and diffuse picture are the same"
        if self.darker > MUCH_DARKER:
            return (
                f"the input is darker than the diffuse picture on {self.darker:.0%} of the pixels; swapped?"
            )
        return ""


def inspect(record: Record, sixteen_bit: str = "refuse") -> PairFacts | str:
    """Reads all layers of a record; the reason, naming the file, where that fails."""
    try:
        sample = PictureSamples([record], sixteen_bit)[0]
    except UserError as error:
        return str(error)
    a, d = sample["input"].numpy(), sample["diffuse"].numpy()
    difference = a - d
    unsaturated = (a < SATURATED).all(axis=0)
    grey = np.ptp(difference, axis=0) <= 1 / 255 + HALF_LEVEL
    error = float(np.square(difference, dtype=np.float64).mean())
    return PairFacts(
        name=record.name,
        size=(a.shape[2], a.shape[1]),
        psnr=psnr(max(error, 1e-10)),
        untouched=float((np.abs(difference) < HALF_LEVEL).all(axis=0).mean()),
        darker=float((difference < -2 / 255 - HALF_LEVEL).any(axis=0).mean()),
        achromatic=float(grey[unsaturated].mean()) if unsaturated.any() else 1.0,
    )


def contact_sheet(records: Sequence[Record], sixteen_bit: str = "refuse") -> np.ndarray:
    """(H, W, 3) uint8: a row a record, input, diffuse, 4 (input - diffuse), its other layers, labelled."""
    samples = [PictureSamples([record], sixteen_bit)[0] for record in records]
    others = [key for key in (*PICTURES[2:], *PLANES) if any(key in sample for sample in samples)]
    rows = []
    for record, sample in zip(records, samples, strict=True):
        difference = (GAIN * (sample["input"] - sample["diffuse"])).clamp(0, 1)
        cells = [sample["input"], sample["diffuse"], difference, *(sample.get(key) for key in others)]
        rows.append((record.name, [None if cell is None else _cell(cell) for cell in cells]))
    titles = ["input", "diffuse", f"{GAIN} x (input - diffuse)", *(key.replace("_", " ") for key in others)]
    return labelled_sheet(titles, rows)


def _cell(layer: torch.Tensor) -> np.ndarray:
    """A layer (1 or 3, H, W) as (H', W', 3) float32 in [0, 1], its longer side CELL pixels."""
    scale = CELL / max(layer.shape[-2:])
    size = [max(1, round(side * scale)) for side in layer.shape[-2:]]
    fitted = F.interpolate(layer[None].expand(1, 3, -1, -1), size=size, mode="bilinear", antialias=True)[0]
    return fitted.clamp(0, 1).permute(1, 2, 0).numpy()
