"""Time to score 1,000 results of 200x200: PSNR, SSIM and delta E 2000, every region.

    python -m benchmarks.scoring_speed [--count 1000] [--workers 2]
    python -m benchmarks.scoring_speed --workers 0     # CPU seconds that do not depend on what else runs

Draws pairs in SHIQ's layout (smooth colour, A = D + grey S, mask T) and results with noise, then runs
evaluate.py on them as a user would: `input` and `results:FOLDER` are both scored, so 2 x count pictures.
"""

import contextlib
import io
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

import evaluate
from utils import cli
from utils.image_files import write_rgb


@dataclass
class Options:
    """Options of the benchmark."""

    count: int = 1000
    """pairs"""
    workers: int = 2
    """processes"""
    size: int = 200
    """side in pixels"""


def main(argv: list[str] | None = None) -> int:
    options = cli.parse(
        Options, argv, prog="python -m benchmarks.scoring_speed", description=__doc__.splitlines()[0]
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        draw(root, options.count, options.size)
        words = [
            "--dataroot",
            root / "data",
            "--methods",
            f"results:{root / 'results'}",
            "--out",
            root / "out",
        ]
        words += ["--metrics", "psnr", "ssim", "delta_e", "--workers", options.workers, "--no_sheets"]
        start, cpu = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            code = evaluate.main([str(word) for word in words])
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(
        f"{options.count} pairs of {options.size}x{options.size}, input and one method, PSNR + SSIM + dE "
        f"in all regions and detection, {options.workers} workers: {seconds:.1f} s, "
        f"{cpu:.1f} s of the CPU in this process "
        f"({platform.processor() or platform.machine()}, {os.cpu_count()} cores)"
    )
    return code


def draw(root: Path, count: int, size: int) -> None:
    """Writes `count` pairs under root/data and noisy results under root/results."""
    for i in range(count):
        rng = np.random.default_rng(i)
        diffuse = cv2.resize(rng.uniform(0.1, 0.6, (8, 8, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
        y, x = np.mgrid[:size, :size] / size - rng.uniform(0.2, 0.8, (2, 1, 1))
        specular = 0.8 * np.exp(-(x**2 + y**2) / rng.uniform(0.002, 0.02))[..., None]
        image = diffuse + specular
        result = diffuse + 0.3 * specular + rng.normal(0, 0.01, diffuse.shape)
        write_rgb(root / "data" / f"{i:05d}_A.png", image)
        write_rgb(root / "data" / f"{i:05d}_D.png", diffuse)
        write_rgb(root / "data" / f"{i:05d}_T.png", (specular[..., 0] > 0.2).astype(np.float32))
        write_rgb(root / "results" / f"{i:05d}_A.png", result)


if __name__ == "__main__":
    sys.exit(cli.run(main))
