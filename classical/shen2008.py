"""Shen, Zhang, Shao & Xin 2008: body colours taken from diffuse pixels of like chromaticity.

H.-L. Shen, H.-G. Zhang, S.-J. Shao, J. H. Xin, "Chromaticity-based separation of reflection components
in a single image", Pattern Recognition 41(8), 2008.

    μ = mean(I_min);   modified specular-free F = I - I_min + μ;   chromaticity q = F / ΣF
    combined (diffuse + specular) pixels: I_min > 2μ;   diffuse pixels: I_min < 2μ and I_max > 20/255

A. The brightest free diffuse pixel lends its colour v_b to all free pixels with |q - q_b|_1 < 0.03: least
   squares I ~ a v_b + b (1,1,1), and I_d = a v_b. Where b < 0, a is fitted alone. Until no free diffuse
   pixel is left.
B. The first free combined pixel, in raster order, looks up the diffuse pixel of nearest q (L1 distance Y),
   whose *diffuse* colour serves all free pixels within Y + 0.1 * 0.03 of it, without the b < 0 rule.
Pixels that are neither stay as they are.

Readings taken. I_d is not allowed above I, as a body colour brighter than a pixel's own would have it:
cups / fruit 38.0 / 38.0 dB with that, 37.3 / 38.1 without. Grey pixels are left as they are
(classical.shared).
"""

import numpy as np
from scipy.spatial import cKDTree

from classical.shared import check_image, extrema, is_grey


def shen2008(
    image: np.ndarray,
    *,
    chroma_threshold: float = 0.03,
    dark: float = 20 / 255,
) -> np.ndarray:
    """Diffuse layer (H, W, 3) float32 of `image`, (H, W, 3) floating point linear RGB in [0, 1].

    chroma_threshold: L1 distance of chromaticities within which pixels share a body colour.
    dark: I_max up to which a pixel without highlight is too dark to be used.
    """
    image = check_image(image)
    i_max, i_min = (channel.ravel().astype(np.float64) for channel in extrema(image))
    pixels = image.reshape(-1, 3).astype(np.float64)
    mean_min = i_min.mean()
    coloured = ~is_grey(i_max, i_min)
    combined = coloured & (i_min > 2 * mean_min)
    diffuse = coloured & (i_min < 2 * mean_min) & (i_max > dark)

    free = np.flatnonzero(combined | diffuse)
    chroma = np.zeros_like(pixels)
    specular_free = pixels[free] - i_min[free, None] + mean_min
    chroma[free] = specular_free / specular_free.sum(axis=1, keepdims=True)
    result = pixels.copy()

    free = np.concatenate([_brightest_first(np.flatnonzero(diffuse), i_max), np.flatnonzero(combined)])
    while free.size and diffuse[free[0]]:
        near = np.abs(chroma[free] - chroma[free[0]]).sum(axis=1) < chroma_threshold
        members, free = free[near], free[~near]
        result[members] = _body_part(pixels[members], pixels[members[0]], drop_negative=True)

    if free.size and diffuse.any():
        lenders = np.flatnonzero(diffuse)
        distance, nearest = cKDTree(chroma[lenders]).query(chroma[free], p=1)
        while free.size:
            lender = lenders[nearest[0]]
            near = np.abs(chroma[free] - chroma[lender]).sum(axis=1) < distance[0] + 0.1 * chroma_threshold
            result[free[near]] = _body_part(pixels[free[near]], result[lender], drop_negative=False)
            free, distance, nearest = free[~near], distance[~near], nearest[~near]

    result = np.clip(result, 0, pixels)
    return result.astype(np.float32).reshape(image.shape)


def _brightest_first(indices: np.ndarray, i_max: np.ndarray) -> np.ndarray:
    return indices[np.argsort(-i_max[indices], kind="stable")]


def _body_part(pixels: np.ndarray, body: np.ndarray, drop_negative: bool) -> np.ndarray:
    """a * body for the least squares fit pixels (n, 3) ~ a body + b (1, 1, 1)."""
    square, side = body @ body, body.sum()
    along_body, along_white = pixels @ body, pixels.sum(axis=1)
    alone = along_body / square
    determinant = 3 * square - side**2
    # A body colour parallel to white leaves the two parts undetermined.
    if determinant <= 1e-9 * square:
        return alone[:, None] * body
    both = (3 * along_body - side * along_white) / determinant
    white = (square * along_white - side * along_body) / determinant
    if drop_negative:
        both = np.where(white < 0, alone, both)
    return both[:, None] * body
