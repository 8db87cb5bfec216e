"""Statistics of ordinary synthetic scenes beside those of real pairs, on which their defaults are tuned.

python -m synthetic.stats --real DIR [--textures DIR] [--photos DIR] [--count 200]
"""

import itertools
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from tqdm import tqdm

from data.layouts import find
from synthetic.scene_options import AssetFolders, Composition, SceneOptions
from utils import cli
from utils.colour import psnr
from utils.markdown import markdown_table

STRONG = 20 / 255
"""Specular value from which on a pixel counts as part of a highlight blob."""
BINS = (1, 3, 9, 33, 97)
"""Lower edges, in 255ths, of the histogram of the specular layer above exact zero."""


@dataclass
class _Comparison:
    """What to compare."""

    real: list[str]
    """folders of real pairs, in any layout that training reads (SHIQ, SSHR, PSD, NAME with NAME_gt)"""
    count: int = 200
    """number of synthetic scenes"""
    size: int = 200
    """side of the synthetic scenes in pixels"""
    seed: int = 0
    """seed of the scenes"""
    composition: Composition = "display"
    """composition of the scenes"""


@dataclass
class StatsOptions(AssetFolders, _Comparison):
    """What to compare and from what."""


def measure(image: np.ndarray, diffuse: np.ndarray) -> dict[str, float]:
    """Statistics of one pair, float (H, W, 3) in [0, 1]; S is input less diffuse, at least 0."""
    specular = (image - diffuse).clip(0, None).mean(-1)
    grey = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2GRAY)
    saturation = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2HSV)[..., 1]
    _, _, blobs, _ = cv2.connectedComponentsWithStats((specular >= STRONG).astype(np.uint8))
    areas = blobs[1:, cv2.CC_STAT_AREA] / specular.size
    areas = areas[areas >= 2e-4]
    levels = np.round(specular * 255)
    edges = (*BINS, 256)
    facts = {
        "untouched pixels, %": 100 * float((levels == 0).mean()),
        **{
            f"S in {low}..{high - 1} of 255, %": 100 * float(((levels >= low) & (levels < high)).mean())
            for low, high in itertools.pairwise(edges)
        },
        "mean of S, of 255": 255 * float(specular.mean()),
        "99 % quantile of S, of 255": 255 * float(np.quantile(specular, 0.99)),
        "largest S, of 255": 255 * float(specular.max()),
        "blobs (S >= 20)": float(len(areas)),
        "largest blob, % of the picture": 100 * float(areas.max(initial=0)),
        "saturation": float(saturation.mean()),
        "brightness": float(grey.mean()),
        "contrast (deviation of luma)": float(grey.std()),
        "sharpness (deviation of the Laplacian, of 255)": 255 * float(cv2.Laplacian(grey, cv2.CV_32F).std()),
        "PSNR of the input, dB": psnr(max(np.square(image - diffuse).mean(), 1e-6)),
    }
    return facts


def table(real: list[dict[str, float]], synthetic: list[dict[str, float]]) -> str:
    """Markdown: median [10 %, 90 %] of each statistic for both, side by side."""

    def cell(facts: list[dict[str, float]], key: str) -> str:
        low, middle, high = np.percentile([fact[key] for fact in facts], (10, 50, 90))
        return f"{middle:.3g} [{low:.3g}, {high:.3g}]"

    head = "statistic: median [10 %, 90 %]", f"{len(real)} real pairs", f"{len(synthetic)} synthetic scenes"
    return markdown_table(head, [(key, cell(real, key), cell(synthetic, key)) for key in real[0]])


def _all(
    samples: Iterable[dict], keep: Callable[[dict], bool] = lambda sample: True
) -> list[dict[str, float]]:
    pairs = ((sample["input"], sample["diffuse"]) for sample in samples if keep(sample))
    return [measure(a.permute(1, 2, 0).numpy(), d.permute(1, 2, 0).numpy()) for a, d in pairs]


def main() -> int:
    """Entry point; returns the exit code."""
    options = cli.parse(
        StatsOptions,
        prog="python -m synthetic.stats",
        description="Prints statistics of synthetic scenes beside those of real pairs.",
    )
    print(_compare(options))
    return 0


def _compare(options: StatsOptions) -> str:
    # Imported late: --help does not wait for torch.
    import torch

    from data.picture_samples import PictureSamples
    from synthetic.generator import SyntheticScenes

    records = [record for folder in options.real for record in find(folder).records]
    real = [facts for record in records for facts in _all([PictureSamples([record])[0]])]
    # A scene is a thousand small operations, too small to share among threads.
    torch.set_num_threads(1)
    ordinary = {"clipped_share": 0.0, "painted_share": 0.0, "sparkling_share": 0.0}
    scenes = SyntheticScenes(
        options.count,
        size=options.size,
        seed=options.seed,
        folders=AssetFolders.of(options),
        options=SceneOptions(composition=options.composition, **ordinary),
    )
    drawn = (scenes[index] for index in tqdm(range(options.count), unit="scene", leave=False))
    lit = _all(drawn, keep=lambda sample: bool(sample["specular"].any()))
    left_out = options.count - len(lit)
    note = f"Scenes without any highlight, left out above: {left_out} of {options.count}."
    return f"{table(real, lit)}\n\n{note}"


if __name__ == "__main__":
    sys.exit(cli.run(main))
