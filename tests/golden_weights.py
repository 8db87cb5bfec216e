"""Weights by formula, so that two implementations of one network can be compared without a weight file.

The values of an entry depend on its name, its shape and a seed alone. Scales keep signals alive: a gated
convolution halves its signal (gain 6), TSHRNet's do not (gain 0.4), the score layers keep A near [-2, 2].
"""

import zlib

import numpy as np
import torch
from torch import Tensor


def golden_state(
    shapes: dict[str, tuple[int, ...]], seed: int = 0, conv_gain: float = 6.0
) -> dict[str, Tensor]:
    """A value for every name of `shapes`; u and v of a spectral norm are its first singular vectors."""
    values = {}
    for name, shape in shapes.items():
        if not name.endswith(("weight_u", "weight_v")):
            values[name] = golden_entry(name, tuple(shape), seed, conv_gain)
    for name in shapes.keys() - values.keys():
        weight = values[f"{name[:-1]}orig"]
        matrix = weight.reshape(len(weight), -1).astype(np.float64)
        left, _, right = np.linalg.svd(matrix, full_matrices=False)
        values[name] = (left[:, 0] if name.endswith("u") else right[0]).astype(np.float32)
    return {name: torch.from_numpy(np.asarray(values[name])) for name in shapes}


def golden_entry(name: str, shape: tuple[int, ...], seed: int = 0, conv_gain: float = 6.0) -> np.ndarray:
    """Values of one state-dict entry."""
    rng, last = _generator(name, seed), name.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if last == "running_var":
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    noise = rng.standard_normal(shape)
    if last in ("running_mean", "bias"):
        return ((0.1 if last == "running_mean" else 0.05) * noise).astype(np.float32)
    if len(shape) == 1:
        return (1 + 0.1 * noise).astype(np.float32)
    gain = conv_gain if name.endswith(("conv.weight", "conv_mask.weight")) else 1.6
    scale = 0.1 if ".scores" in f".{name}" else 1.0
    return (scale * noise * np.sqrt(gain / np.prod(shape[1:]))).astype(np.float32)


def golden_image(side: int, seed: int = 0) -> np.ndarray:
    """A smooth RGB picture with two bright blobs, float32 (3, side, side) in [0, 1]."""
    rng = _generator(f"image{side}x{side}", seed)
    y, x = np.mgrid[0:side, 0:side] / side
    waves = []
    for _ in range(3):
        across, down, phase = rng.uniform(1, 4), rng.uniform(1, 4), rng.uniform(0, 6)
        waves.append(0.35 + 0.2 * np.sin(2 * np.pi * (across * x + down * y) + phase))
    image = np.stack(waves)
    for _ in range(2):
        row, column, radius = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8), rng.uniform(0.05, 0.12)
        image += 0.6 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / radius**2)
    return np.clip(image + 0.02 * rng.standard_normal(image.shape), 0, 1).astype(np.float32)


def _generator(name: str, seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()) + 2**32 * seed))
