"""Image quality metrics, each as a map over the pixels, so that any region is an average of the same map.

Values are in [0, 1], data range 1. Definitions:

    mse            mean over a region's pixels and channels of (result - ground truth)^2
    rmse           sqrt(mse)
    psnr           10 log10(1 / mse) dB of all three channels together; infinite where the images are equal
    psnr_channels  mean of the three channels' PSNR (SpecularityNet's scripts)
    ssim           SSIM (Wang et al. 2004), Gaussian window 11x11, sigma 1.5, K1 0.01, K2 0.03, population
                   variances, borders reflected without repeating the edge, per channel; mean over channels
                   and pixels: torchmetrics' structural_similarity_index_measure
    ssim7          the same with scikit-image's default: uniform window 7x7, sample variances (N / (N - 1)),
                   only windows that lie inside the picture (3 pixels are cropped at each side)
    ssim3d         MATLAB's ssim of the H x W x 3 array, which it takes for a volume: Gaussian window
                   11x11x11, sigma 1.5, edges repeated; the papers on classical methods print it
    delta_e        mean CIEDE2000 difference of CIE Lab (D65, 2 degrees) from sRGB values (scikit-image)
    chroma_error   mean distance of CIE Lab (a*, b*)
    lpips          LPIPS (Zhang et al. 2018) with AlexNet, by torchmetrics, whole image only

Of the highlight region and its clipped part only, with I the input, D the ground truth, S = I - D, D^ the
result and H the pixels of the region:

    greyer         100 sum_{H, C^ < C_s} e / sum_H e  in percent, with e the distance of D^ and D in CIE Lab
                   (a*, b*), C^ the chroma of D^ and C_s that of the surroundings: the part of the chroma
                   error that is a grey patch
    residual       100 sum_H (D^ - D) S / sum_H S^2  in percent: the k of the least squares fit D^ - D ~ k S.
                   100 for the untouched input, 0 where the highlight is gone, negative where more was taken
    contour        100 sum |d(I - D^)| / sum |dI| in percent over the steps d between neighbouring pixels of
                   which one is clipped: what the removed layer jumps where the picture becomes saturated. Of
                   the clipped part only

The surroundings of a pixel are the mean colour of D over the pixels outside of the highlight region that lie
within 3 pixels (rows and columns) of the one nearest to it. None: the region is empty, or nothing to divide
by is left.

Detection compares a predicted mask with the highlight region. With P, N the highlight and other pixels of the
ground truth and TP, TN, FP, FN as usual, in percent:

    accuracy       100 (TP + TN) / (P + N)
    ber            100 (1 - (TP / P + TN / N) / 2); of the available half alone where P or N is 0
    iou, f1        100 TP / (TP + FP + FN), 100 2 TP / (2 TP + FP + FN); None where both masks are empty

The SSIM of a region is the mean of the SSIM map over its pixels. A window at the region's border sees pixels
of both sides, for all methods alike. Pictures are scored in strips of rows, so that memory is bounded.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import cv2
import numpy as np

from evaluation.statistics import capped
from utils.colour import FULL_SCALE, psnr
from utils.errors import UserError

C1, C2 = 0.01**2, 0.03**2
STRIP_PIXELS = 1 << 18
"""Pixels scored at a time: float64 copies of a strip take some 100 MB."""
HALO = 5
"""Rows that the widest window (11x11) sees beyond a strip."""
LEAST_SIDE = {"ssim": 6, "ssim7": 7, "ssim3d": 1}
"""Sides under which a metric is not applicable: the border cannot be reflected, no window fits in."""

Transfer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Metric:
    """How a metric is written and which way is better; None: it is not ranked."""

    label: str
    higher_is_better: bool | None
    decimals: int
    window: str = ""
    """what the caption must say about it"""


METRICS: dict[str, Metric] = {
    "psnr": Metric("PSNR", True, 2, "PSNR over R, G, B together"),
    "psnr_channels": Metric("PSNR/ch", True, 2, "PSNR/ch: mean of the three channels' PSNR"),
    "ssim": Metric("SSIM", True, 4, "SSIM: 11x11 Gaussian window, sigma 1.5 (torchmetrics)"),
    "ssim7": Metric("SSIM7", True, 4, "SSIM7: 7x7 uniform window (scikit-image)"),
    "ssim3d": Metric("SSIM3D", True, 4, "SSIM3D: 11x11x11 Gaussian window (MATLAB's ssim of an RGB array)"),
    "mse": Metric("MSE", False, 6),
    "rmse": Metric("RMSE", False, 5),
    "delta_e": Metric("dE00", False, 3, "dE00: mean CIEDE2000"),
    "chroma_error": Metric("dC", False, 2, "dC: mean distance of CIE Lab a*, b*"),
    "greyer": Metric("greyer %", None, 0, "greyer: share of dC at pixels greyer than their surroundings"),
    "residual": Metric(
        "left %", None, 1, "left: share of the highlight that remains (below 0: too much went)"
    ),
    "contour": Metric(
        "contour %", None, 0, "contour: steps of the removed layer over the picture's at the clipped border"
    ),
    "lpips": Metric("LPIPS", False, 4, "LPIPS: AlexNet, whole image only"),
}
DETECTION: dict[str, Metric] = {
    "accuracy": Metric("Acc", True, 2),
    "ber": Metric("BER", False, 2),
    "iou": Metric("IoU", True, 2),
    "f1": Metric("F1", True, 2),
}
HIGHLIGHT_REGIONS = {
    "greyer": ("highlight", "clipped"),
    "residual": ("highlight", "clipped"),
    "contour": ("clipped",),
}
HIGHLIGHT_MEASURES = tuple(HIGHLIGHT_REGIONS)
RADIUS = 3
"""Rows and columns around the nearest pixel outside that are the surroundings of a highlight pixel."""

_GAUSSIAN = cv2.getGaussianKernel(11, 1.5, cv2.CV_64F)


def score(
    result: np.ndarray,
    ground_truth: np.ndarray,
    regions: Mapping[str, np.ndarray],
    names: Sequence[str] = ("psnr", "ssim", "delta_e"),
    display: Transfer | None = None,
) -> dict[str, float | None]:
    """Scores of one picture: {"psnr.whole": 31.2, "psnr.highlight": None, ...}.

    result, ground_truth  (H, W, 3) uint8, uint16, or float in [0, 1]
    regions               name -> bool (H, W)
    names                 of METRICS; those that concern highlights alone, and lpips, are passed over
    display               turns linear values into sRGB ones for the colour differences

    None means not applicable: the region has no pixel, or the picture is smaller than the metric needs. PSNR
    of equal regions is infinite. Raises ValueError where the sizes differ.
    """
    if result.shape != ground_truth.shape:
        raise ValueError(f"result {result.shape} and ground truth {ground_truth.shape} differ in size")
    names = [name for name in names if name in _REDUCTIONS]
    side = min(result.shape[:2])
    wanted = dict.fromkeys(_REDUCTIONS[name][0] for name in names)
    sources = [source for source in wanted if side >= LEAST_SIDE.get(source, 1)]
    means = {(source, region): _Mean() for source in sources for region in regions}
    for strip, rows in _strips(result, ground_truth, display):
        for source in sources:
            values = strip.map(source)
            for region, mask in regions.items():
                means[source, region].add(values, mask[rows])
    scores: dict[str, float | None] = {}
    for name in names:
        source, finish = _REDUCTIONS[name]
        for region in regions:
            mean = means[source, region].value if source in sources else None
            scores[f"{name}.{region}"] = None if mean is None else float(finish(mean))
    return scores


def highlight_measures(
    image: np.ndarray,
    result: np.ndarray,
    ground_truth: np.ndarray,
    regions: Mapping[str, np.ndarray],
    names: Sequence[str] = HIGHLIGHT_MEASURES,
    display: Transfer | None = None,
) -> dict[str, float | None]:
    """{"greyer.highlight": 71.0, "residual.clipped": 12.5, ...} of one picture.

    image, result, ground_truth  (H, W, 3) uint8, uint16, or float in [0, 1]
    regions                      bool (H, W) by name: "highlight" and, inside it, "clipped"
    display                      turns linear values into sRGB ones for CIE Lab
    """
    wanted = [name for name in names if name in HIGHLIGHT_MEASURES]
    scores: dict[str, float | None] = {
        f"{name}.{region}": None for name in wanted for region in HIGHLIGHT_REGIONS[name]
    }
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


def detect(predicted: np.ndarray, ground_truth: np.ndarray) -> dict[str, float | None]:
    """Scores in percent of two bool masks (H, W); None means not applicable."""
    hit = np.count_nonzero(predicted & ground_truth)
    positive, total = np.count_nonzero(ground_truth), ground_truth.size
    false_alarm = np.count_nonzero(predicted) - hit
    missed, negative = positive - hit, total - positive
    correct = total - false_alarm - missed
    rates = [hit / positive] if positive else []
    rates += [(negative - false_alarm) / negative] if negative else []
    union = hit + false_alarm + missed
    return {
        "accuracy": 100 * correct / total,
        "ber": 100 * (1 - sum(rates) / len(rates)),
        "iou": 100 * hit / union if union else None,
        "f1": 100 * 2 * hit / (2 * hit + false_alarm + missed) if union else None,
    }


def check_lpips_weights() -> None:
    """Raises UserError saying how to get AlexNet's ImageNet weights where they are missing; nothing is
    downloaded here."""
    import torch  # only now: the other metrics do without
    from torchvision.models import AlexNet_Weights

    url = AlexNet_Weights.IMAGENET1K_V1.url
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not file.is_file():
        raise UserError(
            f"LPIPS needs AlexNet's ImageNet weights in {file}; get them with: "
            "python -c \"import torchvision; torchvision.models.alexnet(weights='IMAGENET1K_V1')\" "
            f"(or copy the file {url} there)"
        )


def lpips(result: np.ndarray, ground_truth: np.ndarray) -> float | None:
    """LPIPS of float (H, W, 3) images in [0, 1]; None where a side is under 31 pixels (AlexNet's least)."""
    import torch

    if min(result.shape[:2]) < 31:
        return None
    images = [torch.from_numpy(x).float().permute(2, 0, 1).unsqueeze(0) for x in (result, ground_truth)]
    with torch.inference_mode():
        return float(_lpips_network()(*images))


@cache
def _lpips_network() -> Callable:
    check_lpips_weights()
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    return LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True).eval()


