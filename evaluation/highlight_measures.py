"""What people see of a removed highlight: is it gone, and is the colour under it that of its surroundings?

With I the input, D the ground truth, S = I - D, D^ the result and H the pixels of a region:

    greyer    100 sum_{H, C^ < C_s} e / sum_H e  in percent, with e the distance of D^ and D in CIE Lab
              (a*, b*), C^ the chroma of D^ and C_s that of the surroundings: the part of the chroma error
              that is a grey patch
    residual  100 sum_H (D^ - D) S / sum_H S^2  in percent: the k of the least squares fit D^ - D ~ k S. 100
              for the untouched input, 0 where the highlight is gone, negative where more than it was taken

The surroundings of a pixel are the mean colour of D over the pixels outside of the highlight region that lie
within 3 pixels (rows and columns) of the one nearest to it. None: the region is empty, or nothing to divide
by is left.
"""

from collections.abc import Mapping

import cv2
import numpy as np

from evaluation.metrics import Transfer, lab
from utils.colour import FULL_SCALE

REGIONS = {
    "greyer": ("highlight", "clipped"),
    "residual": ("highlight", "clipped"),
    "contour": ("clipped",),
}
NAMES = tuple(REGIONS)
RADIUS = 3


def highlight_measures(
    image: np.ndarray,
    result: np.ndarray,
    ground_truth: np.ndarray,
    regions: Mapping[str, np.ndarray],
    names: tuple[str, ...] = NAMES,
    display: Transfer | None = None,
) -> dict[str, float | None]:
    """{"greyer.highlight": 71.0, "residual.clipped": 12.5, ...} of one picture.

    image, result, ground_truth  (H, W, 3) uint8, uint16, or float in [0, 1]
    regions                      bool (H, W) by name: "highlight" and, inside it, "clipped"
    display                      turns linear values into sRGB ones for CIE Lab
    """
    scores: dict[str, float | None] = {f"{name}.{region}": None for name in names for region in REGIONS[name]}
    inside = regions["highlight"]
    if not inside.any():
        return scores
    # Arrays (n, 3) over the pixels of the highlight region from here on.
    picture, restored, target = (_unit(layer[inside]) for layer in (image, result, ground_truth))
    masks = {region: regions[region][inside] for region in ("highlight", "clipped")}
    if "residual" in names:
        specular = picture - target
        left, whole = ((restored - target) * specular).sum(axis=1), (specular**2).sum(axis=1)
        scores |= {f"residual.{region}": _share(left, whole, mask) for region, mask in masks.items()}
    if "greyer" in names and not inside.all():
        lab_restored, lab_target = lab(restored, display), lab(target, display)
        error = np.linalg.norm((lab_restored - lab_target)[:, 1:], axis=1)
        around = lab(_surroundings(ground_truth, inside), display)
        grey = np.linalg.norm(lab_restored[:, 1:], axis=1) < np.linalg.norm(around[:, 1:], axis=1)
        scores |= {f"greyer.{region}": _share(error * grey, error, mask) for region, mask in masks.items()}
    if "contour" in names:
        scores["contour.clipped"] = _contour(_unit(image), _unit(result), regions["clipped"])
    return scores


def _contour(image: np.ndarray, result: np.ndarray, clipped: np.ndarray) -> float | None:
    steps = {"removed": 0.0, "picture": 0.0}
    for axis in (0, 1):
        border = np.diff(clipped, axis=axis)
        for name, layer in (("removed", image - result), ("picture", image)):
            steps[name] += float(np.abs(np.diff(layer, axis=axis))[border].sum())
    return 100 * steps["removed"] / steps["picture"] if steps["picture"] else None


def _surroundings(ground_truth: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Mean colours (n, 3) of the surroundings of the pixels `inside` (H, W), not all of the picture."""
    from scipy.ndimage import distance_transform_edt  # only now: scipy is slow to import

    outside = (~inside).astype(np.float32)
    window = (2 * RADIUS + 1, 2 * RADIUS + 1)
    rows, columns = distance_transform_edt(inside, return_distances=False, return_indices=True)
    at = rows[inside], columns[inside]
    weight = cv2.boxFilter(outside, -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)[at]
    means = np.empty((len(at[0]), 3))
    for channel in range(3):
        plane = _unit(ground_truth[..., channel]).astype(np.float32) * outside
        sums = cv2.boxFilter(plane, -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)[at]
        means[:, channel] = sums / weight  # at least 1: the nearest pixel itself is outside
    return means.clip(0, 1)


def _share(part: np.ndarray, whole: np.ndarray, mask: np.ndarray) -> float | None:
    """100 sum(part) / sum(whole) over the mask."""
    total = whole[mask].sum()
    return float(100 * part[mask].sum() / total) if total > 0 else None


def _unit(pixels: np.ndarray) -> np.ndarray:
    return pixels / np.float64(FULL_SCALE.get(pixels.dtype, 1))
