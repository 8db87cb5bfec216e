"""Yang, Wang & Ahuja 2010: the maximum chromaticity spread by a joint bilateral filter.

Q. Yang, S. Wang, N. Ahuja, "Real-time specular highlight removal using bilateral filtering", ECCV 2010
(journal version: IEEE TPAMI 37(6), 2015).

    σ_c = I_c / ΣI;   λ_c = (σ_c - σ_min) / (1 - 3 σ_min)        (λ is free of the specular part)
    σ_max = max_c σ_c falls where a highlight lies; λ_max = max_c λ_c guides its repair
    repeat: σ_F = joint bilateral filter of σ_max, range weights on λ_max;  σ_max <- max(σ_max, σ_F)
    until no pixel has σ_F - σ_max > 0.03
    I_s = (I_max - σ_max ΣI) / (1 - 3 σ_max);   I_d = I - I_s

λ_c is computed as (I_c - I_min) / (ΣI - 3 I_min), the same without the division by ΣI.

Readings taken. Widths of the SIHR port (a quarter of the shorter side, 0.04) on a bilateral grid; of the
other published pair, 3 pixels and 0.1, cups / fruit give 34.9 / 33.4 dB instead of 38.2 / 38.0. Dark
pixels (all channels below 20/255, the authors' program) neither vote nor change: without that rule
37.3 / 36.2 dB. Where σ_max is at 1/3 the separation is undefined: such pixels and grey ones
(classical.shared) stay as they are.
"""

import numpy as np

from classical.bilateral_grid import JointBilateral
from classical.shared import check_image, extrema, is_grey, subtract, total


def yang2010(
    image: np.ndarray,
    *,
    sigma_space: float | None = None,
    sigma_range: float = 0.04,
    threshold: float = 0.03,
    dark: float = 20 / 255,
    max_iterations: int = 100,
) -> np.ndarray:
    """Diffuse layer (H, W, 3) float32 of `image`, (H, W, 3) floating point linear RGB in [0, 1].

    sigma_space: filter's standard deviation in pixels; None: a quarter of the shorter side.
    sigma_range: its standard deviation in units of λ_max.
    threshold: iteration stops where σ_max rises by no more than this.
    dark: pixels with I_max below are left out.
    """
    image = check_image(image)
    i_max, i_min = extrema(image)
    sums = total(image)
    used = (i_max >= dark) & ~is_grey(i_max, i_min)
    if not used.any():
        return image
    third = np.full_like(sums, 1 / 3)
    sigma_max = np.divide(i_max, sums, out=third.copy(), where=used)
    lambda_max = np.divide(i_max - i_min, sums - 3 * i_min, out=third, where=used)

    if sigma_space is None:
        sigma_space = max(0.25 * min(image.shape[:2]), 1)
    smooth = JointBilateral(lambda_max, sigma_space, sigma_range, valid=used)
    for _ in range(max_iterations):
        filtered = smooth(sigma_max)
        if not (filtered - sigma_max > threshold)[used].any():
            break
        sigma_max = np.maximum(sigma_max, filtered)

    denominator = 1 - 3 * sigma_max
    used &= denominator < -1e-3
    specular = np.divide(i_max - sigma_max * sums, denominator, out=np.zeros_like(sums), where=used)
    return subtract(image, specular)
