"""Shen & Cai 2009: one scaled specular-free image, its scale estimated at the largest highlight.

H.-L. Shen, Q.-Y. Cai, "Simple and efficient method for specularity removal in an image",
Applied Optics 48(14), 2009.

    T = mean(I_min) + ν std(I_min);   β = max(I_min - T, 0)      (the specular layer up to a scale)
    dominant highlight = largest 8-connected region of β / max β > 0.1
    surround = its dilation by a 5x5 square without itself
    k_c = (mean_dom I_c - mean_sur I_c) / (mean_dom β - mean_sur β),  c = R, G, B
    I_d = I - (min_c k_c) β

The scale makes the highlight as bright as its surround in the channel where it stands out least. One
scale for the whole picture: it fails where several materials carry highlights.

Readings taken. Negative results are clipped to 0 (the ports hand them out). A picture whose dominant
region has no surround, or is not brighter than it, has no highlight and is left as it is. Grey pixels
are left as they are (classical.shared); on the laboratory's `cups` that costs 0.2 dB.
"""

import cv2
import numpy as np

from classical.shared import check_image, extrema, is_grey, subtract


def shen2009(
    image: np.ndarray,
    *,
    deviations: float = 0.5,
    highlight_threshold: float = 0.1,
    surround: int = 5,
) -> np.ndarray:
    """Diffuse layer (H, W, 3) float32 of `image`, (H, W, 3) floating point linear RGB in [0, 1].

    deviations: ν, standard deviations of I_min above its mean at which β starts.
    highlight_threshold: share of max β above which a pixel belongs to a highlight.
    surround: side in pixels of the dilating square.
    """
    image = check_image(image)
    i_max, i_min = extrema(image)
    offset = i_min.mean(dtype=np.float64) + deviations * i_min.std(dtype=np.float64)
    beta = np.maximum(i_min - np.float32(offset), 0)
    highlights = beta > highlight_threshold * beta.max()
    if not highlights.any():
        return image
    dominant = _largest_region(highlights)
    square = np.ones((surround, surround), np.uint8)
    ring = cv2.dilate(dominant.astype(np.uint8), square).astype(bool) & ~dominant
    if not ring.any():
        return image
    rise = image[dominant].mean(axis=0) - image[ring].mean(axis=0)
    scale = rise.min() / (beta[dominant].mean() - beta[ring].mean())
    return subtract(image, np.where(is_grey(i_max, i_min), 0, scale * beta))


def _largest_region(mask: np.ndarray) -> np.ndarray:
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return labels == 1 + statistics[1:, cv2.CC_STAT_AREA].argmax()
