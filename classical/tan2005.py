"""Tan & Ikeuchi 2005: specular-to-diffuse conversion of neighbours, guided by log derivatives.

R. T. Tan, K. Ikeuchi, "Separating reflection components of textured surfaces using a single image",
IEEE TPAMI 27(2), 2005.

Maximum chromaticity c = I_max / ΣI. A pixel whose surface has the diffuse maximum chromaticity Λ converts
to diffuse by

    T_d = I_max (3c - 1) / (c (3Λ - 1)),   I_s = (ΣI - T_d) / 3 per channel,   I_d = I - I_s

1. specular-free image: Λ = 0.6 everywhere, clipped to [0, 1]; pixels with all channels below `dark` are
   left out.
2. for ε = 0.5, 0.49, ..., 0: the pair of a pixel and its right (else its lower) neighbour is specular when
   | log |ΔΣI| - log |ΔΣI_sf| | > ε, Δ between the two. In a specular pair, |Δr| > 0.1 and |Δg| > 0.1 is a
   boundary of colours, |Δc| < 0.01 noise: neither is looked at again for this ε. Else the pixel of smaller
   c is converted with Λ = the larger c, unless a channel would fall to 0, and both pixels wait for the
   next sweep. Sweep until the number of specular pairs stops falling, then next ε.

Readings taken. Pairs of a sweep are converted together in four groups (right neighbours from even and odd
columns, lower ones from even and odd rows), within which no pixel occurs twice; the authors' program goes
pixel by pixel. That program (run for comparison) gives cups / fruit 30.5 / 29.8 dB with its threshold of
darkness, 10/255, which are the published 30.1 / 29.6, and 31.6 / 30.3 with the SIHR port's 20/255; ours
30.6 / 30.7 and 32.5 / 30.8. Grey pixels are neither compared nor converted (classical.shared).
"""

import cv2
import numpy as np

from classical.shared import check_image, extrema, is_grey, subtract, total

_TINY = 1e-6


def tan2005(
    image: np.ndarray,
    *,
    reference_chroma: float = 0.6,
    dark: float = 10 / 255,
    start: float = 0.5,
    step: float = 0.01,
    boundary: float = 0.1,
    noise: float = 0.01,
) -> np.ndarray:
    """Diffuse layer (H, W, 3) float32 of `image`, (H, W, 3) floating point linear RGB in [0, 1].

    reference_chroma: Λ of the specular-free image, in (1/3, 1].
    dark: pixels with I_max below are left out.
    start, step: the thresholds ε are start, start - step, ... down to 0.
    boundary: differences of r and of g beyond which neighbours are of different surfaces.
    noise: difference of maximum chromaticities below which nothing is converted.
    """
    image = check_image(image)
    pairs = _Pairs(image, reference_chroma, dark, boundary, noise)
    for epsilon in np.arange(start, -step / 2, -step):
        pairs.settle(max(float(epsilon), 0.0))
    return subtract(image, pairs.removed())


class _Pairs:
    """Pixels and their right and lower neighbours, as flat arrays over a picture padded by one."""

    def __init__(
        self, image: np.ndarray, reference_chroma: float, dark: float, boundary: float, noise: float
    ):
        self._boundary, self._noise = boundary, noise
        self._size = image.shape[:2]
        padded = cv2.copyMakeBorder(image, 0, 1, 0, 1, cv2.BORDER_REPLICATE)
        self._width = padded.shape[1]
        i_max, i_min = extrema(padded)
        sums = total(padded)
        grey = is_grey(i_max, i_min)

        chroma = i_max / np.maximum(sums, _TINY)
        specular = (sums - _diffuse_sum(i_max, chroma, reference_chroma)) / 3
        free_sums = total(np.clip(padded - specular[..., None], 0, 1)).ravel()

        used = (i_max >= dark) & ~grey
        used[-1] = used[:, -1] = False
        self._pixels = np.flatnonzero(used)
        self._slot = np.full(used.size, -1)  # pixel -> its place in self._pixels
        self._slot[self._pixels] = np.arange(self._pixels.size)
        self._steps = (1, self._width)
        self._free_logs = [self._log_steps(free_sums, step) for step in self._steps]
        row, column = np.divmod(self._pixels, self._width)
        self._parity = (column % 2, row % 2)

        self._convertible = ~grey.ravel()
        self._max, self._min, self._sums = i_max.ravel(), i_min.ravel(), sums.ravel()
        self._red, self._green = padded[..., 0].ravel(), padded[..., 1].ravel()
        self._specular = np.zeros_like(self._sums)

    def removed(self) -> np.ndarray:
        """Specular layer found so far, (H, W)."""
        height, width = self._size
        return self._specular.reshape(-1, self._width)[:height, :width]

    def settle(self, epsilon: float) -> None:
        """Sweeps at one threshold until the number of specular pairs stops falling."""
        open_ = np.ones(self._pixels.size, bool)
        labels = self._labels(epsilon, open_)
        while count := np.count_nonzero(labels):
            for direction in range(2):
                for parity in range(2):
                    self._convert(labels, open_, direction, parity)
            labels = self._labels(epsilon, open_)
            if np.count_nonzero(labels) >= count:
                break

    def _labels(self, epsilon: float, open_: np.ndarray) -> np.ndarray:
        """1: the pair with the right neighbour is specular; else 2: that with the lower one; else 0."""
        # log 0 - log 0 is NaN and compares as not specular: neither image has an edge there.
        with np.errstate(invalid="ignore"):
            right, down = (
                np.abs(self._log_steps(self._sums, step) - free) > epsilon
                for step, free in zip(self._steps, self._free_logs, strict=True)
            )
        return np.where(right, 1, np.where(down, 2, 0)).astype(np.int8) * open_

    def _log_steps(self, sums: np.ndarray, step: int) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(np.abs(sums[self._pixels + step] - sums[self._pixels]))

    def _convert(self, labels: np.ndarray, open_: np.ndarray, direction: int, parity: int) -> None:
        slots = np.flatnonzero((labels == direction + 1) & (self._parity[direction] == parity))
        here = self._pixels[slots]
        there = here + self._steps[direction]
        sums_here, sums_there = (np.maximum(self._sums[at], _TINY) for at in (here, there))
        chroma_here, chroma_there = self._max[here] / sums_here, self._max[there] / sums_there
        red_step = np.abs(self._red[here] / sums_here - self._red[there] / sums_there)
        green_step = np.abs(self._green[here] / sums_here - self._green[there] / sums_there)

        closed = (red_step > self._boundary) & (green_step > self._boundary)
        closed |= np.abs(chroma_here - chroma_there) < self._noise
        open_[slots[closed]] = False
        labels[slots] = 0
        waiting = self._slot[there[~closed]]
        labels[waiting[waiting >= 0]] = 0

        low = np.minimum(chroma_here, chroma_there)[~closed]
        high = np.maximum(chroma_here, chroma_there)[~closed]
        target = np.where(chroma_here < chroma_there, here, there)[~closed]
        specular = (self._sums[target] - _diffuse_sum(self._max[target], low, high)) / 3
        kept = (self._min[target] > specular) & self._convertible[target]
        target, specular = target[kept], specular[kept]
        for channel in (self._red, self._green, self._max, self._min):
            channel[target] -= specular
        self._sums[target] -= 3 * specular
        self._specular[target] += specular


def _diffuse_sum(i_max: np.ndarray, chroma: np.ndarray, diffuse_chroma) -> np.ndarray:
    return i_max * (3 * chroma - 1) / np.maximum(chroma * (3 * diffuse_chroma - 1), _TINY)
