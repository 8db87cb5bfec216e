"""Random numbers that depend on nothing but (seed, scene, name, counter).

A counter-based generator (splitmix64's finaliser as the hash) instead of a stream: scene i gets the same
numbers in any batch, order, worker or device, and a new parameter does not shift the others. Parameters are
drawn on the host for a whole batch at once, so the renderer can group scenes by kind without waiting for a
GPU.
"""

import dataclasses
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from synthetic.subsets import column

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Draws:
    """Named random arrays of a batch of scenes; the first axis of each result is the scene."""

    def __init__(self, seed: int, indices: Sequence[int]) -> None:
        with np.errstate(over="ignore"):
            scene = np.asarray(indices, dtype=np.int64).astype(np.uint64)
            salt = _mix(np.array([seed & (2**64 - 1)], dtype=np.uint64) + _GOLDEN)
            self._keys = _mix(scene * _GOLDEN + salt)
        self.count = len(scene)

    def bits(self, name: str, *shape: int) -> np.ndarray:
        """uint64 (B, *shape)."""
        stream = np.uint64(zlib.crc32(name.encode()) << 24)
        with np.errstate(over="ignore"):
            counter = (np.arange(int(np.prod(shape)), dtype=np.uint64) + stream) * _GOLDEN
            return _mix(_mix(self._keys[:, None] + counter[None])).reshape(self.count, *shape)

    def uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """float32 (B, *shape) in [low, high)."""
        unit = (self.bits(name, *shape) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
        return (low + (high - low) * unit).astype(np.float32)

    def log_uniform(self, name: str, *shape: int, low: float, high: float) -> np.ndarray:
        """float32 (B, *shape) in [low, high), uniform in the logarithm."""
        return np.exp(self.uniform(name, *shape, low=np.log(low), high=np.log(high)))

    def normal(self, name: str, *shape: int) -> np.ndarray:
        """float32 (B, *shape), standard normal (Box-Muller)."""
        u = self.uniform(name, *shape, 2)
        return np.sqrt(-2 * np.log(1 - u[..., 0])) * np.cos(2 * np.pi * u[..., 1])

    def chance(self, name: str, *shape: int, share: float | np.ndarray) -> np.ndarray:
        """bool (B, *shape), True with probability `share`."""
        return self.uniform(name, *shape) < share

    def choice(self, name: str, *shape: int, weights: Sequence[float]) -> np.ndarray:
        """int64 (B, *shape) in 0..len(weights) - 1, with probabilities proportional to the weights."""
        edges = np.cumsum(weights) / np.sum(weights)
        return np.minimum(np.searchsorted(edges, self.uniform(name, *shape), "right"), len(weights) - 1)

    def integers(self, name: str, *shape: int, high: int | np.ndarray) -> np.ndarray:
        """int64 (B, *shape) in 0..high - 1."""
        return np.minimum((self.uniform(name, *shape) * high).astype(np.int64), np.asarray(high) - 1)


@dataclass(frozen=True)
class Plan:
    """What was drawn for a batch of scenes: arrays whose first axis is the scene, or plans of their own."""

    def __getitem__(self, scenes: slice | np.ndarray) -> Self:
        """The plan of some of the scenes: a slice, their numbers or bool (B,)."""
        names = [field.name for field in dataclasses.fields(self)]
        return dataclasses.replace(self, **{name: getattr(self, name)[scenes] for name in names})

    def tensors(self, device: torch.device) -> SimpleNamespace:
        """The arrays as float32 tensors on the device, under the same names."""
        arrays = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return SimpleNamespace(**{name: column(values, device) for name, values in arrays.items()})


def pixel_noise(keys: Tensor, height: int, width: int) -> Tensor:
    """White noise (B, 3, H, W) of unit variance, a function of the int64 `keys` (B,) and the pixel alone.

    Each channel adds up a tenth of the bits of two 32-bit hashes: a triangular distribution.
    """
    counter = torch.arange(height * width, dtype=torch.int32, device=keys.device) * 747796405
    planes = [0.0, 0.0, 0.0]
    for part in (0, 31):
        state = counter.unsqueeze(0) + ((keys >> part) & 0x7FFFFFFF).to(torch.int32).unsqueeze(1)
        state = (state ^ ((state >> 15) & 0x1FFFF)) * -2048144789
        state = state ^ ((state >> 13) & 0x7FFFF)
        planes = [
            plane + ((state >> shift) & 0x3FF).float()
            for plane, shift in zip(planes, (2, 12, 22), strict=True)
        ]
    noise = torch.stack(planes, 1).view(-1, 3, height, width)
    return (noise - 1023.0) * (6**0.5 / 1024)
