"""Guo, Zhou & Wang 2018: the sparse and low-rank reflection model (SLRR).

J. Guo, Z. Zhou, L. Wang, "Single image highlight removal with a sparse and low-rank reflection model",
ECCV 2018.

    X (3, N) = Φ W + Γ M,   Φ (3, K): colour dictionary,   Γ = (1, 1, 1)ᵀ / √3,   W, M >= 0
    minimise  |W|_w,* + τ |W|_1 + λ |M|_1,   λ = 0.1 / √N,  τ = 1 / √N,  K = 50

by the augmented Lagrangian with copies J = W (low rank), H = W (sparse), S1 = W, S2 = M (both >= 0):

    J  = singular value thresholding of W - Y2/μ by w_i / μ,   w_i = √N / (σ_i + 1e-6)
    M  = shrink(Γᵀ(X - Φ W + Y1/μ) + S2 - Y5/μ, λ/μ) / (ΓᵀΓ + 1)
    H  = shrink(W - Y3/μ, τ/μ)
    W  = (ΦᵀΦ + 3)⁻¹ (Φᵀ(X - Γ M + Y1/μ) + J + H + S1 + (Y2 + Y3 - Y4)/μ), clipped to [0, 3]
    S1 = max(W + Y4/μ, 0),   S2 = max(M + Y5/μ, 0);   Y_i += μ E_i;   μ <- min(ρ μ, 1e10)
    I_d = I - Γ M

from zeros, μ = 0.1, ρ = 1.1, until every residual is below 1e-6 |X| or for 250 iterations (the known
port's number). Φ: k-means of the pixels' spherical angles, each column with its cluster's least radius.

K x N is 15 million numbers for 640x480. Two exact reductions make it small: equal colours stay equal
throughout (everything starts from 0), so each is kept once and weighs as many times as it has pixels in
the norms; and J = T A with T = U max(1 - w/(μσ), 0) Uᵀ needs only the K x K matrix A Aᵀ = U σ² Uᵀ, no
singular vectors of length N. Columns are worked through in blocks that fit a processor's cache.

Readings taken. M divides by ΓᵀΓ + 1, its exact minimiser; the paper prints ΓᵀΓ. Black pixels are kept out
of the dictionary: they have no angle. Radius: the least gives cups / fruit 36.7 / 36.5 dB (published
39.1 / 36.4; other k-means seeds 38.4 / 36.5 and 38.3 / 36.6), in a first version unit columns gave
35.6 / 32.4 and the largest radius 36.4 / 34.7. The residuals do not reach 1e-6: they stand at a few per cent
when the growing μ has frozen the iteration, and 200 iterations give 35.3 / 35.7. A picture of more than
32,768 colours is told apart at fewer bits, for the specular layer only. Grey pixels are left as they are
(classical.shared).
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from classical.shared import check_image, distinct_colours, extrema, is_grey, subtract

_MAX_COLOURS = 32768
_BLOCK = 2048
_MAX_PENALTY = 1e10


def guo2018(
    image: np.ndarray,
    *,
    colours: int = 50,
    iterations: int = 250,
    tolerance: float = 1e-6,
    penalty: float = 0.1,
    growth: float = 1.1,
    seed: int = 0,
) -> np.ndarray:
    """Diffuse layer (H, W, 3) float32 of `image`, (H, W, 3) floating point linear RGB in [0, 1].

    colours: K, size of the dictionary.
    iterations, tolerance: when to stop; the tolerance is relative to |X|.
    penalty, growth: μ at the start and its factor ρ an iteration.
    seed: of the k-means start.
    """
    image = check_image(image)
    values, counts, index = distinct_colours(image, _MAX_COLOURS)
    if not values.any():
        return image
    dictionary = colour_dictionary(values, counts, colours, np.random.default_rng(seed))
    highlight = _separate(values, counts, dictionary, iterations, tolerance, penalty, growth)
    specular = (highlight / np.sqrt(3)).astype(np.float32)[index]
    specular[is_grey(*extrema(image))] = 0
    return subtract(image, specular)


def colour_dictionary(
    values: np.ndarray, counts: np.ndarray, colours: int, random: np.random.Generator
) -> np.ndarray:
    """Φ (3, K): k-means directions of the non-black colours `values` (3, n), at their least radius."""
    visible = values.max(axis=0) > 0
    radius = np.linalg.norm(values[:, visible], axis=0)
    polar = np.arccos(np.clip(values[2, visible] / radius, -1, 1))
    azimuth = np.arctan2(values[1, visible], values[0, visible])
    centres, labels = _k_means(np.stack([polar, azimuth], axis=1), counts[visible], colours, random)
    least = np.full(len(centres), np.inf)
    np.minimum.at(least, labels, radius)
    polar, azimuth = centres[np.isfinite(least)].T
    directions = [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)]
    return np.stack(directions) * least[np.isfinite(least)]


def _k_means(
    points: np.ndarray, weights: np.ndarray, clusters: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted Lloyd iterations from a k-means++ start: centres (k <= clusters, 2), labels (n,)."""
    centres = points[random.choice(len(points), 1, p=weights / weights.sum())]
    squares = ((points - centres) ** 2).sum(axis=1)
    while len(centres) < clusters and (spread := squares * weights).any():
        new = points[random.choice(len(points), p=spread / spread.sum())]
        centres = np.vstack([centres, new])
        squares = np.minimum(squares, ((points - new) ** 2).sum(axis=1))
    for _ in range(100):
        labels = cKDTree(centres).query(points)[1]
        mass = np.bincount(labels, weights, minlength=len(centres))
        sums = [np.bincount(labels, weights * axis, minlength=len(centres)) for axis in points.T]
        moved = (np.stack(sums) / np.maximum(mass, 1)).T[mass > 0]
        settled = moved.shape == centres.shape and np.abs(moved - centres).max() < 1e-5
        centres = moved
        if settled:
            break
    return centres, cKDTree(centres).query(points)[1]


