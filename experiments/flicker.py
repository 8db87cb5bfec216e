"""How much what is removed flickers: the shipped network on a still scene with noise.

    python -m experiments.flicker
    python -m experiments.flicker --picture samples/tins.jpg --noise 8

One picture is shown as many frames, each with noise of its own, as a camera on a tripod sees a scene. The
number is the standard deviation of the difference of the specular layer from one frame to the next, in 8-bit
levels, over the pixels where the layer of some frame is not 0, and over the second half of the frames.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from utils import cli
from utils.markdown import markdown_table

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Options:
    """Options of the measurement."""

    picture: str = str(ROOT / "samples" / "kitchen.jpg")
    """what the frames show"""
    method: str = "aha-lite"
    """as evaluate.py takes it: a name, or NAME:WEIGHTS"""
    noise: float = 4.0
    """standard deviation of the noise of each frame and channel, in 8-bit levels"""
    frames: int = 20
    """how many"""
    width: int = 192
    """of a frame, in pixels"""


def main(argv: list[str] | None = None) -> int:
    """Prints the table."""
    options = cli.parse(Options, argv, prog="python -m experiments.flicker", description=__doc__)
    from restoration.methods import load_method
    from restoration.video.temporal_smoothing import FRAMES, TemporalSmoother
    from utils.image_files import read_rgb

    picture = read_rgb(options.picture)
    size = options.width, round(picture.shape[0] * options.width / picture.shape[1])
    frames = noisy_frames(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), options)
    remover = load_method(options.method)
    layers = [frame - remover(frame).diffuse for frame in frames]
    rows = []
    for count in (1, 4, FRAMES, 2 * FRAMES):
        smoother = TemporalSmoother(count)
        smoothed = [smoother(frame, layer) for frame, layer in zip(frames, layers, strict=True)]
        rows.append([str(count), f"{flicker(smoothed[options.frames // 2 :]):.3f}"])
    print(markdown_table(["frames averaged", "difference from frame to frame"], rows, numeric=True))
    return 0


def noisy_frames(picture: np.ndarray, options: Options) -> list[np.ndarray]:
    """(H, W, 3) float32 in [0, 1], whole 8-bit levels: the picture, each time with other noise."""
    frames = []
    for number in range(options.frames):
        noise = np.random.default_rng(number).normal(0, options.noise, picture.shape)
        levels = np.clip(np.rint(picture * 255 + noise), 0, 255)
        frames.append((levels / 255).astype(np.float32))
    return frames


def flicker(layers: list[np.ndarray]) -> float:
    """Standard deviation, in 8-bit levels, of layers (H, W, 3) in [0, 1] against the one before each."""
    stack = np.stack(layers)
    removed = stack.any(axis=(0, 3))
    return float(255 * np.diff(stack, axis=0)[:, removed].std()) if removed.any() else 0.0


if __name__ == "__main__":
    sys.exit(cli.run(main))