def ssim_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(H, W) SSIM of float64 (H, W, 3), 11x11 Gaussian."""
    return _ssim(a, b, lambda x: cv2.sepFilter2D(x, -1, _GAUSSIAN, _GAUSSIAN), 1.0)


def ssim7_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(H, W) SSIM of float64 (H, W, 3), 7x7 uniform, NaN where the window does not lie inside the array."""
    full = _ssim(a, b, lambda x: cv2.boxFilter(x, -1, (7, 7)), 49 / 48)
    cropped = np.full_like(full, np.nan)
    cropped[3:-3, 3:-3] = full[3:-3, 3:-3]
    return cropped


def ssim3d_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(H, W) SSIM of float64 (H, W, 3), 11x11x11 Gaussian over rows, columns and channels."""

    def smooth(x: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(x, -1, _GAUSSIAN, _GAUSSIAN, borderType=cv2.BORDER_REPLICATE) @ _ACROSS.T

    return _ssim(a, b, smooth, 1.0)


def _across_channels() -> np.ndarray:
    """(3, 3): the Gaussian along three channels with the first and the last repeated."""
    weights = np.zeros((3, 3))
    for channel in range(3):
        for offset, weight in zip(range(-5, 6), _GAUSSIAN.ravel(), strict=True):
            weights[channel, min(max(channel + offset, 0), 2)] += weight
    return weights


_ACROSS = _across_channels()


def lab(rgb: np.ndarray, display: Transfer | None = None) -> np.ndarray:
    """CIE Lab (..., 3) of sRGB values (..., 3) in [0, 1], or of linear ones with their `display` transfer."""
    from skimage.color import rgb2lab  # only now: scikit-image is slow to import

    return rgb2lab(rgb if display is None else display(rgb))


class _Strip:
    """Rows of a picture with their halo, from which the maps are made, each (h, W) or (h, W, 3)."""

    def __init__(self, result: np.ndarray, ground_truth: np.ndarray, inner: slice, display: Transfer | None):
        self._result, self._ground_truth = _unit(result), _unit(ground_truth)
        self._inner, self._display = inner, display

    def map(self, source: str) -> np.ndarray:
        """The map of a source of _REDUCTIONS, without the halo."""
        if source in _MAPS:
            return _MAPS[source](self._result, self._ground_truth)[self._inner]
        if source == "chroma_error":
            differences = np.linalg.norm((self._labs[0] - self._labs[1])[:, 1:], axis=1)
        else:
            from skimage.color import deltaE_ciede2000

            differences = deltaE_ciede2000(*self._labs)
        full = np.zeros(self._changed.shape)
        full[self._changed] = differences
        return full[self._inner]

    @cached_property
    def _changed(self) -> np.ndarray:
        """Where the two differ: the colour differences elsewhere are 0 and need no computing."""
        different = self._result != self._ground_truth
        return different[..., 0] | different[..., 1] | different[..., 2]

    @cached_property
    def _labs(self) -> tuple[np.ndarray, np.ndarray]:
        changed = self._changed
        return lab(self._result[changed], self._display), lab(self._ground_truth[changed], self._display)


class _Mean:
    """Mean of a map over a mask's pixels where it is defined, added up strip by strip."""

    def __init__(self):
        self._sum: np.ndarray | float = 0.0
        self._count = 0.0

    def add(self, values: np.ndarray, mask: np.ndarray) -> None:
        """`values` (h, W) or (h, W, C), NaN where undefined; `mask` bool (h, W)."""
        if values.ndim == 2 and np.isnan(values[:, 0]).any():  # cropped: NaN on the border
            mask, values = mask & ~np.isnan(values), np.nan_to_num(values)
        # A product with 0/1 weights is much faster than picking the pixels out.
        weights = mask.ravel().astype(np.float64)
        self._sum = self._sum + weights @ values.reshape(weights.size, *values.shape[2:])
        self._count += weights.sum()

    @property
    def value(self) -> np.ndarray | float | None:
        """None without any pixel."""
        return self._sum / self._count if self._count else None


