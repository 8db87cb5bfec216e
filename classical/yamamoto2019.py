"""Yamamoto & Nakazawa 2019: repairs the separation of another method, pixel by pixel.

T. Yamamoto, A. Nakazawa, "General improvement method of specular component separation using high-emphasis
filter and similarity function", ITE Transactions on Media Technology and Applications 7(2), 2019.

    h = δ + k (δ - box3x3), k = 10, edges reflected, results clipped to [0, 1]
    Θ = h*I,   Υ_d = h*I_d,   Υ_s = h*I_s,   Υ = clip(Υ_d + Υ_s)
    erroneous pixels: Υ_d > Θ in all three channels (detail that the input does not have)
    each takes I_d of the pixel q of the window around it that minimises
        Φ = ω |I(p) - I(q)|² + (1 - ω) |Θ(q) - Υ(q)|²,   ω = 0.3
    window side 2⌈√N_s / 2⌉ + 1, N_s = number of pixels of I_s above Otsu's threshold
    again with the new I_d, up to 5 times or until it moves by less than 0.2 (root mean square)

The minimum is a nearest neighbour: p at (√ω I(p), 0), q at (√ω I(q), √(1-ω) |Θ(q) - Υ(q)|). Trees over
tiles of the picture find it without visiting every pixel of every window.

Readings taken. The limit of 0.2 is taken in [0, 1], as in the SIHR port, which makes one iteration of it:
cups / fruit 39.1 / 38.9 dB on top of Shen & Zheng's 39.0 / 38.9; in 8-bit units it is up to five, 39.1 / 38.9
at five times the work. Equal Φ go to the nearer pixel. I_d is not allowed above I. Grey pixels keep the base
method's value (all methods of this package leave them as they are).
"""

from collections.abc import Callable

import cv2
import numpy as np
from scipy.spatial import cKDTree

from classical.shared import check_image, extrema, is_grey
from classical.shen2013 import shen2013

# Weight of the distance in pixels among the features: decides ties, changes no other order (one 8-bit
# step of one channel weighs 2e-3).
_NEARNESS = 1e-6
_MIN_TILE = 32
_CANDIDATES = 16


def yamamoto2019(
    image: np.ndarray,
    *,
    base: Callable[[np.ndarray], np.ndarray] = shen2013,
    emphasis: float = 10.0,
    similarity: float = 0.3,
    max_iterations: int = 5,
    tolerance: float = 0.2,
) -> np.ndarray:
    """Diffuse layer (H, W, 3) float32 of `image`, (H, W, 3) floating point linear RGB in [0, 1].

    base: the method to improve, from `image` to its diffuse layer.
    emphasis: k of the filter.
    similarity: ω, weight of the input's colour against the error of the layers' detail.
    tolerance: root mean square change of I_d, in [0, 1], below which it stops.
    """
    image = check_image(image)
    grey = is_grey(*extrema(image))
    diffuse = base(image)
    emphasised = _emphasise(image, emphasis)
    for _ in range(max_iterations):
        specular = np.clip(image - diffuse, 0, 1)
        detail = _emphasise(diffuse, emphasis)
        erroneous = (detail > emphasised).all(axis=2) & ~grey
        size = _otsu_count(specular)
        if size == 0 or not erroneous.any():
            break
        layers = np.clip(detail + _emphasise(specular, emphasis), 0, 1)
        error = np.sqrt(((emphasised - layers) ** 2).sum(axis=2))
        source = _best_in_window(image, error, erroneous, int(np.ceil(np.sqrt(size) / 2)), similarity)
        previous, diffuse = diffuse, diffuse.copy()
        diffuse[erroneous] = np.minimum(previous.reshape(-1, 3)[source], image[erroneous])
        if np.sqrt(np.mean((diffuse - previous) ** 2)) < tolerance:
            break
    return diffuse


def _emphasise(image: np.ndarray, emphasis: float) -> np.ndarray:
    low = cv2.blur(image, (3, 3), borderType=cv2.BORDER_REFLECT)
    return np.clip(image + np.float32(emphasis) * (image - low), 0, 1)


def _otsu_count(specular: np.ndarray) -> int:
    levels = np.rint(255 * specular[..., 0]).astype(np.uint8)
    return int(np.count_nonzero(cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]))


def _best_in_window(
    image: np.ndarray, error: np.ndarray, wanted: np.ndarray, radius: int, similarity: float
) -> np.ndarray:
    """Flat index of the pixel of least Φ in the window of each `wanted` pixel, in raster order."""
    height, width = error.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    features = np.dstack(
        [
            np.sqrt(similarity) * image,
            np.sqrt(1 - similarity) * error,
            _NEARNESS * rows,
            _NEARNESS * columns,
        ]
    )
    best = np.zeros(error.shape, np.int64)
    tile = max(2 * radius + 1, _MIN_TILE)
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            inside = wanted[top : top + tile, left : left + tile]
            if inside.any():
                targets = np.argwhere(inside) + np.array([top, left])
                corner = max(top - radius, 0), max(left - radius, 0)
                area = features[corner[0] : top + tile + radius, corner[1] : left + tile + radius]
                found = _nearest_in_window(features, area, corner, targets, radius)
                best[targets[:, 0], targets[:, 1]] = found[:, 0] * width + found[:, 1]
    return best[wanted]


def _nearest_in_window(
    features: np.ndarray, area: np.ndarray, corner: tuple[int, int], targets: np.ndarray, radius: int
) -> np.ndarray:
    """Positions (n, 2) of the pixels of `area` nearest in features and within `radius` of the targets."""
    points = area.reshape(-1, area.shape[2])
    queries = features[targets[:, 0], targets[:, 1]].copy()
    queries[:, 3] = 0  # a perfect pixel has no error of detail
    wanted = min(_CANDIDATES, len(points))
    near = cKDTree(points).query(queries, k=np.arange(1, wanted + 1))[1]
    places = np.stack(np.divmod(near, area.shape[1]), axis=-1) + corner
    within = (np.abs(places - targets[:, None]) <= radius).all(axis=2)
    found = places[np.arange(len(targets)), within.argmax(axis=1)]
    for missed in np.flatnonzero(~within.any(axis=1)):
        (row, column), (top, left) = targets[missed], np.maximum(targets[missed] - radius, 0)
        window = features[top : row + radius + 1, left : column + radius + 1]
        nearest = ((window - queries[missed]) ** 2).sum(axis=2).argmin()
        found[missed] = np.array([top, left]) + divmod(nearest, window.shape[1])
    return found
