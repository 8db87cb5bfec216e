"""Image quality metrics, each as a map over the pixels, so that any region is an average of the same map.

Images are float64 (H, W, 3) in [0, 1], data range 1. Definitions:

    mse            mean over pixels and channels of (result - truth)^2; a region averages its own pixels
    rmse           sqrt(mse)
    psnr           10 log10(1 / mse) dB of all three channels together; infinite where the images are equal
    psnr_channels  mean of the three channels' PSNR (SpecularityNet's scripts)
    ssim           SSIM (Wang et al. 2004), Gaussian window 11x11, sigma 1.5, K1 0.01, K2 0.03, population
                   variances, borders reflected without repeating the edge, per channel; mean over channels
                   and pixels: torchmetrics' structural_similarity_index_measure
    ssim7          the same with scikit-image's default: uniform window 7x7, sample variances (N / (N - 1)),
                   only windows that lie inside the picture (3 pixels are cropped at each side)
    delta_e        mean CIEDE2000 difference of CIE Lab (D65, 2 degrees) from sRGB values
    lpips          AlexNet LPIPS (evaluation/perceptual.py), whole image only

The SSIM of a region is the mean of the SSIM map over its pixels. A window at the region's border sees pixels
of both sides, for all methods alike.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from evaluation.colour import ciede2000, lab

C1, C2 = 0.01**2, 0.03**2


@dataclass(frozen=True)
class Metric:
    """How a metric is written and which way is better."""

    label: str
    higher_is_better: bool
    decimals: int
    window: str = ""
    """what the caption must say about it"""


METRICS: dict[str, Metric] = {
    "psnr": Metric("PSNR", True, 2, "PSNR over R, G, B together"),
    "psnr_channels": Metric("PSNR/ch", True, 2, "PSNR/ch: mean of the three channels' PSNR"),
    "ssim": Metric("SSIM", True, 4, "SSIM: 11x11 Gaussian window, sigma 1.5 (torchmetrics)"),
    "ssim7": Metric("SSIM7", True, 4, "SSIM7: 7x7 uniform window (scikit-image)"),
    "mse": Metric("MSE", False, 6),
    "rmse": Metric("RMSE", False, 5),
    "delta_e": Metric("dE00", False, 3, "dE00: mean CIEDE2000"),
    "lpips": Metric("LPIPS", False, 4, "LPIPS: AlexNet, whole image only"),
}

_GAUSSIAN = cv2.getGaussianKernel(11, 1.5, cv2.CV_64F)
_PAD7 = 3


def score(
    result: np.ndarray,
    truth: np.ndarray,
    regions: Mapping[str, np.ndarray],
    names: Iterable[str] = ("psnr", "ssim", "delta_e"),
    display: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, float | None]:
    """Scores of one picture: {"psnr.whole": 31.2, "psnr.highlight": None, ...}.

    `result`, `truth` float64 (H, W, 3) in [0, 1]; `regions` name -> bool (H, W). None means not applicable:
    the region has no pixel, or the picture is smaller than the metric needs. PSNR of equal regions is
    infinite. `display` turns linear values into sRGB ones for delta_e.
    """
    if result.shape != truth.shape:
        raise ValueError(f"result {result.shape} and truth {truth.shape} differ in size")
    cache: dict[str, np.ndarray | None] = {}
    scores: dict[str, float | None] = {}
    for name in names:
        source, finish = _REDUCTIONS[name]
        if source not in cache:
            shown = (result, truth)
            if display is not None and source == "delta_e":
                shown = (display(result), display(truth))
            cache[source] = _MAPS[source](*shown)
        for region, mask in regions.items():
            mean = _mean_over(cache[source], mask)
            scores[f"{name}.{region}"] = None if mean is None else float(finish(mean))
    return scores


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio in dB for data range 1; infinite for mse 0."""
    return float("inf") if mse == 0 else -10 * np.log10(mse)


def squared_error_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(H, W, 3) squared differences."""
    return np.square(a - b)


def ssim_map(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """(H, W) SSIM, 11x11 Gaussian; None where a side is under 6 pixels (the border cannot be reflected)."""
    if min(a.shape[:2]) < 6:
        return None
    return _ssim(a, b, lambda x: cv2.sepFilter2D(x, -1, _GAUSSIAN, _GAUSSIAN), 1.0)


def ssim7_map(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """(H, W) SSIM, 7x7 uniform, NaN on the cropped border; None where a side is under 7 pixels."""
    if min(a.shape[:2]) < 7:
        return None
    full = _ssim(a, b, lambda x: cv2.boxFilter(x, -1, (7, 7)), 49 / 48)
    cropped = np.full_like(full, np.nan)
    inside = (slice(_PAD7, -_PAD7), slice(_PAD7, -_PAD7))
    cropped[inside] = full[inside]
    return cropped


def delta_e_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(H, W) CIEDE2000 differences of sRGB images."""
    difference = np.zeros(a.shape[0] * a.shape[1])
    different = a != b
    changed = np.flatnonzero(different[..., 0] | different[..., 1] | different[..., 2])
    first, second = (lab(x.reshape(-1, 3).take(changed, axis=0)) for x in (a, b))
    difference[changed] = ciede2000(first, second)
    return difference.reshape(a.shape[:2])


def _ssim(
    a: np.ndarray, b: np.ndarray, smooth: Callable[[np.ndarray], np.ndarray], normalisation: float
) -> np.ndarray:
    mean_a, mean_b = smooth(a), smooth(b)
    product, squares = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
    covariance = smooth(a * b) - product
    variances = smooth(a * a + b * b) - squares
    ratio = (2 * product + C1) * (2 * normalisation * covariance + C2)
    ratio /= (squares + C1) * (normalisation * variances + C2)
    return (ratio[..., 0] + ratio[..., 1] + ratio[..., 2]) / 3


def _mean_over(values: np.ndarray | None, mask: np.ndarray) -> np.ndarray | float | None:
    """Mean of a map (H, W) or (H, W, C) over the mask's pixels where it is defined; None without any."""
    if values is None:
        return None
    if values.ndim == 2 and np.isnan(values[0, 0]):  # cropped: NaN on the border, corner included
        mask, values = mask & ~np.isnan(values), np.nan_to_num(values)
    # A product with 0/1 weights is much faster than picking the pixels out.
    weights = mask.ravel().astype(np.float64)
    count = weights.sum()
    return weights @ values.reshape(weights.size, *values.shape[2:]) / count if count else None


_MAPS = {
    "squared_error": squared_error_map,
    "ssim": ssim_map,
    "ssim7": ssim7_map,
    "delta_e": delta_e_map,
}

_REDUCTIONS: dict[str, tuple[str, Callable]] = {
    "mse": ("squared_error", np.mean),
    "rmse": ("squared_error", lambda mse: np.sqrt(np.mean(mse))),
    "psnr": ("squared_error", lambda mse: psnr(np.mean(mse))),
    "psnr_channels": ("squared_error", lambda mse: np.mean([psnr(channel) for channel in mse])),
    "ssim": ("ssim", np.mean),
    "ssim7": ("ssim7", np.mean),
    "delta_e": ("delta_e", np.mean),
}
