"""Seconds, memory and accuracy of the classical separations, each in a process of its own with one thread.

    python -m tools.classical_methods [--size 640x480] [--dataroot FOLDER] [--out FILE.md]

Time and memory are of a drawn picture of --size: bright all over, many colours, many highlights, so that
nothing can be skipped. With --dataroot, every pair NAME.EXT / NAME_gt.EXT in that folder is separated too
and compared with the published PSNR of that picture, where there is one (evaluation/published.yaml). The
files' values are taken as linear, as the published figures do; the last column decodes them by the sRGB
curve first and encodes the result again.
"""

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import multiprocessing
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from classical import METHODS
from evaluation.metrics import score
from evaluation.paper_tables import published
from tools.benchmark import parse_size
from tools.memory import peak_mebibytes, reset_peak, resident_mebibytes
from utils import cli
from utils.atomic import write_text
from utils.colour import quantise, srgb_decode, srgb_encode
from utils.errors import UserError
from utils.image_files import list_pictures, read_rgb
from utils.markdown import markdown_table


@dataclass
class Options:
    """Options of the benchmark."""

    size: str = "640x480"
    """width x height of the drawn picture, in pixels"""
    dataroot: Path | None = None
    """folder of pairs NAME.EXT and NAME_gt.EXT"""
    methods: list[str] = field(default_factory=lambda: list(METHODS))
    """names in classical.METHODS"""
    out: Path | None = None
    """also write the table to this Markdown file, e.g. tools/results/classical_methods_MACHINE.md"""


@dataclass
class Measurement:
    """Of one method: CPU seconds (best run), MiB above the idle process, PSNR and SSIM by picture."""

    seconds: float
    mebibytes: float
    scores: dict[str, dict[str, float]]


def main(argv: list[str] | None = None) -> int:
    options = cli.parse(
        Options, argv, prog="python -m tools.classical_methods", description=__doc__.splitlines()[0]
    )
    if unknown := set(options.methods) - set(METHODS):
        raise UserError(f"no classical method {sorted(unknown)[0]!r}; there are {', '.join(METHODS)}")
    pairs = find_pairs(options.dataroot) if options.dataroot else []
    scene = draw_scene(*parse_size(options.size))
    results = {}
    for method in options.methods:
        # A fresh process: its peak memory is the method's own.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            results[method] = process.submit(measure, method, scene, pairs).result()
        print(f"{method}: {results[method].seconds:.3f} s", file=sys.stderr)
    text = report(results, options.size, [picture.stem for picture, _ in pairs])
    print(text)
    if options.out:
        write_text(options.out, text)
    return 0


def find_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """(picture, ground truth) of each NAME.EXT that has a NAME_gt.EXT."""
    pictures = {picture.stem: picture for picture in list_pictures(folder)}
    pairs = [(path, pictures[f"{stem}_gt"]) for stem, path in pictures.items() if f"{stem}_gt" in pictures]
    if not pairs:
        raise UserError(f"{folder} holds no pair NAME and NAME_gt")
    return pairs


def draw_scene(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Textured and shaded patches of colour under white highlights: (height, width, 3) float32, 8-bit."""
    rng = np.random.default_rng(seed)
    albedo = cv2.resize(rng.uniform(0.1, 0.9, (8, 10, 3)), (width, height), interpolation=cv2.INTER_NEAREST)
    shading = cv2.resize(rng.uniform(0.4, 0.9, (12, 16)), (width, height), interpolation=cv2.INTER_CUBIC)
    image = albedo * (shading + rng.normal(0, 0.02, (height, width)))[..., None]
    rows, columns = np.mgrid[:height, :width] / height
    for x, y, radius in rng.uniform((0, 0, 0.01), (width / height, 1, 0.05), (40, 3)):
        image += 0.5 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / radius**2)[..., None]
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.float32) / np.float32(255)


def measure(method: str, scene: np.ndarray, pairs: list[tuple[Path, Path]]) -> Measurement:
    """Runs one method; called in a process of its own."""
    cv2.setNumThreads(1)
    separate = METHODS[method]
    idle = resident_mebibytes()
    reset_peak()
    seconds = _seconds(separate, scene)
    mebibytes = peak_mebibytes() - idle
    if seconds < 2:
        seconds = min(seconds, *(_seconds(separate, scene) for _ in range(4)))
    scores = {picture.stem: _score(separate, picture, ground_truth) for picture, ground_truth in pairs}
    return Measurement(seconds, mebibytes, scores)


def _seconds(separate, image: np.ndarray) -> float:
    start = time.process_time()
    separate(image)
    return time.process_time() - start


def _score(separate, picture: Path, ground_truth: Path) -> dict[str, float]:
    image, target = read_rgb(picture), read_rgb(ground_truth).astype(np.float64)
    whole = {"whole": np.ones(target.shape[:2], bool)}
    decoded = srgb_encode(separate(srgb_decode(image).astype(np.float32)).astype(np.float64))
    linear = score(_rounded(separate(image)), target, whole, ("psnr", "ssim7"))
    return {
        "psnr": linear["psnr.whole"],
        "ssim": linear["ssim7.whole"],
        "psnr_srgb": score(_rounded(decoded), target, whole, ("psnr",))["psnr.whole"],
    }


def _rounded(image: np.ndarray) -> np.ndarray:
    return quantise(image, np.uint8) / 255.0


def report(results: dict[str, Measurement], size: str, pictures: list[str]) -> str:
    """Markdown: time and memory, then reported | ours by picture."""
    from utils.devices import processor_name  # brings torch, which has no place in a process that measures

    times = [(name, f"{one.seconds:.3f}", f"{one.mebibytes:.0f}") for name, one in results.items()]
    blocks = [
        f"Classical separations on {processor_name()}, one thread, Python {platform.python_version()}, "
        f"numpy {np.__version__}, OpenCV {cv2.__version__}.",
        f"Time (CPU, best run) and peak memory above the idle process for a drawn {size} picture:",
        markdown_table(["method", "seconds", "peak MiB"], times),
    ]
    for picture in pictures:
        blocks += [
            f"{picture}: PSNR dB and SSIM (7x7) over the whole 8-bit RGB picture, values taken as linear; "
            "last column: decoded by the sRGB curve first.",
            markdown_table(
                ["method", "reported", "ours", "SSIM reported", "SSIM ours", "ours, sRGB decoded"],
                [_accuracy_row(name, picture, one.scores[picture]) for name, one in results.items()],
            ),
        ]
    return "\n\n".join(blocks) + "\n"


def _accuracy_row(method: str, picture: str, scores: dict[str, float]) -> list[str]:
    rows = [row for row in published()["laboratory"] if row.ours == method and row.pictures]
    psnr = rows[0].pictures.get(picture) if rows else None
    ssim = rows[0].pictures_ssim.get(picture) if rows else None
    ours = [f"{scores['psnr']:.2f}", f"{scores['ssim']:.3f}", f"{scores['psnr_srgb']:.2f}"]
    return [method, psnr or "-", ours[0], ssim or "-", ours[1], ours[2]]


if __name__ == "__main__":
    sys.exit(cli.run(main))
