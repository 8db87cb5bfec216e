"""Akashi & Okatani 2016: sparse non-negative matrix factorisation with one fixed white colour.

Y. Akashi, T. Okatani, "Separation of reflection components by sparse non-negative matrix factorization",
Computer Vision and Image Understanding 146, 2016.

    V (3, N) in [0, 255] ~ W H,   W = [i_s, W_d],   i_s = (1, 1, 1) / √3 fixed,   W_d: 6 diffuse colours
    W' = W with columns of unit length
    H   <- H ∘ (W'ᵀ V) / (W'ᵀ W' H + λ)
    V_d  = max(0, V - i_s h_s),   h_s: first row of H, H_d: the others
    W_d <- W'_d ∘ (V_d H_dᵀ + W'_d ∘ (1 W'_d H_d H_dᵀ)) / (W'_d H_d H_dᵀ + W'_d ∘ (1 V_d H_dᵀ)),   1: 3x3 ones
    F    = ½ |V - W H|_F + λ ΣH;   stop at |ΔF| < e⁻¹⁵ |F| or after 10,000 iterations;   I_d = W_d H_d

H starts from uniform random numbers in [1, 255], and so do the colours. The result depends on them: the
objective has plateaus on which the stopping rule may already hold.

Readings taken. The distance in F is not squared, as in the SIHR port. With seeds 0 to 4, cups 35.4 .. 35.8
dB; fruit 31.9, 34.8, 34.9, 34.8, 32.1 (published 35.7 and 30.8): the low ones stopped on a plateau. Each
colour is factorised once, weighted by its number of pixels: same objective, an eighth of the time. A colour
that stands for several (pictures of more than 28,000) lends its pixels its I_s = V - W_d H_d. I_d is not
allowed above I, and grey pixels are left as they are (classical.shared).
"""

import math

import numpy as np

from classical.shared import check_image, distinct_colours, extrema, is_grey

_MAX_COLOURS = 28_000
_TINY = 1e-12


def akashi2016(
    image: np.ndarray,
    *,
    colours: int = 6,
    sparsity: float = 3.0,
    tolerance: float = math.exp(-15),
    max_iterations: int = 10_000,
    seed: int = 0,
) -> np.ndarray:
    """Diffuse layer (H, W, 3) float32 of `image`, (H, W, 3) floating point linear RGB in [0, 1].

    colours: number of diffuse colours (R - 1 of the paper).
    sparsity: λ, for values in [0, 255].
    tolerance: relative change of the objective at which it has converged.
    seed: of the random start.
    """
    image = check_image(image)
    values, counts, index = distinct_colours(image, _MAX_COLOURS)
    if not values.any():
        return image
    diffuse = _factorise(
        255 * values, counts, colours, sparsity, tolerance, max_iterations, np.random.default_rng(seed)
    )
    removed = (values - diffuse / 255).T.astype(np.float32)[index]
    removed[is_grey(*extrema(image))] = 0
    return np.clip(image - removed, 0, image)


def _factorise(
    values: np.ndarray,
    counts: np.ndarray,
    colours: int,
    sparsity: float,
    tolerance: float,
    max_iterations: int,
    random: np.random.Generator,
) -> np.ndarray:
    """W_d H_d (3, n) for the colours `values` (3, n) in [0, 255] that stand for `counts` (n,) pixels."""
    white = np.full((3, 1), 1 / np.sqrt(3))
    values = values.astype(np.float32)
    pixels = counts.astype(np.float64)
    weights = counts.astype(np.float32)
    codes = random.uniform(1, 255, (colours + 1, values.shape[1])).astype(np.float32)
    basis = _unit_columns(random.uniform(1, 255, (3, colours)))
    objective = math.inf
    for _ in range(max_iterations):
        unit = _unit_columns(basis)
        unit_all = np.hstack([white, unit]).astype(np.float32)
        codes *= (unit_all.T @ values) / ((unit_all.T @ unit_all) @ codes + np.float32(sparsity))

        body, target = codes[1:], np.maximum(values - unit_all[:, :1] * codes[0], 0)
        weighted = (body * weights).T
        cross = (target @ weighted).astype(np.float64)  # V_d H_dᵀ
        model = unit @ (body @ weighted).astype(np.float64)  # W'_d H_d H_dᵀ
        numerator = cross + unit * model.sum(axis=0)
        basis = unit * numerator / np.maximum(model + unit * cross.sum(axis=0), _TINY)

        diffuse = basis.astype(np.float32) @ body
        error = values - unit_all[:, :1] * codes[0] - diffuse
        # Summed in double precision: float32 rounding would be as large as the tolerance.
        squares = (error * error).sum(axis=0) @ pixels
        amount = codes.sum(axis=0) @ pixels
        previous, objective = objective, 0.5 * math.sqrt(squares) + sparsity * amount
        if abs(previous - objective) <= tolerance * objective:
            break
    return diffuse


def _unit_columns(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.maximum(np.linalg.norm(matrix, axis=0), _TINY)