def _strips(
    result: np.ndarray, ground_truth: np.ndarray, display: Transfer | None
) -> Iterator[tuple[_Strip, slice]]:
    """Strips that cover the picture, and the rows each stands for."""
    height, width = result.shape[:2]
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, last = max(top - HALO, 0), min(bottom + HALO, height)
        inner = slice(top - first, bottom - first)
        yield _Strip(result[first:last], ground_truth[first:last], inner, display), slice(top, bottom)


def _unit(pixels: np.ndarray) -> np.ndarray:
    return pixels / np.float64(FULL_SCALE.get(pixels.dtype, 1))


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


def _mean_psnr(channels: list[float]) -> float:
    """Mean over channels in dB; one that is exact counts as 100 dB beside one that is not."""
    return float(np.mean(channels if np.isinf(channels).all() else capped(np.array(channels))))


_MAPS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "squared_error": lambda a, b: np.square(a - b),
    "ssim": ssim_map,
    "ssim7": ssim7_map,
    "ssim3d": ssim3d_map,
}
_REDUCTIONS: dict[str, tuple[str, Callable]] = {
    "mse": ("squared_error", np.mean),
    "rmse": ("squared_error", lambda mse: np.sqrt(np.mean(mse))),
    "psnr": ("squared_error", lambda mse: psnr(float(np.mean(mse)))),
    "psnr_channels": ("squared_error", lambda mse: _mean_psnr([psnr(channel) for channel in mse])),
    "ssim": ("ssim", np.mean),
    "ssim7": ("ssim7", np.mean),
    "ssim3d": ("ssim3d", np.mean),
    "delta_e": ("delta_e", np.mean),
    "chroma_error": ("chroma_error", np.mean),
}
