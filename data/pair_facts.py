"""What a pair of pictures says about itself."""

from dataclasses import dataclass

import numpy as np

from data.records import PictureSamples, Record
from utils.errors import UserError

SATURATED = 254 / 255
HALF_LEVEL = 0.5 / 255
MUCH_DARKER = 0.5  # share of pixels from which on the two pictures may be swapped


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
        """Why a human should look at the pair; empty when nothing is odd."""
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
        psnr=float(-10 * np.log10(max(error, 1e-10))),
        untouched=float((np.abs(difference) < HALF_LEVEL).all(axis=0).mean()),
        darker=float((difference < -2 / 255 - HALF_LEVEL).any(axis=0).mean()),
        achromatic=float(grey[unsaturated].mean()) if unsaturated.any() else 1.0,
    )
