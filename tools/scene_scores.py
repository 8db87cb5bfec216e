"""Scores on synthetic scenes: removal inside highlights and preservation outside them.

    python -m tools.scene_scores --scenes runs/scenes --methods savedmodel/aha-lite.safetensors shen2013

`--scenes` is a folder of python -m synthetic in SHIQ's layout. On scenes with a visible highlight
(input - diffuse reaches 0.1 somewhere): gain of PSNR over the untouched input in the highlight region T and
over the whole picture; PSNR outside of T; IoU and BER of the map against T; where the input is clipped inside
T (>= 254/255 in a channel) the mean distance of CIE Lab a*, b* and the share of the highlight that is left.
On all scenes with specular light: PSNR of the result against the *input* where there is none (S = 0). On
scenes without any, the hard negatives: PSNR of it against the input. Means over scenes with 95 % bootstrap
intervals; above 100 dB counts as 100 dB.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from evaluation.datasets import Pair, Sample, find_pairs
from evaluation.metrics import detect, highlight_measures, score
from evaluation.settings import RemovalOptions
from evaluation.statistics import PSNR_CAP, mean
from utils import cli
from utils.colour import psnr, to_unit
from utils.markdown import markdown_table

if TYPE_CHECKING:
    from restoration import Restored

COLUMNS = {
    "gain_highlight": "gain in the highlight, dB",
    "gain_whole": "gain in the whole, dB",
    "rest": "outside of the highlight, dB",
    "untouched": "where S = 0, dB",
    "iou": "map IoU, %",
    "ber": "map BER, %",
    "chroma_clipped": "chroma error in clipped highlights",
    "left_clipped": "left of clipped highlights, %",
    "negative": "no highlight, dB",
}
VISIBLE = 0.1  # fainter highlights vanish among the gains and losses of rounding and noise


@dataclass
class Options(RemovalOptions):
    """Options of the test."""

    scenes: Path
    """folder made by python -m synthetic, layout shiq"""
    test_dir: str = "test"
    """folder of the scenes inside --scenes"""
    methods: list[str] = field(default_factory=list)
    """weights or classical methods beside `input`"""
    map_threshold: str = "0.5"
    """how the predicted mask is obtained: a number or otsu thresholds the map; specular: Otsu on the removed
    layer"""
    limit: int | None = None
    """only the first scenes by name"""


def main(argv: list[str] | None = None) -> int:
    options = cli.parse(
        Options, argv, prog="python -m tools.scene_scores", description=__doc__.splitlines()[0]
    )
    pairs = find_pairs(options.scenes, "shiq", test_dir=options.test_dir, limit=options.limit).pairs
    methods = ("input", *options.methods)
    scores = {spec: score_scenes(pairs, spec, options.map_threshold, options.removal) for spec in methods}
    print(markdown(scores))
    print(f"\n{len(pairs)} scenes; {__doc__.split('layout. ')[1].replace(chr(10), ' ').strip()}")
    return 0


def score_scenes(
    pairs: Sequence[Pair], spec: str, map_threshold: str = "0.5", options: dict | None = None
) -> dict[str, np.ndarray]:
    """Values by key of COLUMNS, (n,) each; NaN where a scene has none. `options` of HighlightRemover."""
    from evaluation.methods import ScoredMethod, load  # imports torch, for which --help should not wait

    method = load(ScoredMethod.parse(spec), options=options)
    method.prepare()
    rows = []
    for pair in tqdm(pairs, desc=Path(spec).name, unit="scene", disable=None, leave=False):
        sample = pair.load()
        rows.append(_score(sample, method(pair, sample), map_threshold))
    return {key: np.array([row.get(key, np.nan) for row in rows], dtype=np.float64) for key in COLUMNS}


def markdown(scores: dict[str, dict[str, np.ndarray]]) -> str:
    """A row per method, a column per score with its interval."""
    rows = [[Path(spec).name, *(interval(of[key]) for key in COLUMNS)] for spec, of in scores.items()]
    return markdown_table(["method", *COLUMNS.values()], rows)


def interval(values: np.ndarray) -> str:
    """Mean and 95 % interval in words; "n/a" where there is nothing to average."""
    m = mean(values)
    if m is None:
        return "n/a"
    return f"{m.value:.2f}" if m.low is None else f"{m.value:.2f} [{m.low:.2f}, {m.high:.2f}]"


def _score(sample: Sample, restored: "Restored", map_threshold: str) -> dict[str, float | None]:
    layers = (sample.image, sample.ground_truth, restored.diffuse)
    image, ground_truth, result = (to_unit(layer, np.float64) for layer in layers)
    dark = (image == ground_truth).all(axis=2)
    if dark.all():
        return {"negative": _psnr(result, image, dark)}
    values = {"untouched": _psnr(result, image, dark)} if dark.any() else {}
    if (image - ground_truth).max() < VISIBLE:
        return values
    everywhere = np.ones_like(dark)
    values["gain_whole"] = _psnr(result, ground_truth, everywhere) - _psnr(image, ground_truth, everywhere)
    mask = sample.mask
    if mask is not None and mask.any():
        values["gain_highlight"] = _psnr(result, ground_truth, mask) - _psnr(image, ground_truth, mask)
        values["rest"] = _psnr(result, ground_truth, ~mask) if not mask.all() else None
        from evaluation.scoring import predicted_mask

        layers = sample.image, restored.diffuse, restored.highlight
        predicted = predicted_mask(*layers, map_threshold)
        found = detect(predicted, mask)
        values |= {"iou": found["iou"], "ber": found["ber"]}
        regions = sample.regions()
        clipped = {"clipped": regions["clipped"]}
        chroma = score(restored.diffuse, sample.ground_truth, clipped, ("chroma_error",))
        values["chroma_clipped"] = chroma["chroma_error.clipped"]
        left = highlight_measures(sample.image, restored.diffuse, sample.ground_truth, regions, ("residual",))
        values["left_clipped"] = left["residual.clipped"]
    return values


def _psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    return min(PSNR_CAP, psnr(float(np.mean((a[where] - b[where]) ** 2))))


if __name__ == "__main__":
    sys.exit(cli.run(main))
