"""Synthetic scenes as a test: is the highlight gone, and is all else left alone?

    python -m experiments.scene_scores --scenes runs/scenes --methods savedmodel/aha-lite.safetensors shen2013

`--scenes` is a folder of python -m synthetic in SHIQ's layout. On scenes with a visible highlight
(input - diffuse reaches 0.1 somewhere): gain of PSNR over the untouched input in the highlight region T and
over the whole picture; IoU and BER of the map against T. On all scenes with specular light: PSNR of the
result against the *input* where there is none (S = 0). On scenes without any, the hard negatives: PSNR of it
against the input. Means over scenes with 95 % bootstrap intervals; above 100 dB counts as 100 dB.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from evaluation import detection, methods
from evaluation.datasets import Pair, Sample, find_pairs, to_unit
from evaluation.metrics import psnr
from evaluation.statistics import PSNR_CAP, mean
from utils import cli

COLUMNS = {
    "gain_highlight": "gain in the highlight, dB",
    "gain_whole": "gain in the whole, dB",
    "untouched": "where S = 0, dB",
    "iou": "map IoU, %",
    "ber": "map BER, %",
    "negative": "no highlight, dB",
}
VISIBLE = 0.1  # fainter highlights vanish among the gains and losses of rounding and noise


@dataclass
class Options:
    """Options of the test."""

    scenes: Path
    """folder made by python -m synthetic, layout shiq"""
    test_dir: str = "test"
    """folder of the scenes inside --scenes"""
    methods: list[str] = field(default_factory=list)
    """weights or classical methods beside `input`"""
    map_threshold: str = "0.5"
    """where a map says highlight: a number, or otsu"""
    limit: int | None = None
    """only the first so many scenes"""


def main(argv: list[str] | None = None) -> int:
    options = cli.parse(
        Options, argv, prog="python -m experiments.scene_scores", description=__doc__.splitlines()[0]
    )
    pairs = find_pairs(options.scenes, "shiq", test_dir=options.test_dir, limit=options.limit).pairs
    scores = {spec: score_scenes(pairs, spec, options.map_threshold) for spec in ("input", *options.methods)}
    print(markdown(scores))
    print(f"\n{len(pairs)} scenes; {__doc__.split('layout. ')[1].replace(chr(10), ' ').strip()}")
    return 0


def score_scenes(pairs: Sequence[Pair], spec: str, map_threshold: str = "0.5") -> dict[str, np.ndarray]:
    """Values by key of COLUMNS, (n,) each; NaN where a scene has none."""
    method = methods.load(spec)
    method.prepare()
    rows = []
    for pair in tqdm(pairs, desc=Path(spec).name, unit="scene", disable=None, leave=False):
        sample = pair.load()
        rows.append(_score(sample, method(pair, sample), map_threshold))
    return {key: np.array([row.get(key, np.nan) for row in rows], dtype=np.float64) for key in COLUMNS}


def markdown(scores: dict[str, dict[str, np.ndarray]]) -> str:
    """A row a method, a column a score with its interval."""
    lines = [["method", *COLUMNS.values()], ["---"] * (len(COLUMNS) + 1)]
    lines += [[Path(spec).name, *(interval(of[key]) for key in COLUMNS)] for spec, of in scores.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def interval(values: np.ndarray) -> str:
    """Mean and 95 % interval in words; "n/a" where there is nothing to average."""
    m = mean(values)
    if m is None:
        return "n/a"
    return f"{m.value:.2f}" if m.low is None else f"{m.value:.2f} [{m.low:.2f}, {m.high:.2f}]"


def _score(sample: Sample, output: methods.Output, map_threshold: str) -> dict[str, float | None]:
    image, truth, result = to_unit(sample.image), to_unit(sample.truth), to_unit(output.diffuse)
    dark = (image == truth).all(axis=2)
    if dark.all():
        return {"negative": _psnr(result, image, dark)}
    values = {"untouched": _psnr(result, image, dark)} if dark.any() else {}
    if (image - truth).max() < VISIBLE:
        return values
    everywhere = np.ones_like(dark)
    values["gain_whole"] = _psnr(result, truth, everywhere) - _psnr(image, truth, everywhere)
    if sample.mask is not None and sample.mask.any():
        values["gain_highlight"] = _psnr(result, truth, sample.mask) - _psnr(image, truth, sample.mask)
        found = detection.detect(detection.threshold(output.highlight, map_threshold), sample.mask)
        values |= {"iou": found["iou"], "ber": found["ber"]}
    return values


def _psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    return min(PSNR_CAP, psnr(float(np.mean((a[where] - b[where]) ** 2))))


if __name__ == "__main__":
    sys.exit(cli.run(main))
