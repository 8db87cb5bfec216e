"""Bilinear look-up in banks of small wrapping tiles, packed four bytes to an integer.

A scene's pixels wear several tiles at once; fetching packed texels by index reads each pixel's four neighbours
straight from the bank, where gathering whole tiles and converting them would touch ten times as much memory.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def pack(tiles: np.ndarray) -> Tensor:
    """uint8 (N, 3, S, S) -> int32 (N * S * S,), S a power of two."""
    count, _, side, _ = tiles.shape
    packed = np.zeros((count, side, side, 4), np.uint8)
    packed[..., :3] = tiles.transpose(0, 2, 3, 1)
    return torch.from_numpy(packed.view("<i4").reshape(-1))


def sample(packed: Tensor, side: int, which: Tensor, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three channels, 0..255 float32, at texture coordinates s (right), t (up) in tiles, of tile `which`.

    `which` is int64, all arguments share one shape; tiles wrap around.
    """
    x, y = s * side, t * -side
    x0, y0 = x.floor(), y.floor()
    fx, fy = x - x0, y - y0
    left, top = x0.int() & (side - 1), y0.int() & (side - 1)
    right, bottom = (left + 1) & (side - 1), (top + 1) & (side - 1)
    base = which * (side * side)
    rows = (base + top * side, base + bottom * side)
    corners = [
        packed.index_select(0, (row + column).flatten()).view_as(s)
        for row in rows
        for column in (left, right)
    ]
    weights = ((1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy)
    channels = []
    for shift in (0, 8, 16):
        values = [((corner >> shift) & 255) * weight for corner, weight in zip(corners, weights, strict=True)]
        channels.append((values[0] + values[1]) + (values[2] + values[3]))
    return channels[0], channels[1], channels[2]