@dataclass
class _Columns:
    """A block of columns of every matrix of the iteration; `y` are its five multipliers."""

    values: np.ndarray
    counts: np.ndarray
    codes: np.ndarray  # W
    positive_codes: np.ndarray  # S1
    highlight: np.ndarray  # M
    positive_highlight: np.ndarray  # S2
    y: list[np.ndarray] = field(default_factory=list)


def _columns(values: np.ndarray, counts: np.ndarray, size: int) -> _Columns:
    def zeros(rows: int) -> np.ndarray:
        return np.zeros((rows, values.shape[1]), np.float32)

    return _Columns(
        values=np.ascontiguousarray(values, np.float32),
        counts=counts.astype(np.float32),
        codes=zeros(size),
        positive_codes=zeros(size),
        highlight=zeros(1),
        positive_highlight=zeros(1),
        y=[zeros(3), zeros(size), zeros(size), zeros(size), zeros(1)],
    )


def _separate(
    values: np.ndarray,
    counts: np.ndarray,
    dictionary: np.ndarray,
    iterations: int,
    tolerance: float,
    penalty: float,
    growth: float,
) -> np.ndarray:
    """M (n,) for the colours `values` (3, n) that stand for `counts` (n,) pixels each."""
    size, pixels = dictionary.shape[1], counts.sum()
    inverse = np.linalg.inv(dictionary.T @ dictionary + 3 * np.eye(size)).astype(np.float32)
    phi = dictionary.astype(np.float32)
    norm = np.sqrt(((values**2) @ counts).sum())
    blocks = [
        _columns(values[:, at : at + _BLOCK], counts[at : at + _BLOCK], size)
        for at in range(0, counts.size, _BLOCK)
    ]
    gram = np.zeros((size, size))  # of W - Y2/μ
    for _ in range(iterations):
        squares, vectors = np.linalg.eigh(gram)
        singular = np.sqrt(np.maximum(squares, 1e-24))
        kept = np.maximum(1 - np.sqrt(pixels) / ((singular + 1e-6) * penalty * singular), 0)
        low_rank = ((vectors * kept) @ vectors.T).astype(np.float32)
        next_penalty = min(growth * penalty, _MAX_PENALTY)
        residuals = np.zeros(5)
        gram = np.zeros_like(gram)
        for block in blocks:
            residuals += _update(block, phi, inverse, low_rank, np.float32(penalty), pixels)
            low = block.codes - block.y[1] / np.float32(next_penalty)
            gram += (low * block.counts) @ low.T
        penalty = next_penalty
        if np.sqrt(residuals.max()) < tolerance * norm:
            break
    return np.concatenate([block.highlight[0] for block in blocks])


def _update(
    block: _Columns,
    phi: np.ndarray,
    inverse: np.ndarray,
    low_rank: np.ndarray,
    mu: np.float32,
    pixels: float,
) -> np.ndarray:
    """One iteration on a block, in place; squared norms of the five residuals."""
    white = np.full((3, 1), 1 / np.sqrt(3), np.float32)
    sparsity_codes = np.float32(1 / np.sqrt(pixels)) / mu
    sparsity_highlight = np.float32(0.1 / np.sqrt(pixels)) / mu
    x, y = block.values, block.y

    low = low_rank @ (block.codes - y[1] / mu)
    rest = white.T @ (x - phi @ block.codes + y[0] / mu) - y[4] / mu + block.positive_highlight
    block.highlight = _shrink(rest, sparsity_highlight) / 2
    sparse = _shrink(block.codes - y[2] / mu, sparsity_codes)
    right = phi.T @ (x - white @ block.highlight + y[0] / mu) + (y[1] + y[2] - y[3]) / mu
    right += low
    right += sparse
    right += block.positive_codes
    block.codes = np.clip(inverse @ right, 0, 3)
    block.positive_codes = np.maximum(block.codes + y[3] / mu, 0)
    block.positive_highlight = np.maximum(block.highlight + y[4] / mu, 0)

    residuals = (
        x - phi @ block.codes - white @ block.highlight,
        low - block.codes,
        sparse - block.codes,
        block.codes - block.positive_codes,
        block.highlight - block.positive_highlight,
    )
    for multiplier, residual in zip(y, residuals, strict=True):
        multiplier += mu * residual
    return np.array([np.einsum("ij,ij,j->", each, each, block.counts) for each in residuals])


def _shrink(matrix: np.ndarray, by: np.float32) -> np.ndarray:
    return matrix - np.clip(matrix, -by, by)
