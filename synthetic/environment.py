"""Environment maps: prefiltered stacks for a range of roughness, looked up along mirror directions.

A map is equirectangular, rows from the zenith to the nadir. A stack holds LEVELS blurred copies one below
the other, level 0 sharp; only grey is kept, since the highlights of a white-balanced picture are near grey.
"""

import itertools
from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS, HEIGHT, WIDTH = 5, 96, 192
ROUGHNESS = (0.03, 0.1, 0.2, 0.4, 0.8)
"""GGX alpha of each level."""
_COARSE = 24


def _directions(height: int) -> np.ndarray:
    theta = (np.arange(height) + 0.5) * np.pi / height
    phi = (np.arange(2 * height) + 0.5) * np.pi / height
    ring = np.sin(theta)[:, None]
    up = np.broadcast_to(np.cos(theta)[:, None], (height, 2 * height))
    return np.stack([ring * np.sin(phi), up, ring * np.cos(phi)], -1)


@lru_cache(maxsize=len(ROUGHNESS))
def _lobe_weights(alpha: float) -> np.ndarray:
    """float32 (n, n): weight of each direction in the GGX lobe about each other (normal = view = mirror)."""
    towards = _directions(_COARSE).reshape(-1, 3).astype(np.float32)
    half_squared = (1 + (towards @ towards.T).clip(-1, 1)) / 2
    weight = np.sqrt(1 - towards[:, 1] ** 2)[None] / (half_squared * (alpha**2 - 1) + 1) ** 2
    return weight / weight.sum(1, keepdims=True)


def _lobe_blur(radiance: np.ndarray, alpha: float) -> np.ndarray:
    """Weighted mean over the sphere with the GGX lobe."""
    small = cv2.resize(radiance, (2 * _COARSE, _COARSE), interpolation=cv2.INTER_AREA)
    blurred = (_lobe_weights(alpha) @ small.reshape(-1)).reshape(_COARSE, 2 * _COARSE)
    return cv2.resize(blurred, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)


def stack(radiance: np.ndarray) -> np.ndarray:
    """Prefiltered stack float16 (1, LEVELS * HEIGHT, WIDTH) of a grey map (H, W), scaled to mean radiance 1.

    Radiance is cut at 200 times its mean: a sun would otherwise dominate the map.
    """
    sharp = cv2.resize(radiance.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    sharp = sharp / max(float(sharp.mean()), 1e-6)
    sharp = sharp.clip(0, 200)
    wrapped = np.concatenate([sharp[:, -8:], sharp, sharp[:, :8]], 1)
    soft = cv2.GaussianBlur(wrapped, (0, 0), 2.0)[:, 8:-8]
    levels = [sharp, soft, *(_lobe_blur(sharp, alpha) for alpha in ROUGHNESS[2:])]
    return np.concatenate(levels)[None].astype(np.float16)


def procedural_maps(count: int = 24) -> list[np.ndarray]:
    """Grey rooms (96, 192): walls, windows with bars, lamps, strips, an occasional softbox."""
    rng = np.random.default_rng(77)
    maps = []
    for _ in range(count):
        sky = np.linspace(rng.uniform(0.2, 1.5), rng.uniform(0.02, 0.5), HEIGHT)[:, None]
        room = np.tile(sky, (1, WIDTH)).astype(np.float32)
        for _ in range(rng.integers(2, 9)):
            x, w = int(rng.integers(0, WIDTH)), int(rng.integers(4, 40))
            room[:, x : x + w] *= rng.uniform(0.4, 1.3)
        for _ in range(rng.integers(1, 4)):
            _window(rng, room)
        for _ in range(rng.integers(0, 5)):
            centre = (int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT // 2)))
            axes = (int(rng.integers(1, 8)), int(rng.integers(1, 5)))
            cv2.ellipse(room, centre, axes, 0, 0, 360, float(rng.uniform(15, 120)), -1)
        maps.append(cv2.GaussianBlur(room, (0, 0), 0.6))
    return maps


def _window(rng: np.random.Generator, room: np.ndarray) -> None:
    x, y = int(rng.integers(0, WIDTH - 40)), int(rng.integers(10, 45))
    w, h = int(rng.integers(6, 40)), int(rng.integers(6, 30))
    light = rng.uniform(5, 40)
    room[y : y + h, x : x + w] = (
        light * np.linspace(1, rng.uniform(0.4, 1), h)[:, None][: room[y : y + h].shape[0]]
    )
    for k in range(1, int(rng.integers(1, 4))):
        room[y : y + h, x + k * w // 4 : x + k * w // 4 + 1] = 0.3
    if rng.random() < 0.5:
        room[y + h // 2 : y + h // 2 + 1, x : x + w] = 0.3


def look_up(
    maps: Tensor, which: Tensor, direction: tuple[Tensor, Tensor, Tensor], turn: Tensor, alpha: Tensor
) -> Tensor:
    """Radiance (b, H, W) along unit directions for roughness alpha (b, H, W).

    `maps` is Banks.environments, `which` (b,) chooses one per scene, `turn` (b, 1, 1) turns it about the
    vertical, in turns.
    """
    x, y, z = direction
    column = torch.frac(torch.atan2(x, z) / (2 * torch.pi) + turn + 2.0) * 2 - 1
    row = torch.acos(y.clamp(-0.9999, 0.9999)) / torch.pi
    knots = [float(np.log(a)) for a in ROUGHNESS]
    level_alpha = alpha.clamp(ROUGHNESS[0], ROUGHNESS[-1]).log()
    level = torch.zeros_like(alpha)
    for low, high in itertools.pairwise(knots):
        level = level + ((level_alpha - low) / (high - low)).clamp(0, 1)
    base = level.floor().clamp_max(LEVELS - 2)
    # Keep half a texel off the seams between levels, where bilinear sampling would mix two of them.
    row = row.clamp(0.5 / HEIGHT, 1 - 0.5 / HEIGHT)
    chosen = maps.index_select(0, which).float()

    def sample(at: Tensor) -> Tensor:
        grid = torch.stack([column, (row + at) * (2 / LEVELS) - 1], -1)
        return F.grid_sample(chosen, grid, padding_mode="border", align_corners=False)[:, 0]

    return torch.lerp(sample(base), sample(base + 1), level - base)
