"""CIEDE2000 colour differences of sRGB pixels (Sharma, Wu & Dalal 2005).

Written for speed, since scoring spends most of its time here: hues stay unit vectors. The mean hue is the
direction of the sum of two of them, the hue difference follows from their cross product, and cosines of
multiples of the mean hue are polynomials of its cosine and sine. Equals scikit-image's
deltaE_ciede2000(rgb2lab(.), rgb2lab(.)) up to rounding in half its time; for exactly opposite hues, where the
standard jumps, either side may come out.
"""

import numpy as np

_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65, 2 degrees
_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_TO_RELATIVE_XYZ = _TO_XYZ / _WHITE[:, None]


def lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB (N, 3) in [0, 1] -> CIE Lab as (3, N)."""
    values = rgb.T
    linear = ((values + 0.055) / 1.055) ** 2.4
    np.copyto(linear, values / 12.92, where=values <= 0.04045)
    xyz = _TO_RELATIVE_XYZ @ linear
    f = np.cbrt(xyz)
    np.copyto(f, 7.787 * xyz + 16 / 116, where=xyz <= 0.008856)
    return np.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def ciede2000(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Differences (N,) of CIE Lab colours (3, N), with weights kL = kC = kH = 1."""
    (L1, a1, b1), (L2, a2, b2) = first, second
    mean_chroma = (_length(a1, b1) + _length(a2, b2)) / 2
    stretch = 1.5 - 0.5 * _chroma_share(mean_chroma)
    a1, a2 = a1 * stretch, a2 * stretch
    C1, C2 = _length(a1, b1), _length(a2, b2)

    L, C = (L1 + L2) / 2 - 50, (C1 + C2) / 2
    cos, sin = _mean_hue(a1 * C2 + a2 * C1, b1 * C2 + b2 * C1)
    cos2, sin2 = cos * cos - sin * sin, 2 * cos * sin
    cos3, sin3 = cos2 * cos - sin2 * sin, sin2 * cos + cos2 * sin
    cos4, sin4 = cos2 * cos2 - sin2 * sin2, 2 * cos2 * sin2
    T = 1 - 0.17 * _turned(cos, sin, -30) + 0.24 * cos2 + 0.32 * _turned(cos3, sin3, 6)
    T -= 0.20 * _turned(cos4, sin4, -63)

    hue = np.degrees(np.arctan2(sin, cos))
    np.copyto(hue, hue + 360, where=hue < 0)
    rotation = np.radians(60) * np.exp(-(((hue - 275) / 25) ** 2))
    R_T = -2 * _chroma_share(C) * np.sin(rotation)

    l = (L2 - L1) / (1 + 0.015 * L * L / np.sqrt(20 + L * L))
    c = (C2 - C1) / (1 + 0.045 * C)
    h = _hue_difference(C1 * C2, a1 * a2 + b1 * b2, a1 * b2 - a2 * b1) / (1 + 0.015 * C * T)
    return np.sqrt(np.maximum(l * l + c * c + h * h + R_T * c * h, 0))


def _chroma_share(chroma: np.ndarray) -> np.ndarray:
    """sqrt(C^7 / (C^7 + 25^7))."""
    seventh = chroma * chroma
    seventh = seventh * seventh * seventh * chroma
    return np.sqrt(seventh / (seventh + 25.0**7))


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)  # four times as fast as np.hypot, which guards against overflow


def _mean_hue(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of a direction. Without one (a grey colour) any does: its hue difference is 0."""
    length = _length(x, y)
    np.copyto(length, 1, where=length == 0)
    return x / length, y / length


def _turned(cos: np.ndarray, sin: np.ndarray, degrees: float) -> np.ndarray:
    """cos(x + degrees) from cos x and sin x."""
    angle = np.radians(degrees)
    return cos * np.cos(angle) - sin * np.sin(angle)


def _hue_difference(product: np.ndarray, dot: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """2 sqrt(C1 C2) sin(dh / 2) from C1 C2, C1 C2 cos dh and C1 C2 sin dh."""
    # Two equal expressions: each is exact where the other subtracts nearly equal numbers.
    acute = np.abs(cross) * np.sqrt(2 / np.maximum(product + np.abs(dot), np.finfo(float).tiny))
    obtuse = np.sqrt(2 * (product - np.minimum(dot, product)))
    return np.copysign(np.where(dot > 0, acute, obtuse), cross)
