"""Bilinear look-up in banks of small wrapping tiles, packed four bytes to an integer.

A scene's pixels wear several tiles at once; fetching packed texels by index reads each pixel's four
neighbours straight from the bank, where gathering whole tiles and converting them would touch ten times as
much memory.
"""

import numpy as np
import torch
from torch import Tensor


def pack(tiles: np.ndarray) -> np.ndarray:
    """uint8 (N, 3, S, S) -> int32 (N * S * S,), S a power of two."""
    count, _, side, _ = tiles.shape
    packed = np.zeros((count, side, side, 4), np.uint8)
    packed[..., :3] = tiles.transpose(0, 2, 3, 1)
    return packed.view("<i4").reshape(-1)


def means(packed: np.ndarray, side: int = 256) -> np.ndarray:
    """Mean colour of each packed tile, in [0, 1]: float32 (N, 3)."""
    channels = packed.view(np.uint8).reshape(-1, side * side, 4)[..., :3]
    return (channels.mean(1, dtype=np.float64) / 255).astype(np.float32)


def sample(
    banks: tuple[tuple[Tensor, Tensor], ...], side: int, s: Tensor, t: Tensor
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The three channels, 0..255 float32, of several banks at the same texture coordinates.

    `banks`: packed tiles with the (int64) number of the tile at each pixel; s to the right and t upwards,
    in tiles. All tensors of pixels share one shape. Tiles wrap around.
    """
    x, y = s * side, t * -side
    x0, y0 = x.floor(), y.floor()
    left, top = x0.int() & (side - 1), y0.int() & (side - 1)
    right, bottom = (left + 1) & (side - 1), ((top + 1) & (side - 1)) * side
    top = top * side
    # Weights in 256ths: two channels are weighted at once in the halves of an integer, without overflow
    # into each other since a byte times the weights' sum stays below 2**16.
    fx, fy = (x - x0).mul_(16).int(), (y - y0).mul_(16).int()
    gx, gy = 16 - fx, 16 - fy
    corners = (
        (top + left, gx * gy),
        (top + right, fx * gy),
        (bottom + left, gx * fy),
        (bottom + right, fx * fy),
    )
    scale = 1 / 256
    sampled = []
    for packed, which in banks:
        base = which * (side * side)
        outer, inner = torch.zeros_like(left), torch.zeros_like(left)
        for place, weight in corners:
            corner = packed.index_select(0, (base + place).flatten()).view_as(s)
            outer.addcmul_(corner & 0x00FF00FF, weight)
            inner.addcmul_((corner >> 8) & 0xFF, weight)
        sampled.append(((outer & 0xFFFF) * scale, inner * scale, ((outer >> 16) & 0xFFFF) * scale))
    return sampled
