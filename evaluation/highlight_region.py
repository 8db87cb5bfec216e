"""The regions that are scored: whole picture, highlight, its clipped part, the rest, and the object.

The highlight region is SHIQ's own T (mask >= 128) where the data set has it; otherwise one Otsu pass on CIE
Lab L of the specular layer (data/regions.py): of S where there is one, else of max(A - D, 0).

A highlight pixel is clipped where any channel of the input is at least 254/255: the colour under it cannot
be computed from the pixel alone.
"""

import numpy as np

from data.regions import otsu_mask
from evaluation.scored_pairs import Sample
from models.bounds import SATURATED
from utils.colour import FULL_SCALE, to_unit


def highlight_region(sample: Sample) -> tuple[np.ndarray, str]:
    """(bool (H, W), where it came from: "T", "S" or "A-D")."""
    if sample.mask is not None:
        return sample.mask, "T"
    if sample.specular is not None:
        return otsu_mask(to_unit(sample.specular)), "S"
    return otsu_mask(np.maximum(to_unit(sample.image) - to_unit(sample.ground_truth), 0)), "A-D"


def clipped(image: np.ndarray) -> np.ndarray:
    """Bool (H, W): where a channel of the uint8 or uint16 picture (H, W, 3) is at least 254/255."""
    return np.any(image >= SATURATED * FULL_SCALE[image.dtype], axis=2)


def split(sample: Sample, highlight: np.ndarray) -> dict[str, np.ndarray]:
    """Regions by name, bool (H, W); "rest" is all that is not highlight."""
    regions = {
        "whole": np.ones_like(highlight),
        "highlight": highlight,
        "clipped": highlight & clipped(sample.image),
        "rest": ~highlight,
    }
    if sample.object_mask is not None:
        regions["object"] = sample.object_mask
    return regions
