"""The regions that are scored: whole picture, highlight, the rest, and the object where its mask is known.

The highlight region is SHIQ's own T (mask >= 128) where the data set has it; otherwise one pass of Otsu's
threshold on CIE Lab L of the specular layer (data/regions.py): of S where there is one, else of A - D.
"""

import numpy as np

from data.regions import otsu_mask

REGIONS = ("whole", "highlight", "rest", "object")


def highlight_region(
    image: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray | None = None,
    specular: np.ndarray | None = None,
) -> tuple[np.ndarray, str]:
    """(bool (H, W), where it came from: "T", "S" or "A-D").

    `image`, `truth` (H, W, 3) and `specular` (H, W, 3) or (H, W) in [0, 1]; `mask` bool (H, W) is T.
    """
    if mask is not None:
        return mask, "T"
    if specular is not None:
        return otsu_mask(specular.astype(np.float32)), "S"
    return otsu_mask(np.clip(image - truth, 0, 1).astype(np.float32)), "A-D"


def split(highlight: np.ndarray, object_mask: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Regions by name, bool (H, W); "rest" is all that is not highlight."""
    regions = {"whole": np.ones_like(highlight), "highlight": highlight, "rest": ~highlight}
    if object_mask is not None:
        regions["object"] = object_mask
    return regions
