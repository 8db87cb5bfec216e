"""What the things of samples/render.py are made of: colour, gloss and relief at every point."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Material:
    """Of N surface points.

    albedo       (N, 3) linear RGB
    normal       (N, 3) unit vectors, with relief
    roughness    (N,) blur of the mirrored light, about 0.02 (glaze) to 1 (matt)
    reflectance  (N,) Fresnel's at normal incidence: 0.04 for most things, 0.6 for metal
    tint         (N, 3) colour of the mirrored light: white but for metals
    """

    albedo: Array
    normal: Array
    roughness: Array
    reflectance: Array
    tint: Array


def _material(albedo, normal, roughness, reflectance, tint=1.0) -> Material:
    count = len(normal)
    return Material(
        np.broadcast_to(albedo, (count, 3)).astype(np.float32),
        normal,
        np.broadcast_to(np.float32(roughness), count),
        np.broadcast_to(np.float32(reflectance), count),
        np.broadcast_to(np.float32(tint), (count, 3)),
    )


def noise(points: Array, seed: int = 0) -> Array:
    """Smooth value noise in [0, 1] over (N, 2) or (N, 3) points, one bump a unit."""
    cell = np.floor(points).astype(np.int64)
    t = points - cell
    t = t * t * (3 - 2 * t)
    total = np.zeros(len(points), np.float32)
    for corner in range(2 ** points.shape[1]):
        bits = np.array([corner >> axis & 1 for axis in range(points.shape[1])])
        weight = np.where(bits, t, 1 - t).prod(axis=1)
        total += weight * _hash(cell + bits, seed)
    return total


def _hash(cell: Array, seed: int) -> Array:
    primes = np.array([73856093, 19349663, 83492791])[: cell.shape[1]]
    n = (cell * primes).sum(axis=1) ^ (seed * 2654435761)
    n = (n ^ (n >> 13)) * 1274126177 & 0x7FFFFFFF
    return ((n ^ (n >> 16)) & 0xFFFF).astype(np.float32) / 65535


def fractal(points: Array, octaves: int = 4, seed: int = 0) -> Array:
    """Noise of several scales in [0, 1]."""
    total, weight = np.zeros(len(points), np.float32), 0.0
    for octave in range(octaves):
        total += noise(points * 2**octave, seed + octave) / 2**octave
        weight += 1 / 2**octave
    return total / weight


def _mix(a, b, t: Array) -> Array:
    return np.float32(a) * (1 - t[:, None]) + np.float32(b) * t[:, None]


def _relief(points: Array, normals: Array, height: Callable[[Array], Array], amount: float) -> Array:
    """Normals tilted by the slope of a height field over space."""
    step = np.float32(0.01)
    centre = height(points)
    slope = np.stack(
        [(height(points + axis) - centre) / step for axis in np.eye(3, dtype=np.float32) * step], axis=1
    )
    slope -= (slope * normals).sum(axis=1, keepdims=True) * normals
    tilted = normals - amount * slope
    return tilted / np.sqrt((tilted**2).sum(axis=1, keepdims=True))


def wood(points: Array, normals: Array) -> Material:
    """Planks along x with grain, satin varnish."""
    plank = np.floor(points[:, 2] / 0.62)
    shift = _hash(plank[:, None].astype(np.int64), 3)
    grain = np.stack([points[:, 0] * 0.7 + shift * 37, points[:, 2] * 9], axis=1)
    rings = 0.5 + 0.5 * np.sin(18 * fractal(grain * 0.5, 3, 5) + points[:, 2] * 6)
    fibres = fractal(np.stack([points[:, 0] * 3 + shift * 11, points[:, 2] * 70], axis=1), 3, 9)
    tone = np.clip(0.55 * rings + 0.45 * fibres, 0, 1)
    albedo = _mix((0.23, 0.105, 0.042), (0.45, 0.245, 0.11), tone) * (0.8 + 0.4 * shift[:, None])
    gap = np.abs(points[:, 2] / 0.62 - np.round(points[:, 2] / 0.62)) < 0.012
    albedo[gap] *= 0.3
    return _material(albedo, normals, 0.35, 0.025)


def plaster(points: Array, normals: Array) -> Material:
    """A matt wall, a little uneven."""
    albedo = np.float32((0.42, 0.39, 0.35)) * (0.9 + 0.2 * fractal(points[:, :2] * 3, 4, 8))[:, None]
    return _material(albedo, normals, 1.0, 0.0)


def cloth(points: Array, normals: Array) -> Material:
    """A matt checked tablecloth."""
    stripes = [(np.abs((points[:, axis] / 0.5) % 1 - 0.5) < 0.25).astype(np.float32) for axis in (0, 2)]
    weave = 0.94 + 0.06 * np.sin(points[:, 0] * 60) * np.sin(points[:, 2] * 60)
    albedo = _mix((0.72, 0.7, 0.64), (0.34, 0.42, 0.5), (stripes[0] + stripes[1]) / 2) * weave[:, None]
    return _material(albedo, normals, 1.0, 0.0)


def soil(points: Array, normals: Array) -> Material:
    """Dark crumbly earth."""
    crumbs = fractal(points[:, [0, 2]] * 7, 5, 2)

    def height(p):
        return fractal(p[:, [0, 2]] * 7, 4, 2)

    albedo = _mix((0.035, 0.022, 0.014), (0.16, 0.105, 0.065), crumbs)
    return _material(albedo, _relief(points, normals, height, 0.08), 1.0, 0.0)


def steel(points: Array, normals: Array) -> Material:
    """A polished ball."""
    return _material((0.1, 0.1, 0.1), normals, 0.05, 0.3, (0.95, 0.97, 1.0))


def glaze(colour, rings: bool = False) -> Callable[[Array, Array], Material]:
    """Glazed earthenware: a clear coat that mirrors the window sharply."""

    def material(points: Array, normals: Array) -> Material:
        mottled = 0.92 + 0.16 * fractal(points * 5, 3, 4)
        albedo = np.float32(colour) * mottled[:, None]
        if rings:
            around = np.hypot(points[:, 0] - 0.55, points[:, 2] - 0.55)
            painted = (np.abs(around - 0.86) < 0.025) | (np.abs(around - 0.78) < 0.01)
            albedo[painted] = (0.06, 0.12, 0.36)
        return _material(albedo, normals, 0.03, 0.05)

    return material


def fruit_skin(colour, other, pores: float = 0.0, seed: int = 0) -> Callable[[Array, Array], Material]:
    """Skin between two colours, with a waxy gloss and, for citrus, pores."""

    def height(p: Array) -> Array:
        return noise(p * 26, seed)

    def material(points: Array, normals: Array) -> Material:
        streaks = np.stack([np.arctan2(points[:, 2], points[:, 0]) * 5, points[:, 1] * 1.5], axis=1)
        blend = np.clip(2.2 * fractal(points * 2.2, 3, seed) * fractal(streaks * 2, 3, seed + 9) - 0.15, 0, 1)
        albedo = _mix(colour, other, blend)
        if pores:
            return _material(albedo, _relief(points, normals, height, pores * 0.25), 0.16, 0.045)
        return _material(albedo, normals, 0.06, 0.05)

    return material


def printed_label(colour, paper, middle: float, axis) -> Callable[[Array, Array], Material]:
    """A paper label with bands, a disc and lines of print on a tin can; bare metal above and below."""

    def material(points: Array, normals: Array) -> Material:
        angle = np.arctan2(points[:, 0] - axis[0], points[:, 2] - axis[1])
        y = points[:, 1] - middle
        height = y / middle
        albedo = np.tile(np.float32(paper), (len(points), 1))
        albedo[(np.abs(height) > 0.42)] = colour
        albedo[np.abs(np.abs(height) - 0.48) < 0.015] = paper
        around = (angle - 0.1) * 0.5
        disc = np.hypot(around, y - 0.05) < 0.17
        albedo[disc] = (0.85, 0.45, 0.05)
        albedo[disc & (np.hypot(around - 0.04, y - 0.08) < 0.1)] = (0.9, 0.62, 0.1)
        row = np.floor(y / 0.045)
        letters = _hash(np.stack([np.floor(angle * 22), row], axis=1).astype(np.int64), 6) > 0.35
        print_area = (height < -0.18) & (height > -0.38) & (np.abs(y / 0.045 - row - 0.5) < 0.28)
        albedo[print_area & letters] = (0.05, 0.05, 0.06)
        metal = np.abs(height) > 0.79
        albedo[metal] = (0.16, 0.16, 0.165)
        return _material(albedo, normals, np.where(metal, 0.12, 0.1), np.where(metal, 0.3, 0.05))

    return material


def leaf_blade(centre, half_length: float, half_width: float) -> Callable[[Array, Array], Material]:
    """Green with paler veins and a waxy coat."""

    def material(points: Array, normals: Array) -> Material:
        along = (points[:, 0] - centre[0]) / half_length
        side = np.abs(points[:, 2] - centre[1])
        vein = np.cos(22 * (along - 0.8 * side / half_width)) < -0.93
        albedo = _mix((0.03, 0.13, 0.03), (0.09, 0.27, 0.05), fractal(points * 4, 4, 1))
        albedo[vein | (side < 0.018)] = (0.22, 0.4, 0.14)
        return _material(albedo, normals, 0.14, 0.06)

    return material
