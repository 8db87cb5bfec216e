"""Weights by formula for TSHRNet's golden test: values depend on name and shape, no weight file is needed."""

import zlib

import numpy as np


def golden_entry(name: str, shape: tuple[int, ...], seed: int, conv_gain: float) -> np.ndarray:
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
    gain = conv_gain if name.endswith("conv.weight") else 1.6
    noise *= np.sqrt(gain / np.prod(shape[1:]))
    return noise.astype(np.float32)


def golden_image(side: int, seed: int) -> np.ndarray:
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
